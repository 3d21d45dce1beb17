"""What would compute: PyTorch and its partner, the GPU, the engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from worker.doctor.finding import Finding, amount, ok, problem, warning
from worker.doctor.packages import release

LOW_GPU_BYTES = 2 * 10**9
VISION_AHEAD = 15
"""torch 2.x goes with torchvision 0.(x + 15): 2.8 with 0.23, 2.13 with 0.28."""
REINSTALL = "pip install --force-reinstall torch torchvision, both from the same index"
CUDA_BUILD = "Install a build with CUDA: pip install --force-reinstall torch torchvision, from no index of CPU builds"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One CUDA device as PyTorch sees it."""

    name: str
    free_bytes: int = 0
    total_bytes: int = 0
    error: str | None = None
    """Why it could not compute a small product; None if it could."""


@dataclass(frozen=True, slots=True)
class Computing:
    """What a process that imports torch, as the worker does, reports of itself."""

    error: str | None = None
    """Why torch cannot be imported, or how its process died; then nothing else here is known."""
    torch: str = ""
    cuda: str | None = None
    """The CUDA version that torch is built for."""
    said: tuple[str, ...] = ()
    """Warnings while the GPUs were looked for."""
    gpus: tuple[Gpu, ...] = ()
    vision: str | None = None
    """torchvision's version; None if it is not installed."""
    vision_error: str | None = None
    """Why it cannot be imported as the worker does it."""
    device: str = ""
    device_error: str | None = None
    """Why the device that the settings ask for cannot be had."""
    engine: str = ""
    """With its version."""
    engine_error: str | None = None
    engine_said: tuple[str, ...] = ()
    """Why it is not the one that it might be."""
    openvino: bool = False
    precisions: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Computing:
        """What the process wrote as JSON."""
        known: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        known["gpus"] = tuple(Gpu(**gpu) for gpu in data.get("gpus", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Nvidia:
    """What the machine shows of NVIDIA devices, whatever PyTorch sees."""

    driver: str | None = None
    """The loaded kernel module's version."""
    devices: int = 0
    """`/dev/nvidia0` and so on."""
    visible: str | None = None
    """`CUDA_VISIBLE_DEVICES`, where it is set."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings ask for."""

    device: str = "auto"
    engine: str = "auto"
    tf32_forced: bool = False
    """NVIDIA_TF32_OVERRIDE=1 is in the environment."""


def check_computing(seen: Computing, nvidia: Nvidia, wanted: Wanted) -> list[Finding]:
    """PyTorch, torchvision, GPU and engine; the first alone if it cannot be imported."""
    found = [_tf32()] if wanted.tf32_forced else []
    if seen.error is not None:
        return [*found, problem("torch", f"PyTorch cannot be used: {seen.error}.", REINSTALL)]
    found.append(ok("torch", f"PyTorch {seen.torch}, built {_build(seen.cuda)}."))
    return [*found, check_vision(seen), *check_gpus(seen, nvidia, wanted), check_engine(seen, wanted)]


def check_vision(seen: Computing) -> Finding:
    """torchvision is the partner of this torch, and can be imported as the worker does it."""
    expected = partner(seen.torch)
    if seen.vision is None:
        return problem(
            "torchvision",
            "torchvision is not installed.",
            f"pip install 'torchvision=={expected}.*'" if expected else "pip install torchvision",
        )
    if expected and release(seen.vision)[:2] != release(expected)[:2]:
        return problem(
            "torchvision",
            f"torchvision {seen.vision} is not the partner of PyTorch {seen.torch}, which is {expected}.",
            f"pip install 'torchvision=={expected}.*', from the index that PyTorch is from",
        )
    if seen.vision_error is not None:
        return problem(
            "torchvision", f"torchvision {seen.vision} cannot be imported: {seen.vision_error}.", REINSTALL
        )
    if "+cu" in seen.vision and seen.cuda is None:
        return ok(
            "torchvision",
            f"torchvision {seen.vision} is built for CUDA, PyTorch is not. That is harmless: relogit uses its Python "
            "alone.",
        )
    return ok("torchvision", f"torchvision {seen.vision} goes with PyTorch {seen.torch}.")


def partner(torch: str) -> str | None:
    """torchvision's version for a torch 2.x, such as `0.28`; None for any other."""
    number = release(torch)
    return f"0.{number[1] + VISION_AHEAD}" if len(number) > 1 and number[0] == 2 else None


def check_gpus(seen: Computing, nvidia: Nvidia, wanted: Wanted) -> list[Finding]:
    """GPUs that are there are seen and can compute; those that are asked for are there."""
    if wanted.device == "cpu":
        return [ok("gpu", "RELOGIT_DEVICE=cpu: no GPU is used.")]
    if not seen.gpus:
        return [_no_gpu(seen, nvidia, wanted)]
    if seen.device_error is not None:
        return [problem("gpu", seen.device_error, "Correct RELOGIT_DEVICE; `auto` takes what there is.")]
    # `auto` and `cuda` share all of them out among the workers.
    number = re.fullmatch(r"cuda:(\d+)", wanted.device)
    used = range(int(number[1]), int(number[1]) + 1) if number else range(len(seen.gpus))
    return [_gpu(index, seen.gpus[index], seen.torch) for index in used]


def _gpu(index: int, gpu: Gpu, torch: str) -> Finding:
    name = f"GPU {index} ({gpu.name})"
    if gpu.error is not None:
        return problem(
            "gpu",
            f"{name} is seen by PyTorch {torch}, but cannot compute: {gpu.error}.",
            "If memory ran short, free some (nvidia-smi shows whose it is); else install a build for GPU and driver.",
        )
    room = f"{amount(gpu.free_bytes)} of {amount(gpu.total_bytes)} free"
    if gpu.free_bytes < LOW_GPU_BYTES:
        return warning(
            "gpu", f"{name} computes, with only {room}.",
            "nvidia-smi shows who has the rest. Jobs then run in smaller batches, or fail.",
        )  # fmt: skip
    return ok("gpu", f"{name} computes; {room}.")


def _no_gpu(seen: Computing, nvidia: Nvidia, wanted: Wanted) -> Finding:
    """Why PyTorch sees none, and what would change that."""
    judge = warning if wanted.device == "auto" else problem
    then = "Jobs run on the CPU." if wanted.device == "auto" else f"RELOGIT_DEVICE={wanted.device} cannot be had."
    if nvidia.driver is None and nvidia.devices == 0:
        if wanted.device == "auto":
            return ok("gpu", "There is no NVIDIA GPU here: jobs run on the CPU.")
        return problem("gpu", f"There is no NVIDIA GPU here. {then}", "Set RELOGIT_DEVICE to auto or cpu.")
    driver = f"NVIDIA driver {nvidia.driver}" if nvidia.driver else "An NVIDIA GPU without a loaded driver"
    if seen.cuda is None:
        return judge("gpu", f"{driver} is here, but PyTorch {seen.torch} is built without CUDA. {then}", CUDA_BUILD)
    if nvidia.visible in ("", "-1"):
        return judge(
            "gpu",
            f"CUDA_VISIBLE_DEVICES={nvidia.visible!r} hides every GPU. {then}",
            "Take it out of the environment.",
        )
    if nvidia.devices == 0:
        return judge(
            "gpu", f"{driver} is loaded, but no /dev/nvidia0 is here. {then}",
            "In a container: start it with --gpus all, and the NVIDIA container toolkit on the host.",
        )  # fmt: skip
    why = f" PyTorch says: {' '.join(seen.said)}" if seen.said else ""
    return judge(
        "gpu",
        f"{driver} is here, but PyTorch {seen.torch} (CUDA {seen.cuda}) sees no GPU with it.{why} {then}",
        f"Most often the driver is too old for CUDA {seen.cuda}: update it, or install a build for an older CUDA.",
    )


def check_engine(seen: Computing, wanted: Wanted) -> Finding:
    """Which engine a worker would choose, and why."""
    if seen.engine_error is not None:
        return problem("engine", seen.engine_error, "RELOGIT_ENGINE=auto takes what can be used.")
    if not seen.engine:  # the device could not be had, which is told there
        return ok("engine", "No engine is chosen before the device is.")
    said = f"{seen.engine} computes on {seen.device}, in {', '.join(seen.precisions)}."
    if seen.engine_said:
        return warning("engine", f"{said} {' '.join(seen.engine_said)}", "pip install --force-reinstall openvino")
    if wanted.engine == "auto" and seen.device == "cpu" and not seen.openvino:
        return ok(
            "engine", f"{said} OpenVINO, the faster one on CPUs, is not installed.", "pip install '.[openvino]'"
        )
    asked = "" if wanted.engine == "auto" else f" RELOGIT_ENGINE={wanted.engine} asks for it."
    return ok("engine", said + asked)


def _tf32() -> Finding:
    return problem(
        "tf32", "NVIDIA_TF32_OVERRIDE=1 makes float32 TF32 behind PyTorch's back: workers refuse to start.",
        "Take it out of the environment; a job may ask for precision 'tf32'.",
    )  # fmt: skip


def _build(cuda: str | None) -> str:
    return f"for CUDA {cuda}" if cuda else "without CUDA"
