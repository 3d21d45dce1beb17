"""What the project says about itself is so."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app import VERSION
from app.catalog.datasets import read_datasets
from app.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("app.main", ["torch", "torchvision", "worker"]),
        ("relogit.cli.main", ["torch", "app", "worker", "fastapi", "pydantic"]),
        ("worker.loop", ["fastapi", "starlette", "torchvision"]),
        ("worker.combine.fitting", ["torch"]),  # only the training of its network needs it
        ("worker.combine.rejection", ["torch"]),
        ("worker.combine.evaluation.evaluate", ["torch"]),
    ],
)
def test_a_room_imports_only_what_it_may(module: str, absent: list[str]) -> None:
    """In a fresh process, the API and the client know no torch, and the worker no web framework."""
    code = f"import sys, {module}; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_stands_in_one_number() -> None:
    """What the manifest and the API say is what pip installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_installing_the_client_brings_no_torch() -> None:
    """`pip install .` is the client alone: only that package, and none of the service's requirements."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {re.split(r"[<>=]", requirement)[0] for requirement in document["project"]["dependencies"]}
    assert names == {"httpx", "numpy", "rich", "typer"}
    assert document["tool"]["setuptools"]["packages"]["find"] == {"where": ["clients"], "include": ["relogit*"]}


def test_the_readme_names_every_setting_with_its_default() -> None:
    """The table of settings is complete and true."""
    table = [row for row in README.splitlines() if row.startswith("| `RELOGIT_")]
    rows = {name: row for row in table for name in re.findall(r"`(RELOGIT_\w+)`", row.split("|")[1])}
    for name, field in Settings.model_fields.items():
        row = rows[f"RELOGIT_{name.upper()}"]
        default = field.default
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        assert (f"`{shown}`" if shown else "| none |") in row, row


def test_the_readme_explains_only_codes_that_exist() -> None:
    """Each problem code of the troubleshooting table is raised somewhere."""
    table = README.split("## When something is wrong")[1]
    codes = {code for row in re.findall(r"^\| (`.*?) \|", table, re.M) for code in re.findall(r"`([a-z-]+)`", row)}
    codes -= {"queued"}
    source = "".join(p.read_text() for room in ("app", "worker") for p in (ROOT / room).rglob("*.py"))
    built = {"experts-dir-missing", "splits-dir-missing"}  # put together from the folder's name
    assert len(codes) > 15
    assert {code for code in codes - built if f'"{code}"' not in source} == set()


def test_the_declared_data_sets_can_be_read() -> None:
    """The project's own datasets.toml declares the default data set and the demo."""
    assert {"cifar100_lt_if100", "digits_lt"} <= read_datasets(ROOT / "data").keys()
