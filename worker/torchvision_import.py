"""Import of torchvision, even where its compiled operators do not load.

torchvision's compiled operators are built for exactly one torch release and one platform. With another build of torch
(such as a CPU torch beside a CUDA torchvision) the operators stay unregistered, and `import torchvision` fails where
it describes two of them from Python: `nms`, and in newer releases `qnms`. relogit needs neither, because ResNets and
image folders are plain Python. So this module declares the two operators without a body and repeats the import. With
matching builds the plain import succeeds, and nothing is declared.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_declared: list[torch.library.Library] = []  # a declaration ends with its Library object


def import_torchvision() -> ModuleType:
    """Import torchvision, declaring its missing operators where necessary.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: its import failed for a reason other than the missing operators.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    # The failed import leaves incomplete submodules behind, which a second import would use.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    # Both are declared at once: an import that failed at `qnms` would have described `nms`, which works only once.
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # torch has no types here
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _declared.append(library)
    return importlib.import_module("torchvision")
