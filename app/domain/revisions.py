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

COMPUTING = (
    "compute/engines/__init__.py",
    "compute/engines/bounds.py",
    "compute/engines/choice.py",
    "compute/engines/engine.py",
    "compute/engines/folding.py",
    "compute/engines/openvino_engine.py",
    "compute/engines/openvino_model.py",
    "compute/engines/overflow.py",
    "compute/engines/pixels.py",
    "compute/engines/torch_engine.py",
    "compute/inference.py",
    "device.py",
    "experts/architectures.py",
)
"""What decides which operations an image goes through, and in which order."""

PLAIN = ("compute/plain_forward.py", "experts/architectures.py")
"""What decides the rows of the plain forward pass, which a sample of every job is held against."""

NORMALISING = (
    "compute/engines/pixels.py",
    "normalisation/__init__.py",
    "normalisation/augmentations.py",
    "normalisation/candidates.py",
    "normalisation/channel_order.py",
    "normalisation/evidence.py",
    "normalisation/fit.py",
    "normalisation/patches.py",
    "normalisation/stem.py",
)
"""What decides what a checkpoint says about its mean and std."""

RECOGNITION = (
    "experts/architectures.py",
    "experts/assumptions.py",
    "experts/checkpoints.py",
    "experts/loading.py",
    "experts/plain_values.py",
    "experts/recognition.py",
    "experts/stored_numbers.py",
    "experts/tensor_kinds.py",
    "experts/tensor_names.py",
    "experts/weight_range.py",
    "experts/weight_sets.py",
)
"""What decides which network and which tensors a checkpoint file holds."""

JUDGING = (
    "../app/catalog/long_tail.py",
    "../app/domain/checks.py",
    "datasets/class_counts.py",
    "datasets/pools.py",
    "inspections/analysis.py",
    "outputs/logit_reader.py",
    "verify/__init__.py",
    "verify/causes.py",
    "verify/chance.py",
    "verify/consistency.py",
    "verify/criteria.py",
    "verify/cross_expert.py",
    "verify/file_schema.py",
    "verify/ground_truth.py",
    "verify/json_values.py",
    "verify/lists.py",
    "verify/manifest_checks.py",
    "verify/metrics/__init__.py",
    "verify/metrics/accuracy.py",
    "verify/metrics/bootstrap.py",
    "verify/metrics/calibration.py",
    "verify/metrics/groups.py",
    "verify/metrics/point.py",
    "verify/metrics/rows.py",
    "verify/metrics/selective.py",
    "verify/metrics/ties.py",
    "verify/provenance.py",
    "verify/report.py",
    "verify/sample.py",
    "verify/scale.py",
    "verify/similarity.py",
    "verify/summary_metrics.py",
)
"""What decides figures, their intervals and curves, and which causes are found."""

AUDITING = (
    "../app/catalog/long_tail.py",
    "../app/domain/checks.py",
    "datasets/class_counts.py",
    "datasets/pools.py",
    "inspections/audit.py",
    "splits/__init__.py",
    "splits/audit.py",
    "splits/description.py",
    "splits/distribution.py",
    "splits/duplicate_images.py",
    "verify/json_values.py",
    "verify/lists.py",
    "verify/metrics/groups.py",
)
"""What decides what is said of a set of splits, and which groups its classes make."""

WORKER = Path(__file__).parents[2] / "worker"

Imported = tuple[str, str, str]
"""Module, name in it, and its local name; empty where there is none."""


@cache
def code_digest(files: tuple[str, ...], *more: str, folder: Path = WORKER) -> str:
    """Digest what the files mean, as 16 hex digits.

    A first-party import counts with the content of the module, if that is listed, and not with its place: a name
    that is taken from another module is a change, and a moved module is none.

    Args:
        files: relative to `folder`.
        more: whatever else belongs to it.
        folder: of the package.

    Raises:
        FatalError: `code-missing`, a file is not there: a digest without it would let its changes pass.
    """
    modules = {_module(name, folder): read_code(folder / name) for name in files}
    bodies = {module: body for module, (body, _) in modules.items()}
    texts = [[body, *sorted(_origin(item, bodies) for item in imports)] for body, imports in modules.values()]
    return _sha256(json.dumps([sorted(texts), more]))[:16]


@cache
def read_code(path: Path) -> tuple[str, frozenset[Imported]]:
    """Read a module's code without texts for people, and what it imports.

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
    """Tell whether a part of the tree is an import or a text that is no value."""
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


def _module(name: str, folder: Path) -> str:
    path = Path(os.path.normpath(Path(folder.name, name)))  # resolves "../app", whatever the folders above are called
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")
