"""Digests of the worker's code: results of other code are never taken for those of this one.

Digested is what the code means (`app.domain.code_meaning`), so comments, docstrings and moved files cost nobody a
recomputation. A version number, which somebody would have to raise, would be forgotten.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from app.domain.code_meaning import Source, meaning_of, read_source
from app.domain.errors import FatalError

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
    "experts/tensors.py",
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
    "verify/file_schema.py",
    "verify/ground_truth.py",
    "verify/json_values.py",
    "verify/lists.py",
    "verify/manifest_checks.py",
    "verify/metrics/__init__.py",
    "verify/metrics/accuracy.py",
    "verify/metrics/bootstrap.py",
    "verify/metrics/calibration.py",
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
)
"""What decides what is said of a set of splits, and which groups its classes make."""

WORKER = Path(__file__).parents[2] / "worker"


@cache
def code_digest(files: tuple[str, ...], *more: str, folder: Path = WORKER) -> str:
    """Digest what the files mean, as 16 hex digits.

    Args:
        files: relative to `folder`.
        more: whatever else belongs to it.
        folder: of the package.

    Raises:
        FatalError: `code-missing`, a file is not there: a digest without it would let its changes pass.
    """
    sources = {_module(name, folder): _source(folder, name) for name in files}
    return meaning_of(sources, more)[:16]


@cache
def _source(folder: Path, name: str) -> Source:
    """Parse a file once for all groups that it is in."""

    def is_module(dotted: str) -> bool:
        path = folder.parent.joinpath(*dotted.split("."))
        return path.is_dir() or path.with_name(f"{path.name}.py").is_file()

    try:
        return read_source(folder / name, is_module)
    except OSError as error:
        raise FatalError(
            "code-missing",
            f"{folder / name} cannot be read ({error.strerror}), but kept results depend on what it does. If it was "
            f"moved or renamed, give its new name in the lists of {Path(__file__).name}.",
        ) from error


def _module(name: str, folder: Path) -> str:
    path = Path(os.path.normpath(Path(folder.name, name)))  # resolves "../app", whatever the folders above are called
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")
