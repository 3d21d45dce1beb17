"""Tensors of a checkpoint: their kinds, and their names without the saved module's prefixes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from app.domain.errors import JobError

PREFIXES = ("module.", "model.", "net.", "backbone.")
HEADS = ("fc.", "linear.")  # outside of a backbone
BATCH_COUNTER = "num_batches_tracked"  # batch norm's counter: its only integer, not used for logits
AVERAGED = "n_averaged"  # the counter of torch.optim.swa_utils.AveragedModel, beside the averaged module

FLOATS = frozenset({torch.float32, torch.float16, torch.bfloat16, torch.float64})
INTEGERS = frozenset({torch.int64, torch.int32})


def problem(code: str, file: str, sentence: str, **details: object) -> JobError:
    """Make a JobError whose message begins with its file name."""
    return JobError(code, f"{file}: {sentence}", file=file, **details)


def rename(file: str, tensors: Mapping[str, Tensor], new_name: Callable[[str], str]) -> dict[str, Tensor]:
    """Rename tensors by a function, keeping their order.

    Raises:
        JobError: `checkpoint-ambiguous`: two names become the same one.
    """
    origin: dict[str, str] = {}
    for name in tensors:
        other = origin.setdefault(new_name(name), name)
        if other != name:
            raise problem(
                "checkpoint-ambiguous",
                file,
                f"'{other}' and '{name}' both mean '{new_name(name)}'; the file may hold only one of them.",
                names=[other, name],
            )
    return {new: tensors[old] for new, old in origin.items()}


def bare_names(file: str, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Remove module prefixes, call the head `fc`; return the rules.

    Raises:
        JobError: `checkpoint-ambiguous`: two names become the same one.
    """
    rules: list[str] = []
    while prefix := _common_prefix(tensors):
        tensors = rename(file, tensors, lambda name, prefix=prefix: name.removeprefix(prefix))  # type: ignore[misc]
        rules.append(f"{prefix}* -> *")
    if any(name.startswith("linear.") for name in tensors):
        tensors = rename(file, tensors, lambda name: re.sub(r"^linear\.", "fc.", name))
        rules.append("linear.* -> fc.*")
    return tensors, rules


def _common_prefix(tensors: Mapping[str, Tensor]) -> str | None:
    """Find a known prefix that all weights share.

    `temperature`, `n_averaged` and a backbone's head may be without it.
    """
    for prefix in PREFIXES:
        outside = HEADS if prefix == "backbone." else ()
        names = [name for name in tensors if name not in ("temperature", AVERAGED) and not name.startswith(outside)]
        if names and all(name.startswith(prefix) for name in names):
            return prefix
    return None


def is_plain(tensor: Tensor) -> bool:
    """Tell whether a tensor is dense, unexpanded, on the CPU."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def bits_equal(a: Tensor, b: Tensor) -> bool:
    """Tell whether plain tensors agree in dtype, shape and bits."""
    if (a.dtype, a.shape) != (b.dtype, b.shape) or not (is_plain(a) and is_plain(b)):
        return False
    return torch.equal(a.detach().reshape(-1).view(torch.uint8), b.detach().reshape(-1).view(torch.uint8))


def short_name(kind: torch.dtype | torch.layout) -> str:
    """Format `torch.float16` as `float16`."""
    return str(kind).removeprefix("torch.")
