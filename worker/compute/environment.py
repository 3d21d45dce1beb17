"""The compute environment of this worker: everything that the bits of its rows depend on."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from app.domain.numerics import ComputeEnvironment
from app.domain.revisions import COMPUTING, code_digest
from worker.compute.engines.choice import engine_version, precisions

KERNEL_VARIABLES = ("DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "OV_CPU_MAX_ISA", "MKL_CBWR", "NVIDIA_TF32_OVERRIDE")
"""Environment variables that select other kernels."""

MODEL_FIELDS = ("cpu family", "model", "stepping", "CPU implementer", "CPU variant", "CPU part", "CPU revision")
"""Fields of /proc/cpuinfo on x86 and ARM."""


def arithmetic(device: torch.device, engine: str) -> ComputeEnvironment:
    """Describe the compute environment of this worker.

    Args:
        device: the device that the worker computes on.
        engine: `torch` or `openvino`.
    """
    on_gpu = device.type == "cuda"
    # torchvision's code defines its ResNets; builds of one PyTorch version ship with different maths libraries.
    revision = code_digest(COMPUTING, version("torchvision"), torch.__config__.show())
    return ComputeEnvironment(
        device="cuda" if on_gpu else "cpu",
        model=torch.cuda.get_device_name(device) if on_gpu else _this_processor()[0],
        capability=_gpu_capability(device) if on_gpu else _this_processor()[1],
        engine=engine,
        engine_version=engine_version(engine),
        revision=revision,
        precisions=precisions(engine, device),
    )


def processor(cpuinfo: str) -> tuple[str, str]:
    """Return a processor's name and the capabilities that select kernels.

    Args:
        cpuinfo: content of /proc/cpuinfo; empty on other systems than Linux.
    """
    lines = (line.partition(":") for line in cpuinfo.split("\n\n")[0].splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    model = {key: fields[key] for key in MODEL_FIELDS if key in fields}
    name = fields.get("model name") or platform.processor() or platform.machine()
    numbers = ", ".join(f"{key} {value}" for key, value in model.items())
    # Two machines with the same processor name may differ in instructions: a virtual machine hides some.
    flags = " ".join(sorted((fields.get("flags") or fields.get("Features") or "").split()))
    digest = hashlib.sha256(flags.encode()).hexdigest()[:8] if flags else f"of {platform.node()}"
    capability = [torch.backends.cpu.get_cpu_capability(), f"flags {digest}", *_chosen_kernels()]
    return (f"{name} ({numbers})" if numbers else name), ", ".join(capability)


def _this_processor() -> tuple[str, str]:
    try:
        return processor(Path("/proc/cpuinfo").read_text())
    except OSError:  # not Linux: rows are then reused on this machine only
        return processor("")


def _chosen_kernels() -> list[str]:
    return [f"{name}={os.environ[name]}" for name in KERNEL_VARIABLES if name in os.environ]


def _gpu_capability(device: torch.device) -> str:
    major, minor = torch.cuda.get_device_capability(device)
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # PyTorch declares no type
    versions = [f"sm_{major}{minor}", f"CUDA {torch.version.cuda}", f"cuDNN {cudnn}"]
    return ", ".join([*versions, *_chosen_kernels()])
