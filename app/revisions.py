"""Digests of the worker's code: what it made before it was changed is not taken for what it makes now.

Of the code itself: a number that somebody has to raise would be forgotten, and old answers and rows served.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

COMPUTING = ("engines/*.py", "device.py", "infer.py", "networks.py")
"""What decides which operations an image goes through, and in which order."""

RECOGNITION = (
    "assumptions.py",
    "checkpoints.py",
    "experts.py",
    "networks.py",
    "plain_values.py",
    "recognise.py",
    "stored_numbers.py",
    "tensor_kinds.py",
    "tensor_names.py",
    "weight_range.py",
    "weight_sets.py",
)
"""What decides which network and which tensors a checkpoint file holds."""

JUDGING = ("analysis.py", "logit_reader.py", "long_tail.py", "verify/*.py", "verify/metrics/*.py")
"""What decides figures, their intervals and curves, and which causes are found."""

AUDITING = ("auditor.py", "long_tail.py", "splits/*.py", "verify/check.py", "verify/lists.py")
"""What decides what is said of a set of splits."""

WORKER = Path(__file__).parents[1] / "worker"


@cache
def code_digest(patterns: tuple[str, ...], *more: str, folder: Path = WORKER) -> str:
    """16 hex digits over the files of those patterns, their names, and whatever else is given."""
    digest = hashlib.sha256("\0".join(more).encode())
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        digest.update(b"\0" + path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
