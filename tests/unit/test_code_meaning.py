"""The meaning of code: what changes it is another digest, and what does not costs nobody a recomputation."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from app.domain.errors import FatalError
from app.domain.revisions import code_digest

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


def renamed(old: str, new: str) -> Package:
    """A module under another name, with every import of it changed."""
    module, other = (name.removesuffix(".py").replace("/", ".") for name in (old, new))
    files = {new if name == old else name: text for name, text in FILES.items()}
    return {name: text.replace(f"worker.{module}", f"worker.{other}") for name, text in files.items()}


def split_in_two() -> Package:
    text = FILES["chance.py"]
    start = text.index("def is_rare")
    second = "from __future__ import annotations\nfrom worker.chance import ALPHA, tail\n" + text[start:]
    files = {**FILES, "chance.py": text[:start], "rarity.py": second}
    return edited("report.py", "from worker import chance", "from worker import rarity as chance", files)


def moved_function() -> Package:
    text = FILES["limits.py"]
    start = text.index("def clip")
    files = {**FILES, "limits.py": text[:start], "report.py": f"{FILES['report.py']}\n\n{text[start:]}"}
    return edited("report.py", "from worker.limits import clip", "from worker.limits import LIMIT", files)


def reversed_definitions() -> Package:
    head, body = FILES["limits.py"].split("LIMIT = 3\n")
    return {**FILES, "limits.py": f"{head}{body}\n\nLIMIT = 3\n"}


def without_import(line: str, files: Package = FILES) -> Package:
    return edited("report.py", f"{line}\n", "", files)


TYPING = edited("limits.py", "LIMIT = 3", "from typing import TYPE_CHECKING\n\nLIMIT = 3")
FOR_TYPES = "if TYPE_CHECKING:\n    from worker.chance import tail\n\nLIMIT = 3"
OWN, CLIP = "from worker import chance", "from worker.limits import clip"

SAME: dict[str, tuple[Package, Package]] = {
    "a comment": (FILES, edited("chance.py", "# Exact.", "# Nearly exact.")),
    "a comment more": (FILES, edited("limits.py", "LIMIT = 3\n", "LIMIT = 3  # not 4\n")),
    "a docstring": (FILES, edited("chance.py", "The chance of so many.", "Tell the chance.")),
    "no docstring": (FILES, edited("limits.py", '    """Keep a value in its range."""\n', "")),
    "a module's docstring": (FILES, edited("limits.py", '"""Numbers."""', '"""Something else."""')),
    "a constant's docstring": (FILES, edited("chance.py", '"""What is rare."""\n', "")),
    "layout": (FILES, edited("chance.py", "tail(count) < ALPHA", "(\n        tail( count )<ALPHA\n    )")),
    "another spelling of a number": (FILES, edited("chance.py", "0.01", "1e-2")),
    "imports in another order": (FILES, edited("report.py", f"{OWN}\n{CLIP}\n", f"{CLIP}\n{OWN}\n")),
    "definitions in another order": (FILES, reversed_definitions()),
    "an import inside a function": (
        FILES,
        edited("report.py", "    return [", f"    {OWN}\n\n    return [", without_import(OWN)),
    ),
    "a module's function by itself": (
        FILES,
        edited("report.py", "chance.is", "is", edited("report.py", OWN, "from worker.chance import is_rare")),
    ),
    "a library under another name": (FILES, edited("report.py", "np", "numpy", edited("report.py", " as np", ""))),
    "an import for types": (TYPING, edited("limits.py", "LIMIT = 3", FOR_TYPES, TYPING)),
    "a moved file": (FILES, renamed("limits.py", "numbers/limits.py")),
    "a renamed file": (FILES, renamed("limits.py", "bounds.py")),
    "a renamed file that is used as a module": (
        FILES,
        edited("report.py", "chance", "luck", renamed("chance.py", "luck.py")),
    ),
    "a split file": (FILES, split_in_two()),
    "a moved function": (FILES, moved_function()),
    "an empty file more": (FILES, {**FILES, "__init__.py": '"""A package."""\n'}),
}


@pytest.mark.parametrize("change", SAME)
def test_what_computes_the_same_has_the_same_digest(tmp_path: Path, change: str) -> None:
    """Text for people, layout, and where a definition stands are no part of the meaning."""
    before, after = SAME[change]
    assert before != after
    assert digest(tmp_path, before) == digest(tmp_path, after)


TWINS = {
    "a.py": "LIMIT = 1\n\n\ndef first(x):\n    return x + LIMIT\n",
    "b.py": "LIMIT = 2\n\n\ndef second(x):\n    return x - LIMIT\n",
    "c.py": "from worker.a import LIMIT\n\n\ndef third(x):\n    return x * LIMIT\n",
    "d.py": "from worker.c import third\n\n\ndef fourth(x):\n    return third(x)\n",
}
"""Two modules that define one name."""

LAST = "def last():\n    return {}\n"

OTHER: dict[str, tuple[Package, Package]] = {
    "a constant": (FILES, edited("limits.py", "LIMIT = 3", "LIMIT = 4")),
    "a constant's type": (FILES, edited("limits.py", "LIMIT = 3", "LIMIT = 3.0")),
    "a default": (FILES, edited("chance.py", "share: float = 0.5", "share: float = 0.25")),
    "an operator": (FILES, edited("chance.py", "count > LIMIT", "count >= LIMIT")),
    "a decorator less": (FILES, edited("chance.py", "@cache\n", "")),
    "a statement more": (FILES, edited("limits.py", "    return value", "    value += 1\n    return value")),
    "a statement less": (FILES, edited("limits.py", "        value = LIMIT", "        pass")),
    "a definition more": (FILES, edited("limits.py", "LIMIT = 3", "LIMIT = 3\nLOW = 1")),
    "a definition less": (FILES, {name: text for name, text in FILES.items() if name != "chance.py"}),
    "a definition twice": (FILES, edited("limits.py", "LIMIT = 3", "LIMIT = 3\nLIMIT = 3")),
    "a text that is a value": (FILES, edited("report.py", "return [", 'return [""] + [')),
    "a name": (FILES, edited("limits.py", "return value", "return LIMIT")),
    "a keyword": (FILES, edited("chance.py", "tail(count)", "tail(count, share=0.5)")),
    "a library": (FILES, edited("report.py", "import numpy as np", "import torch as np")),
    "a library's function": (FILES, edited("chance.py", "from functools import cache", "from toolz import cache")),
    "a library for its effect": (FILES, edited("limits.py", "LIMIT = 3", "import torch\n\nLIMIT = 3")),
    "calls in another order": (
        edited("limits.py", "LIMIT = 3", "LIMIT = 3\nprint(1)\nprint(2)"),
        edited("limits.py", "LIMIT = 3", "LIMIT = 3\nprint(2)\nprint(1)"),
    ),
    "a function that is defined twice": (
        edited("limits.py", "LIMIT = 3", f"LIMIT = 3\n{LAST.format(1)}{LAST.format(2)}"),
        edited("limits.py", "LIMIT = 3", f"LIMIT = 3\n{LAST.format(2)}{LAST.format(1)}"),
    ),
    "statements in another order": (
        edited("limits.py", "LIMIT = 3", "LIMIT = 3\nLIMIT += 1\nLIMIT *= 2"),
        edited("limits.py", "LIMIT = 3", "LIMIT = 3\nLIMIT *= 2\nLIMIT += 1"),
    ),
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
    """Also where the same definitions are there, and only a name means another one."""
    before, after = OTHER[change]
    assert digest(tmp_path, before) != digest(tmp_path, after)


def test_what_is_given_besides_counts(tmp_path: Path) -> None:
    """The version of a library, say."""
    assert len({digest(tmp_path, FILES, *more) for more in ((), ("1",), ("2",), ("1", "2"), ("12",))}) == 5


def test_a_listed_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Left out in silence, its later changes would pass; the message says where the lists are."""
    digest(tmp_path, FILES)
    shutil.copytree(tmp_path / "0", tmp_path / "moved")
    folder = tmp_path / "moved" / "worker"
    (folder / "limits.py").unlink()
    with pytest.raises(FatalError, match=r"limits\.py cannot be read.*revisions\.py") as caught:
        code_digest(tuple(FILES), folder=folder)
    assert caught.value.code == "code-missing"
