"""The libraries that the figures are held against, imported so that their own accidents stay outside.

torchmetrics imports torchvision, so that must have come in first the way the worker does it. torch-uncertainty
cannot be imported without trainers that nothing here needs; its metrics are files that need none of them.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from worker.torchvision_import import import_torchvision


@cache
def torchmetrics_classification() -> Any:
    """`torchmetrics.functional.classification`."""
    import_torchvision()
    return importlib.import_module("torchmetrics.functional.classification")


@cache
def torch_uncertainty_file(path: str) -> Any:
    """A file of `torch_uncertainty/metrics/classification` as a module of its own."""
    torchmetrics_classification()
    package = importlib.util.find_spec("torch_uncertainty")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "metrics" / "classification" / path
    spec = importlib.util.spec_from_file_location(f"torch_uncertainty_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
