"""The choice of a worker's engine, and the precisions that each engine offers."""

from __future__ import annotations

import logging
from importlib.metadata import version
from importlib.util import find_spec
from typing import Literal

import torch
from torch import nn

from app.domain.errors import FatalError
from app.domain.requests import Precision
from worker.compute.engines.engine import Engine, Setup
from worker.compute.engines.openvino_engine import OpenvinoEngine, capabilities
from worker.compute.engines.torch_engine import TorchEngine

log = logging.getLogger(__name__)

EngineName = Literal["torch", "openvino"]

AMPERE = (8, 0)
"""Compute capability from which NVIDIA's tensor cores support TF32 and bf16."""


def choose_engine(wanted: Literal["auto", "torch", "openvino"], device: torch.device) -> EngineName:
    """Choose the engine of a worker.

    Args:
        wanted: `auto` is OpenVINO on a CPU if it is installed and works, else PyTorch.
        device: the device that the worker computes on.

    Raises:
        FatalError: `no-such-engine`.
    """
    on_cpu = device.type == "cpu"
    if wanted == "torch" or (wanted == "auto" and not on_cpu):
        return "torch"
    if not on_cpu:
        raise FatalError(
            "no-such-engine",
            f"RELOGIT_ENGINE is 'openvino', but OpenVINO is used on CPUs only, and this worker computes on {device}. "
            "Use RELOGIT_ENGINE=auto, or RELOGIT_DEVICE=cpu.",
        )
    if find_spec("openvino") is None:
        if wanted == "auto":
            return "torch"
        raise FatalError(
            "no-such-engine",
            "RELOGIT_ENGINE is 'openvino', but OpenVINO is not installed here: pip install 'relogit[openvino]'. "
            "RELOGIT_ENGINE=auto does without.",
        )
    try:
        capabilities()
    except Exception as error:  # a broken installation raises errors of any type
        if wanted == "auto":
            log.warning("OpenVINO is installed but cannot be used, so PyTorch computes: %s", error)
            return "torch"
        raise FatalError(
            "no-such-engine",
            f"RELOGIT_ENGINE is 'openvino', which is installed but cannot be used: {error}. Install it again, "
            "pip install --force-reinstall openvino, or use RELOGIT_ENGINE=auto, which does without.",
        ) from error
    return "openvino"


def precisions(engine: str, device: torch.device) -> tuple[Precision, ...]:
    """List the precisions of an engine's kernels, `fp32` first.

    Args:
        engine: `torch` or `openvino`.
        device: the device; CUDA with `torch` only.
    """
    if device.type == "cuda":
        ampere = torch.cuda.get_device_capability(device) >= AMPERE
        return ("fp32", "tf32", "bf16", "fp16") if ampere else ("fp32", "fp16")
    if engine == "openvino":
        known = capabilities()
        bf16, fp16 = "BF16" in known, "FP16" in known
    else:
        bf16, fp16 = _torch_kernels()
    return ("fp32", *(("bf16",) if bf16 else ()), *(("fp16",) if fp16 else ()))


def _torch_kernels() -> tuple[bool, bool]:
    """Tell whether this CPU has fast bf16 and fp16 kernels.

    Without them PyTorch takes far longer than in float32. A release that cannot list the processor's instructions
    counts as having none.
    """
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.cpu, "get_capabilities"):  # type: ignore[no-untyped-call]
        return False, False
    instructions = torch.cpu.get_capabilities()
    bf16 = any(instructions.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    fp16 = any(instructions.get(name, False) for name in ("avx512_fp16", "amx_fp16"))
    return bf16, fp16


def engine_version(engine: str) -> str:
    """Return the version of an engine's kernel library.

    Args:
        engine: `torch` or `openvino`.
    """
    return str(torch.__version__) if engine == "torch" else version("openvino")


def make_engine(engine: EngineName, network: nn.Module, setup: Setup) -> Engine:
    """Make an engine ready to run one expert.

    Args:
        engine: its name.
        network: in eval mode, float32, on the CPU; not changed.
        setup: image shape, batch, device, and a precision that `precisions` lists.

    Raises:
        JobError: as `OpenvinoEngine` raises.
        NoMemory: the network does not fit.
    """
    return OpenvinoEngine(network, setup) if engine == "openvino" else TorchEngine(network, setup)
