"""Which device a worker computes on, set up so that float32 means float32."""

from __future__ import annotations

import ctypes
import os
import platform

import torch

from app.domain.errors import FatalError

# From <malloc.h>. Freed activations stay with the process: handing them to the kernel and taking them back,
# zeroed page by page, costs half of a forward pass on a CPU.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
KEPT_BYTES, TOP_PAD_BYTES = 2**31 - 1, 256 * 2**20

NICENESS = 5
"""Of a worker that computes on the CPU: a third of the API's share where both want the same core."""

NO_MEMORY = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""How the CPU's allocator and CUDA's libraries say what PyTorch otherwise raises OutOfMemoryError for."""


def choose_device(wanted: str, index: int) -> torch.device:
    """The device of worker number `index`.

    Args:
        wanted: `auto` (CUDA where there is one), `cpu`, `cuda` (the index-th) or `cuda:N`.
        index: the worker's number, from 0; with several GPUs each worker takes its own.

    Raises:
        FatalError: `no-such-device`.
    """
    there = torch.cuda.device_count()
    if wanted == "cpu" or (wanted == "auto" and there == 0):
        return torch.device("cpu")
    number = int(wanted.split(":")[1]) if ":" in wanted else index % max(there, 1)
    if number >= there:
        raise FatalError(
            "no-such-device",
            f"RELOGIT_DEVICE is {wanted!r}, but PyTorch sees {there} CUDA devices. Use 'cpu' or 'auto', or install "
            "a PyTorch build that fits the driver.",
        )
    return torch.device("cuda", number)


def prepare(device: torch.device, *, workers: int) -> None:
    """Exact arithmetic, and the machine's cores shared out.

    Args:
        device: where this worker computes.
        workers: how many workers share this machine.

    Raises:
        FatalError: `tf32-forced`.
    """
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "1":
        raise FatalError(
            "tf32-forced",
            "NVIDIA_TF32_OVERRIDE=1 makes float32 TF32 behind PyTorch's back. Take it out of the environment; a job "
            "may ask for precision 'tf32'.",
        )
    torch.set_float32_matmul_precision("highest")
    # On by default: convolutions would round their inputs to TF32's 10 bits of mantissa.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if device.type == "cpu":
        torch.set_num_threads(max(1, cores() // max(1, workers)))
        keep_freed_memory()
        # Whoever asks the API is answered first; where nobody asks, nothing is lost.
        os.nice(NICENESS)
    else:
        torch.cuda.set_device(device)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory; elsewhere do nothing."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, KEPT_BYTES), (M_TOP_PAD, TOP_PAD_BYTES)):
            libc.mallopt(option, value)


def device_name(device: torch.device) -> str:
    """The device for people and manifests, such as `cpu` or `cuda:0 (NVIDIA H200)`."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def device_count() -> int:
    """GPUs that workers could share out among themselves; 1 where there is none."""
    return max(1, torch.cuda.device_count())
