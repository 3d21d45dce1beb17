"""How this worker computes, with everything that the bits of its rows depend on."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from app.numerics import Arithmetic
from worker.engines.choice import engine_version, precisions

ENGINE_CODE = ("engines/*.py", "infer.py", "networks.py")
"""What decides which operations an image goes through, and in which order."""

KERNEL_VARIABLES = ("DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "OV_CPU_MAX_ISA", "MKL_CBWR", "NVIDIA_TF32_OVERRIDE")
"""Environment variables with which somebody may choose other kernels."""


def arithmetic(device: torch.device, engine: str) -> Arithmetic:
    """What this worker computes with.

    Args:
        device: where.
        engine: `torch` or `openvino`.
    """
    on_gpu = device.type == "cuda"
    return Arithmetic(
        device="cuda" if on_gpu else "cpu",
        model=torch.cuda.get_device_name(device) if on_gpu else _processor()[0],
        capability=_gpu_capability(device) if on_gpu else _processor()[1],
        engine=engine,
        engine_version=engine_version(engine),
        revision=_revision(),
        precisions=precisions(engine, device),
    )


def _revision() -> str:
    # Of the code itself: a number that somebody has to raise would be forgotten, and old rows served.
    digest = hashlib.sha256(version("torchvision").encode())  # its ResNets are torchvision's code
    folder = Path(__file__).parent
    for path in sorted(path for pattern in ENGINE_CODE for path in folder.glob(pattern)):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _processor() -> tuple[str, str]:
    """Name, and what its kernels are chosen by."""
    fields: dict[str, str] = {}
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
        fields = {
            key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())
        }
    except OSError:
        pass  # no Linux
    name = fields.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{what} {fields[key]}" for what, key in
               (("family", "cpu family"), ("model", "model"), ("stepping", "stepping")) if key in fields]  # fmt: skip
    # Two machines of one name may offer different instructions: a virtual one hides some.
    flags = hashlib.sha256(" ".join(sorted(fields.get("flags", "").split())).encode()).hexdigest()[:8]
    chosen = [f"{name}={os.environ[name]}" for name in KERNEL_VARIABLES if name in os.environ]
    capability = [torch.backends.cpu.get_cpu_capability(), f"flags {flags}", *chosen]
    return (f"{name} ({', '.join(numbers)})" if numbers else name), ", ".join(capability)


def _gpu_capability(device: torch.device) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # PyTorch's own lack
    chosen = [f"{name}={os.environ[name]}" for name in KERNEL_VARIABLES if name in os.environ]
    return ", ".join([f"sm_{major}{minor}", f"CUDA {torch.version.cuda}", f"cuDNN {cudnn}", *chosen])
