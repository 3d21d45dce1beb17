"""`python -m worker.doctor.computing DEVICE ENGINE`: check what computes, and print a finding a line as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, cast

import torch

from app.domain.errors import FatalError
from worker.compute.engines.choice import choose_engine, engine_version, precisions
from worker.device import choose_device, device_count, device_name, prepare
from worker.doctor import Finding
from worker.torchvision_import import import_torchvision

Engine = Literal["auto", "torch", "openvino"]

DRIVER = Path("/proc/driver/nvidia/version")
SUBJECTS = {"no-such-device": "gpu", "tf32-forced": "tf32", "no-such-engine": "engine"}
"""Error code → what was checked."""


def check_computing(wanted_device: str, wanted_engine: Engine) -> Iterator[Finding]:
    """Check PyTorch, torchvision, and the workers' devices and engine."""
    yield check_torchvision()
    try:
        count = device_count() if wanted_device in ("auto", "cuda") else 1
        devices = [choose_device(wanted_device, index) for index in range(count)]
        prepare(devices[0], workers=1)
        yield from map(check_device, devices)
        if devices[0].type == "cpu" and wanted_device == "auto" and DRIVER.exists():
            remedy = "Install a PyTorch build for the driver's CUDA version; start a container with --gpus all."
            yield Finding("warning", "gpu", "An NVIDIA driver is loaded, but PyTorch can use no GPU.", remedy)
        yield check_engine(wanted_engine, devices[0])
    except FatalError as error:  # it says what would be right
        yield Finding("problem", SUBJECTS[error.code], error.message)


def check_torchvision() -> Finding:
    """Check that torchvision can be imported with this PyTorch."""
    build = f"PyTorch {torch.__version__} ({f'CUDA {torch.version.cuda}' if torch.version.cuda else 'CPU only'})"
    try:
        return Finding("ok", "torch", f"{build} and torchvision {import_torchvision().__version__} work together.")
    except Exception as error:  # noqa: BLE001 — the import of a broken installation may raise anything
        remedy = "pip install --force-reinstall torch torchvision, both from one index"
        return Finding("problem", "torchvision", f"It cannot be imported with {build}: {_line(error)}.", remedy)


def check_device(device: torch.device) -> Finding:
    """Check that a device computes a small product."""
    try:
        ones = torch.ones(8, 8, device=device)
        (ones @ ones).sum().item()
        memory = f", {torch.cuda.mem_get_info(device)[0] / 1e9:.1f} GB free" if device.type == "cuda" else ""
        return Finding("ok", "gpu", f"Jobs run on {device_name(device)}{memory}.")
    except Exception as error:  # noqa: BLE001 — drivers raise anything
        remedy = "Free memory on it (nvidia-smi lists its processes), or install a PyTorch build for this GPU."
        return Finding("problem", "gpu", f"{device} cannot compute: {_line(error)}.", remedy)


def check_engine(wanted: Engine, device: torch.device) -> Finding:
    """Check which engine a worker chooses.

    With `auto` on a CPU, the finding names a faster engine that is missing or cannot be used.

    Raises:
        FatalError: `no-such-engine`.
    """
    engine = choose_engine(wanted, device)
    message = f"{engine} {engine_version(engine)} computes on {device}, in {', '.join(precisions(engine, device))}."
    if wanted != "auto" or engine == "openvino" or device.type != "cpu":
        return Finding("ok", "engine", message)
    if find_spec("openvino") is None:
        return Finding("ok", "engine", f"{message} OpenVINO would be faster.", "pip install '.[openvino]'")
    message += " OpenVINO, faster on CPUs, is installed but cannot be used."
    return Finding("warning", "engine", message, "RELOGIT_ENGINE=openvino relogit doctor says why.")


def _line(error: Exception) -> str:
    """Write an error as one line, cut to 300 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300].rstrip('.')}"


if __name__ == "__main__":
    for finding in check_computing(sys.argv[1], cast(Engine, sys.argv[2])):
        print(json.dumps(asdict(finding)), flush=True)
