"""The old command lines of gating, rejection and evaluation, typed one after the other on a real service."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.integration.workspace import REPOSITORY, Service, Workspace, running

pytestmark = pytest.mark.slow

DATASET = "digits_lt"

Ran = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The demo: digits with a long tail, three experts and their splits."""
    root = tmp_path_factory.mktemp("combining")
    for folder in (f"data/{DATASET}", f"data/{DATASET}_splits", f"checkpoints/experts/{DATASET}"):
        shutil.copytree(REPOSITORY / folder, root / folder)
    shutil.copy(REPOSITORY / "data/datasets.toml", root / "data")
    return Workspace(root)


@pytest.fixture(scope="module")
def service(workspace: Workspace) -> Iterator[Service]:
    with running(workspace) as service:
        service.wait_ready()
        yield service


def relogit(service: Service, *arguments: str) -> Ran:
    command = [str(Path(sys.executable).with_name("relogit")), *arguments, "--server", service.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def typed(service: Service) -> list[Ran]:
    """What each command did, from `argse` without a gating to the evaluation."""
    lines = [
        ("argse",),
        ("recompute", "--dataset", DATASET),
        ("gating", "--mode", "pretrain", "--epochs", "3", "--batch_size", "32"),
        ("gating", "--mode", "selective", "--method", "linear"),
        ("argse",),
        ("evaluate",),
    ]
    return [relogit(service, *line) for line in lines]


def test_the_old_command_lines_work_one_after_the_other(typed: list[Ran], workspace: Workspace) -> None:
    """From logits to the table of all methods each command exits with 0; its files are where the old ones were."""
    refused, *done = typed
    assert (refused.returncode, "relogit gating" in refused.stderr) == (2, True)
    assert [(run.returncode, run.stderr) for run in done] == [(0, "")] * len(done)
    _, pretrained, selective, argse, evaluated = (run.stdout for run in done)
    assert "uniform" in pretrained
    assert "linear is taken, because the request names it." in selective
    assert "objective balanced" in selective
    assert "objective worst" in argse
    assert "Difference from uniform + msp" in evaluated
    assert "linear\n+ group-worst" in "\n".join(line.split("  ")[0].strip() for line in evaluated.splitlines())
    parameters = workspace.root / f"checkpoints/gating_pretrained/{DATASET}"
    assert {path.name for path in parameters.iterdir()} >= {"gating_pretrained.json", "gating_selective.json"}
    assert (workspace.root / f"checkpoints/argse/{DATASET}/argse.json").is_file()
    assert (workspace.root / "outputs/argse/group-worst/summary.json").is_file()
    assert (workspace.root / "outputs/gating/selective/test_mixture.npz").is_file()


@pytest.mark.usefixtures("typed")
def test_other_commands_know_the_results(service: Service, tmp_path: Path) -> None:
    """`jobs`, `status`, `wait` and `download` take gatings, rejectors and evaluations like other jobs."""
    listed = json.loads(relogit(service, "jobs", "--json").stdout)["jobs"]
    ids = {job["kind"]: job["id"] for job in reversed(listed)}
    assert {"recompute", "gating", "rejector", "evaluation"} <= set(ids)
    shown = relogit(service, "status", ids["evaluation"][:8])
    assert (shown.returncode, "AURC worst" in shown.stdout) == (0, True)
    assert relogit(service, "wait", ids["rejector"]).returncode == 0
    assert relogit(service, "download", ids["rejector"]).returncode == 2
    verified = relogit(service, "verify", ids["evaluation"])
    assert (verified.returncode, "argse/group-worst/summary.json" in verified.stderr) == (2, True)
    assert relogit(service, "download", ids["gating"], "--to", str(tmp_path)).returncode == 0
    with np.load(tmp_path / "gating/selective/val_logits.npz") as arrays:
        assert arrays["logits"].shape == (60, 10)


@pytest.mark.usefixtures("typed")
def test_plans_name_what_is_there_and_queue_nothing(service: Service) -> None:
    """Each command's plan names the job that has its result; with another option there is none, or a problem."""
    before = json.loads(relogit(service, "jobs", "--json").stdout)
    kept = {job["kind"]: job["id"] for job in reversed(before["jobs"])}
    for kind, command in (("gating", "gating --mode selective --method linear"), ("rejector", "argse")):
        shown = relogit(service, *command.split(), "--plan", "--dataset", DATASET)
        assert (shown.returncode, f"{kept[kind]} has this result already" in shown.stdout) == (0, True), shown
    evaluation = relogit(service, "evaluate", "--plan", "--json")
    assert json.loads(evaluation.stdout)["kept"] == kept["evaluation"]
    other = relogit(service, "evaluate", "--plan", "--name", "another")
    assert (other.returncode, "Nothing is wrong" in other.stdout, "linear" in other.stdout) == (0, True, False)
    wrong = relogit(service, "gating", "--plan", "--fit", "test", "--validate", "none", "--name", "../up")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("  - ")) == (2, "", 2)
    run = json.loads(relogit(service, "run", "--plan", "--json", "--dataset", DATASET, "--prefix", "best_").stdout)
    assert [step["state"] for step in run["steps"]][:3] == ["kept"] * 3
    other_folder = relogit(service, "run", "--plan", "--dataset", DATASET, "--output-dir", "elsewhere")
    assert (other_folder.returncode, "9 of 9 units need no forward pass" in other_folder.stdout) == (0, True)
    assert json.loads(relogit(service, "jobs", "--json").stdout) == before


@pytest.mark.usefixtures("typed")
def test_a_folder_of_logits_is_verified_first(service: Service, workspace: Workspace, tmp_path: Path) -> None:
    """Files that fail their verification are not combined; those that pass are."""
    folder = tmp_path / "logits"
    shutil.copytree(workspace.root / "outputs/logits_fixed", folder)
    options = ("--dataset", DATASET, "--method", "uniform", "--name", "from_files")
    good = relogit(service, "gating", "--logits", str(folder), *options)
    assert (good.returncode, "9 of 9 results verified" in good.stdout) == (0, True), good.stderr
    with np.load(folder / "ce_baseline/val_logits.npz") as arrays:
        changed = {**arrays, "targets": arrays["targets"][::-1]}
    np.savez(folder / "ce_baseline/val_logits.npz", **changed)
    bad = relogit(service, "gating", "--logits", str(folder), *options)
    assert (bad.returncode, "do not use" in bad.stdout) == (1, True)
    gatings = json.loads(relogit(service, "jobs", "--json").stdout)["jobs"]
    assert [job["request"]["name"] for job in gatings if job["kind"] == "gating"].count("from_files") == 1
