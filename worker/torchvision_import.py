"""Import of torchvision, even where its compiled operators do not load.

torchvision's compiled operators are built for exactly one torch release and one platform. With a torch of
another build (a CPU torch beside a CUDA torchvision, say) the operators stay unregistered, and `import
torchvision` then fails where it describes two of them from Python: `nms`, and in newer releases `qnms`.
Nothing in relogit uses them: ResNets and image folders are plain Python. So the two are declared, without a
body, and the import goes on. With a matching pair the plain import succeeds and nothing here is touched.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_declared: list[torch.library.Library] = []  # a declaration lives only as long as its Library object


def import_torchvision() -> ModuleType:
    """Import torchvision, declaring its missing operators where necessary.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: its import failed for another reason than the undeclared operators.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    # The failed import leaves submodules behind that would be taken for whole ones.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    # Both at once: a second failed import would have described `nms` already, and a third could not again.
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # torch has no types here
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _declared.append(library)
    return importlib.import_module("torchvision")
