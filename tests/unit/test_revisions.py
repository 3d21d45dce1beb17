"""Which files the digests of the worker's code are of: none is forgotten, and moving one costs nothing."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

from app.domain.revisions import AUDITING, COMPUTING, JUDGING, NORMALISING, PLAIN, RECOGNITION, WORKER, code_digest

GROUPS = {
    "COMPUTING": COMPUTING,
    "RECOGNITION": RECOGNITION,
    "JUDGING": JUDGING,
    "AUDITING": AUDITING,
    "PLAIN": PLAIN,
    "NORMALISING": NORMALISING,
}

PACKAGES = ("compute/engines", "normalisation", "splits", "verify")
"""Below worker/, with their own packages: whatever is in them decides something that is kept."""

EXCLUDED = {
    "verify/normalisation.py": "as verify/assumptions.py",
    "verify/assumptions.py": "its checks are stored with a unit's report, and no kept answer is made with them",
}
"""Files of those packages that no kept result depends on, with the reason."""

NOT_FOLLOWED = {
    "torchvision_import.py": "imports torchvision, whose version belongs to the digest of rows",
    "device.py": "names the errors that mean a lack of memory, wherever it is not listed itself",
}
"""Modules that listed files use although they are not in the same list, with the reason."""


def test_every_file_of_the_packages_is_listed_or_excluded() -> None:
    """A new file is named here: add it to a list in app/domain/revisions.py, or to EXCLUDED with a reason."""
    listed = {name for files in GROUPS.values() for name in files}
    there = {path.relative_to(WORKER).as_posix() for name in PACKAGES for path in (WORKER / name).rglob("*.py")}
    assert sorted(there - listed - EXCLUDED.keys()) == []
    assert sorted(EXCLUDED.keys() - there) == []
    assert sorted(EXCLUDED.keys() & listed) == []


@pytest.mark.parametrize("group", GROUPS)
def test_what_a_listed_file_uses_of_the_worker_is_listed_with_it(group: str) -> None:
    """A function that is moved to a module outside the list would leave the digest in silence."""
    files = GROUPS[group]
    assert list(files) == sorted(set(files)), "a list is sorted and names each file once"
    used = {module for name in files for module in _imports(WORKER / name)}
    assert sorted(used - set(files) - NOT_FOLLOWED.keys()) == []


@pytest.mark.parametrize("group", ["JUDGING", "AUDITING"])
def test_a_verdict_is_part_of_what_is_kept(tmp_path: Path, group: str) -> None:
    """Checks are defined in the app, outside the worker; another rule for a fatal check is another digest."""
    folder = _copy(tmp_path)
    path = folder / "../app/domain/checks.py"
    text = path.read_text()
    path.write_text(text.replace('self.level == "error" and self.verdict == "failed"', 'self.verdict == "failed"'))
    assert path.read_text() != text
    assert code_digest(GROUPS[group], folder=folder) != code_digest(GROUPS[group])


def _imports(path: Path) -> set[str]:
    """The worker's modules that a file imports, anywhere in it, as paths below worker/."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "worker":
                ways = [WORKER.joinpath(*parts[1:end]).with_suffix(".py") for end in range(2, len(parts) + 1)]
                found |= {way.relative_to(WORKER).as_posix() for way in ways if way.is_file()}
    return found


def _copy(tmp_path: Path) -> Path:
    """Copy the worker and the files beside it that a list names, and return the worker's folder."""
    folder = tmp_path / "worker"
    shutil.copytree(WORKER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in {name for files in GROUPS.values() for name in files if name.startswith("../")}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(WORKER / name, folder / name)
    return folder


@pytest.mark.parametrize("group", GROUPS)
def test_a_comment_and_a_docstring_in_every_file_change_nothing(tmp_path: Path, group: str) -> None:
    """Kept rows and passports outlive whatever is written for people."""
    folder = _copy(tmp_path)
    for name in GROUPS[group]:
        text = (folder / name).read_text()
        text = re.sub(r"^\"\"\"", '"""Another text. ', text, count=1)
        (folder / name).write_text(f"# A comment.\n{text}\n# Another one.\n")
    assert code_digest(GROUPS[group], folder=folder) == code_digest(GROUPS[group])


@pytest.mark.parametrize(
    ("group", "old", "new"),
    [
        ("COMPUTING", "compute/engines/pixels.py", "compute/engines/normalising.py"),
        ("COMPUTING", "compute/inference.py", "inference.py"),
        ("RECOGNITION", "experts/architectures.py", "networks/architectures.py"),
        ("JUDGING", "verify/metrics/calibration.py", "metrics/calibration.py"),
        ("AUDITING", "verify/json_values.py", "json_values.py"),
    ],
)
def test_a_moved_file_changes_nothing(tmp_path: Path, group: str, old: str, new: str) -> None:
    """Its imports follow it, and so does the list; what was kept stays good."""
    folder = _copy(tmp_path)
    (folder / new).parent.mkdir(parents=True, exist_ok=True)
    (folder / old).rename(folder / new)
    for path in folder.rglob("*.py"):
        path.write_text(_following(path.read_text(), _dotted(old), _dotted(new)))
    files = tuple(new if file == old else file for file in GROUPS[group])
    assert code_digest(files, folder=folder) == code_digest(GROUPS[group])


def _dotted(file: str) -> str:
    return f"worker/{file}".removesuffix(".py").replace("/", ".")


def _following(text: str, old: str, new: str) -> str:
    """A module's text with its imports of another module, or of names in it, changed to that one's new place."""
    lines = []
    for line in text.splitlines():
        package, _, name = old.rpartition(".")
        names = line.removeprefix(f"from {package} import ").split(", ")
        if line.startswith(f"from {package} import ") and name in names:
            lines.append("from {} import {}".format(*new.rsplit(".", 1)))
            names.remove(name)
            lines += [f"from {package} import {', '.join(names)}"] if names else []
        else:
            lines.append(line.replace(f"from {old} import", f"from {new} import"))
    return "\n".join(lines) + "\n"


def test_groups_are_told_apart() -> None:
    """Each has a digest of its own, the same each time."""
    digests = [code_digest(files) for files in GROUPS.values()]
    assert len(set(digests)) == len(GROUPS)
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in digests)
