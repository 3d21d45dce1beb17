"""Digests of code: no file is forgotten, what is for people or only moved changes nothing, all else does."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

from app.domain import revisions
from app.domain.errors import FatalError
from app.domain.revisions import WORKER, code_digest, code_files

NAMES = ("COMPUTING", "RECOGNITION", "JUDGING", "AUDITING", "PLAIN", "NORMALISING")
GROUPS: dict[str, tuple[str, ...]] = {name: getattr(revisions, name) for name in NAMES}

NOT_FOLLOWED = {
    "torchvision_import.py": "imports torchvision, whose version belongs to the digest of rows",
    "device.py": "names the errors that mean a lack of memory, wherever it is not listed itself",
    "experts/assumptions.py": "verify/assumptions.py uses it, with whose checks no kept answer is made",
    "experts/stored_numbers.py": "as experts/assumptions.py",
}
"""Modules that listed files use although they are not in the same list, with the reason."""


@pytest.mark.parametrize("group", GROUPS)
def test_what_a_listed_file_uses_of_the_worker_is_listed_with_it(group: str) -> None:
    """A function that is moved to a module outside the list would leave the digest in silence."""
    files = code_files(GROUPS[group])
    assert len(files) == len(set(files)), "a list names each file once"
    used = {module for path in files for module in _imports(path)}
    listed = {path.relative_to(WORKER).as_posix() for path in files if path.is_relative_to(WORKER)}
    assert sorted(used - listed - NOT_FOLLOWED.keys()) == []


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
    for path in code_files(GROUPS[group], folder):
        text = re.sub(r"^\"\"\"", '"""Another text. ', path.read_text(), count=1)
        path.write_text(f"# A comment.\n{text}\n# Another one.\n")
    assert code_digest(GROUPS[group], folder=folder) == code_digest(GROUPS[group])


@pytest.mark.parametrize("group", GROUPS)
def test_moved_files_change_nothing(tmp_path: Path, group: str) -> None:
    """Their imports follow them, and so does the list; what was kept stays good."""
    folder = _copy(tmp_path)
    for room in ("compute", "experts", "verify"):
        (folder / room).rename(folder / f"new_{room}")
    for path in folder.rglob("*.py"):
        path.write_text(re.sub(r"\bworker\.(compute|experts|verify)\b", r"worker.new_\1", path.read_text()))
    files = tuple(re.sub(r"^(compute|experts|verify)\b", r"new_\1", file) for file in GROUPS[group])
    assert files != GROUPS[group]
    assert code_digest(files, folder=folder) == code_digest(GROUPS[group])


def test_groups_are_told_apart() -> None:
    """Each has a digest of its own, the same each time."""
    digests = [code_digest(files) for files in GROUPS.values()]
    assert len(set(digests)) == len(GROUPS)
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in digests)


FILES = {
    "chance.py": '''"""How likely something is by chance."""

from __future__ import annotations

import math
from functools import cache

from worker.limits import LIMIT

ALPHA = 0.01
"""What is rare."""


@cache
def tail(count: int, *, share: float = 0.5) -> float:
    """The chance of so many."""
    # Exact.
    return math.pow(share, count) if count > LIMIT else 1.0


def is_rare(count: int) -> bool:
    return tail(count) < ALPHA
''',
    "limits.py": '''"""Numbers."""

LIMIT = 3


def clip(value: float) -> float:
    """Keep a value in its range."""
    if value > LIMIT:
        value = LIMIT
    return value
''',
    "report.py": '''"""Both together."""

import numpy as np

from worker import chance
from worker.limits import clip


def report(values: list[int]) -> list[bool]:
    return [chance.is_rare(int(clip(value))) for value in np.asarray(values)]
''',
}
"""A small package whose modules use each other."""

Package = dict[str, str]


def digest(folder: Path, files: Package, *more: str) -> str:
    """Of a package `worker` with these files, all of them listed."""
    root = folder / f"{len(list(folder.iterdir()))}" / "worker"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return code_digest(tuple(files), *more, folder=root)


def edited(file: str, old: str, new: str, files: Package = FILES) -> Package:
    assert old in files[file], f"{old!r} is not in {file}"
    return {**files, file: files[file].replace(old, new)}


MOVED = {
    name.replace("limits", "numbers/limits"): text.replace("worker.limits", "worker.numbers.limits")
    for name, text in FILES.items()
}
OWN, CLIP = "from worker import chance", "from worker.limits import clip"

SAME: dict[str, Package] = {
    "a comment": edited("chance.py", "# Exact.", "# Nearly exact."),
    "a docstring": edited("chance.py", "The chance of so many.", "Tell the chance."),
    "no docstring": edited("limits.py", '    """Keep a value in its range."""\n', ""),
    "a module's docstring": edited("limits.py", '"""Numbers."""', '"""Something else."""'),
    "a constant's docstring": edited("chance.py", '"""What is rare."""\n', ""),
    "layout": edited("chance.py", "tail(count) < ALPHA", "(\n        tail( count )<ALPHA\n    )"),
    "imports in another order": edited("report.py", f"{OWN}\n{CLIP}\n", f"{CLIP}\n{OWN}\n"),
    "a moved file": MOVED,
    "files in another order": dict(reversed(FILES.items())),
}


@pytest.mark.parametrize("change", SAME)
def test_what_computes_the_same_has_the_same_digest(tmp_path: Path, change: str) -> None:
    """Text for people, layout, and where a module lies are no part of the meaning."""
    assert list(SAME[change].items()) != list(FILES.items())
    assert digest(tmp_path, FILES) == digest(tmp_path, SAME[change])


TWINS = {
    "a.py": "LIMIT = 1\n\n\ndef first(x):\n    return x + LIMIT\n",
    "b.py": "LIMIT = 2\n\n\ndef second(x):\n    return x - LIMIT\n",
    "c.py": "from worker.a import LIMIT\n\n\ndef third(x):\n    return x * LIMIT\n",
}
"""Two modules that define one name."""

OTHER: dict[str, tuple[Package, Package]] = {
    "a constant": (FILES, edited("limits.py", "LIMIT = 3", "LIMIT = 4")),
    "a constant's type": (FILES, edited("limits.py", "LIMIT = 3", "LIMIT = 3.0")),
    "a default": (FILES, edited("chance.py", "share: float = 0.5", "share: float = 0.25")),
    "an operator": (FILES, edited("chance.py", "count > LIMIT", "count >= LIMIT")),
    "a decorator less": (FILES, edited("chance.py", "@cache\n", "")),
    "a statement less": (FILES, edited("limits.py", "        value = LIMIT", "        pass")),
    "a definition more": (FILES, edited("limits.py", "LIMIT = 3", "LIMIT = 3\nLOW = 1")),
    "a file less": (FILES, {name: text for name, text in FILES.items() if name != "chance.py"}),
    "a text that is a value": (FILES, edited("report.py", "return [", 'return [""] + [')),
    "a name": (FILES, edited("limits.py", "return value", "return LIMIT")),
    "a keyword": (FILES, edited("chance.py", "tail(count)", "tail(count, share=0.5)")),
    "a library": (FILES, edited("report.py", "import numpy as np", "import torch as np")),
    "a library's function": (FILES, edited("chance.py", "from functools import cache", "from toolz import cache")),
    "a library for its effect": (FILES, edited("limits.py", "LIMIT = 3", "import torch\n\nLIMIT = 3")),
    "one of two definitions": (
        edited("limits.py", "LIMIT = 3", "LIMIT = 3\nLIMIT = 4"),
        edited("limits.py", "LIMIT = 3", "LIMIT = 4\nLIMIT = 3"),
    ),
    "definitions of one name exchanged between modules": (
        TWINS,
        edited("a.py", "LIMIT = 1", "LIMIT = 2", edited("b.py", "LIMIT = 2", "LIMIT = 1", TWINS)),
    ),
    "a name from another module": (TWINS, edited("c.py", "worker.a", "worker.b", TWINS)),
    "a library's name instead of our own": (TWINS, edited("c.py", "worker.a", "elsewhere", TWINS)),
}


@pytest.mark.parametrize("change", OTHER)
def test_what_computes_otherwise_has_another_digest(tmp_path: Path, change: str) -> None:
    """Also where only a name is taken from elsewhere."""
    before, after = OTHER[change]
    assert digest(tmp_path, before) != digest(tmp_path, after)


def test_what_is_given_besides_counts(tmp_path: Path) -> None:
    """The version of a library, say."""
    assert len({digest(tmp_path, FILES, *more) for more in ((), ("1",), ("2",), ("1", "2"), ("12",))}) == 5


def test_a_listed_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Left out in silence, its later changes would pass; the message says where the lists are."""
    with pytest.raises(FatalError, match=r"limits\.py cannot be read.*revisions\.py") as caught:
        code_digest(("limits.py",), folder=tmp_path)
    assert caught.value.code == "code-missing"
    with pytest.raises(FatalError, match="cannot be read"):
        code_digest(("",), folder=tmp_path)
