"""`python -m worker.doctor.torch_process DEVICE ENGINE`: imports torch as the worker does, and reports as JSON.

A process of its own: a torch of another machine's build may end it without a word, and a driver may hang it.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import re
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

MARK = "relogit-doctor:"
"""Before the JSON: what else is on standard output is somebody else's."""


def main(wanted_device: str, wanted_engine: str) -> None:
    """Print what `Computing` is made of; whatever is broken becomes a sentence in it."""
    print(MARK + json.dumps(_look(wanted_device, wanted_engine)))


def _look(wanted_device: str, wanted_engine: str) -> dict[str, Any]:
    try:
        import torch

        seen: dict[str, Any] = {"torch": str(torch.__version__), "cuda": torch.version.cuda}
    except Exception as error:  # noqa: BLE001 — a broken installation comes up with anything
        return {"error": _line(error)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seen["gpus"] = [_gpu(index) for index in range(torch.cuda.device_count())]
        torch.cuda.is_available()
        seen["said"] = [str(one.message) for one in caught if "CUDA" in str(one.message)]
    return {**seen, **_vision(), **_choice(wanted_device, wanted_engine)}


def _gpu(index: int) -> dict[str, Any]:
    import torch

    name = ""
    try:
        name = torch.cuda.get_device_name(index)
        free, total = torch.cuda.mem_get_info(index)
        ones = torch.ones(8, 8, device=f"cuda:{index}")
        (ones @ ones).sum().item()
        return {"name": name, "free_bytes": free, "total_bytes": total}
    except Exception as error:  # noqa: BLE001 — drivers, too, come up with anything
        return {"name": name or "nameless", "error": _line(error)}


def _vision() -> dict[str, Any]:
    try:
        version = importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        return {"vision": None}
    try:
        from worker.torchvision_import import import_torchvision

        import_torchvision()
        error = None
    except Exception as raised:  # noqa: BLE001 — as above
        error = _line(raised)
    return {"vision": _with_build(version), "vision_error": error}


def _with_build(version: str) -> str:
    """torchvision's version with what it was built for, which its metadata leave out on the package index."""
    spec = find_spec("torchvision")
    if spec is None or not spec.origin or "+" in version:
        return version
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return version
    found = re.search(r"__version__ = '([^']+)'", text)
    return found[1] if found and found[1].partition("+")[0] == version else version


def _choice(wanted_device: str, wanted_engine: str) -> dict[str, Any]:
    """Device, engine and precisions, as a worker chooses them."""
    try:
        from app.domain.errors import FatalError
        from worker.compute.engines.choice import choose_engine, engine_version, precisions
        from worker.device import choose_device
    except Exception as error:  # noqa: BLE001 — as above
        return {"engine_error": f"The worker's engines cannot be imported: {_line(error)}."}
    seen: dict[str, Any] = {"openvino": find_spec("openvino") is not None}
    try:
        device = choose_device(wanted_device, 0)
    except FatalError as error:
        return {**seen, "device_error": error.message}
    said = _Said()
    logging.getLogger("worker").addHandler(said)
    try:
        engine = choose_engine(cast(Literal["auto", "torch", "openvino"], wanted_engine), device)
        name = f"{'PyTorch' if engine == 'torch' else 'OpenVINO'} {engine_version(engine)}"
        can = list(precisions(engine, device))
    except FatalError as error:
        return {**seen, "device": str(device), "engine_error": error.message}
    except Exception as error:  # noqa: BLE001 — as above
        return {**seen, "device": str(device), "engine_error": f"No engine can be used: {_line(error)}."}
    return {**seen, "device": str(device), "engine": name, "precisions": can, "engine_said": said.lines}


class _Said(logging.Handler):
    """What was logged meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()}.")


def _line(error: Exception) -> str:
    """An error in one line, without a dot at its end."""
    said = " ".join(str(error).split())[:300].rstrip(".")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


if __name__ == "__main__":
    main(*sys.argv[1:3])
