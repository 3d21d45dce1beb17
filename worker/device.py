"""The device that a worker computes on, set up so that float32 means float32."""

from __future__ import annotations

import ctypes
import os
import platform

import torch

from app.domain.errors import FatalError

# From <malloc.h>. Freed activations stay with the process: returning them to the kernel and getting them back
# zeroed costs half of a forward pass on a CPU.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
KEPT_BYTES, TOP_PAD_BYTES = 2**31 - 1, 256 * 2**20

NICENESS = 5
"""For a worker on the CPU: it gets a third of the API's share where both want the same core."""

NO_MEMORY = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""Out-of-memory texts of the CPU's allocator and CUDA's libraries; PyTorch raises plain RuntimeErrors for them."""


def choose_device(wanted: str, index: int) -> torch.device:
    """Choose the device of worker number `index`.

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
    """Set up exact float32 arithmetic and share out the cores.

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
    # PyTorch allows TF32 by default: convolutions would round their inputs to 10 bits of mantissa.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if device.type == "cpu":
        torch.set_num_threads(max(1, cores() // max(1, workers)))
        keep_freed_memory()
        # The API answers first; while it is idle the worker loses nothing.
        os.nice(NICENESS)
    else:
        torch.cuda.set_device(device)


def cores() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory; elsewhere do nothing."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, KEPT_BYTES), (M_TOP_PAD, TOP_PAD_BYTES)):
            libc.mallopt(option, value)


def device_name(device: torch.device) -> str:
    """Name a device, such as `cuda:0 (NVIDIA H200)`."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def device_count() -> int:
    """Count the GPUs that workers share; 1 without any."""
    return max(1, torch.cuda.device_count())
