"""Digests of the worker's code: results of other code are never taken for those of this one.

Digested are syntax trees without comments, docstrings and the places of first-party modules, so that a remark or a
moved file costs nobody a recomputation. A version number, which somebody would have to raise, would be forgotten.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from functools import cache
from pathlib import Path

from app.domain.errors import FatalError
from app.domain.syntax_trees import SYNTAX_TREES

FIRST_PARTY = ("app", "worker")
"""Packages whose modules may be moved without changing what their code means."""

COMPUTING = ("compute/engines", "compute/inference.py", "device.py", "experts/architectures.py")
"""What decides which operations an image goes through, and in which order."""

PLAIN = ("compute/plain_forward.py", "experts/architectures.py")
"""What decides the rows of the plain forward pass, which a sample of every job is held against."""

NORMALISING = ("compute/engines/pixels.py", "normalisation")
"""What decides what a checkpoint says about its mean and std."""

RECOGNITION = ("experts",)
"""What decides which network and which tensors a checkpoint file holds."""

JUDGING = (
    "../app/catalog/long_tail.py",
    "../app/domain/checks.py",
    "../app/domain/ensembles.py",
    "../app/domain/result_figures.py",
    "../app/domain/seeds.py",
    "analyses",
    "combine/evaluation/curves.py",
    "combine/evaluation/method_rows.py",
    "combine/evaluation/ranking.py",
    "combine/probabilities.py",
    "combine/rows.py",
    "datasets/class_counts.py",
    "datasets/pools.py",
    "inspections/analysis.py",
    "outputs/logit_reader.py",
    "verify",
)
"""What decides figures, their intervals and curves, those of ensembles, and which causes are found."""

AUDITING = (
    "../app/catalog/long_tail.py",
    "../app/domain/checks.py",
    "datasets/class_counts.py",
    "datasets/pools.py",
    "inspections/audit.py",
    "splits",
    "verify/json_values.py",
    "verify/lists.py",
)
"""What decides what is said of a set of splits, and which groups its classes make."""

COMBINING = (
    "../app/catalog/long_tail.py", "../app/domain/combining.py", "../app/domain/evaluations.py", "combine",
    "datasets/class_counts.py", "tasks/evaluated_methods.py", "tasks/expert_logits.py", "tasks/fit_gating.py",
    "verify/metrics",
)  # fmt: skip
"""What decides the parameters of combinations, the rules of rejectors, and their evaluation."""

COMPARING = (
    "../app/catalog/long_tail.py", "../app/domain/comparisons.py", "../app/domain/evaluations.py",
    "combine/evaluation", "compare", "compute/plain_forward.py", "datasets/class_counts.py",
    "evidence/normalisation_trial.py", "normalisation/candidates.py", "tasks/compared_sides.py",
    "tasks/comparison.py", "verify",
)  # fmt: skip
"""What decides the figures of comparisons, and the causes that they name."""

WORKER = Path(__file__).parents[2] / "worker"

Imported = tuple[str, str, str]
"""Module, name in it, and its local name; empty where there is none."""


@cache
def code_digest(places: tuple[str, ...], *more: str, folder: Path = WORKER) -> str:
    """Hash the code of `places`, as 16 hex digits.

    A first-party import counts with the content of the module, if that is listed, and not with its place: a name
    that is taken from another module is a change, and a moved module is none.

    Args:
        places: relative to `folder`; a folder stands for all modules in it.
        more: whatever else belongs to it.
        folder: of the package.

    Raises:
        FatalError: `code-missing`, a file is not there: a digest without it would let its changes pass.
    """
    modules = {_module(path, folder): read_code(path) for path in code_files(places, folder)}
    bodies = {module: body for module, (body, _) in modules.items()}
    texts = [[body, *sorted(_origin(item, bodies) for item in imports)] for body, imports in modules.values()]
    return _sha256(json.dumps([sorted(texts), more]))[:16]


def code_files(places: tuple[str, ...], folder: Path = WORKER) -> list[Path]:
    """List the files that are digested."""
    # A folder without modules stays on the list: reading it is an error.
    paths = [folder / place for place in places]
    return [file for path in paths for file in sorted(path.rglob("*.py")) or [path]]


@cache
def read_code(path: Path) -> tuple[str, frozenset[Imported]]:
    """Read a module's code, without docstrings, and its imports.

    Raises:
        FatalError: `code-missing`.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise FatalError(
            "code-missing",
            f"{path} cannot be read ({error.strerror}), but kept results depend on what it does. If it was moved or "
            f"renamed, give its new name in the lists of {Path(__file__).name}.",
        ) from error
    with SYNTAX_TREES:
        tree = ast.parse(source, path.name)
    imports: set[Imported] = set()
    for node in ast.walk(tree):
        for field, block in ast.iter_fields(node):
            if isinstance(block, list):
                setattr(node, field, [item for item in block if not _is_text(item)])
        if isinstance(node, ast.Import):
            imports |= {(alias.name, "", alias.asname or "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            place = "." * node.level + (node.module or "")
            imports |= {(place, alias.name, alias.asname or "") for alias in node.names}
    return ast.unparse(tree), frozenset(imports)


def _is_text(node: object) -> bool:
    """Tell whether a node is an import or a docstring."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Import | ast.ImportFrom)


def _origin(imported: Imported, bodies: dict[str, str]) -> list[str]:
    module, name, local = imported
    for place in (f"{module}.{name}", module):
        if place in bodies:
            return [_sha256(bodies[place]), name, local]
    return ["" if module.split(".")[0] in ("", *FIRST_PARTY) else module, name, local]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _module(path: Path, folder: Path) -> str:
    parts = Path(os.path.relpath(path, folder.parent)).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")
