"""Training of the gating net with PyTorch, and reading of old nets.

Nothing else in this package needs PyTorch.
"""

from __future__ import annotations

import pickle
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from app.domain.combine_requests import NetOptions
from app.domain.errors import JobError
from worker.combine.features import feature_count
from worker.combine.gating_net import WIDTHS, GateRows, Tensors, expected_shapes
from worker.experts.plain_values import plain_values_allowed

DROPOUT = 0.1
WEIGHT_DECAY = 2e-4
MAX_GRADIENT = 0.5
"""Norm that gradients are clipped to."""

LEAST_LOG = -1e4
"""Log probabilities, relative to the row's largest, are not below this in training."""

BALANCE = 0.002
"""Weight of KL(mean g ‖ uniform) in the loss, against a gate that always takes one expert."""


class GatingNet(nn.Module):
    """The gating net: features [B, 7E+3] to scores [B, E]."""

    def __init__(self, experts: int) -> None:
        super().__init__()
        first, second = WIDTHS
        self.net = nn.Sequential(
            nn.Linear(feature_count(experts), first),
            nn.BatchNorm1d(first),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(first, second),
            nn.BatchNorm1d(second),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(second, experts),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute scores [B, E]; their softmax is g."""
        scores: Tensor = self.net(inputs)
        return scores


def train_net(
    fit: GateRows, validate: GateRows, options: NetOptions, check: Callable[[], None]
) -> tuple[Tensors, int]:
    """Train the gating net, and keep the epoch with the least validate NLL.

    Equal input gives equal tensors. PyTorch's random state and number of threads are left as they were.

    Args:
        fit: rows that it is trained on; those without weight are left out.
        validate: rows that choose the epoch.
        options: how it is trained.
        check: called before each batch; what it raises passes through.

    Returns:
        The tensors of `expected_shapes`, float32 and int64, and the epoch, from 1.

    Raises:
        JobError: `gating-too-few-rows`, `combination-not-fitted`.
    """
    counted = np.flatnonzero(fit.weights > 0)
    if len(counted) < 2 or options.batch_size < 2:
        raise JobError(
            "gating-too-few-rows",
            f"The gating net needs at least 2 rows with weight and batches of at least 2. There are {len(counted)} "
            f"rows in batches of {options.batch_size}.",
        )
    # A row's largest probability is scaled to 1: its gradient is the same, and float32 can hold the others.
    relative = fit.log_probabilities - fit.log_probabilities.max(axis=1, keepdims=True)
    rows = [
        torch.from_numpy(values[counted].astype(np.float32))
        for values in (fit.inputs, np.maximum(relative, LEAST_LOG), fit.weights)
    ]
    best, best_nll, best_epoch = None, np.inf, 0
    with _own_torch_state(options.seed):
        net = GatingNet(fit.log_probabilities.shape[1])
        adam = torch.optim.Adam(net.parameters(), lr=options.lr, weight_decay=WEIGHT_DECAY)
        for epoch in range(1, options.epochs + 1):
            net.train()
            for batch in _batches(len(counted), options.batch_size):
                check()
                _step(net, adam, *(values[batch] for values in rows))
            tensors = {name: values.numpy().copy() for name, values in net.state_dict().items()}
            nll = validate.nll(tensors)
            if nll < best_nll:
                best, best_nll, best_epoch = tensors, nll, epoch
    if best is None:
        raise JobError(
            "combination-not-fitted", f"After none of {options.epochs} epochs the gating net had a finite NLL."
        )
    return best, best_epoch


@contextmanager
def _own_torch_state(seed: int) -> Iterator[None]:
    """Seed the CPU's generator, on one thread, and restore both."""
    threads = torch.get_num_threads()
    # Neither `manual_seed` nor the default of `fork_rng` is used: they reach the generators of GPUs too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _batches(rows: int, size: int) -> Iterator[Tensor]:
    """Yield shuffled rows; a last batch of one, which batch norm cannot use, is dropped."""
    for batch in torch.split(torch.randperm(rows), size):
        if len(batch) > 1:
            yield batch


def _step(net: GatingNet, adam: torch.optim.Adam, inputs: Tensor, log_probabilities: Tensor, weights: Tensor) -> None:
    """Take one step on −Σ w log η_y + BALANCE·KL(mean g ‖ uniform), weighted means over the batch."""
    shares = weights / weights.sum()  # [B]
    log_gate = torch.log_softmax(net(inputs), dim=1)  # [B, E]
    nll = -(shares * torch.logsumexp(log_gate + log_probabilities, dim=1)).sum()
    mean = (shares[:, None] * log_gate.exp()).sum(dim=0)  # [E]
    divergence = (mean * (mean * len(mean)).clamp_min(torch.finfo(mean.dtype).tiny).log()).sum()
    adam.zero_grad()
    (nll + BALANCE * divergence).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), MAX_GRADIENT)
    adam.step()


def read_old_net(path: Path, experts: int) -> dict[str, np.ndarray[Any, Any]]:
    """Read the net of an old `.ckpt` file without running any code in it.

    The file holds the net's tensors, bare or in one entry of a dict, such as `gating_state_dict`; their names may
    share a prefix, such as `module.`.

    Returns:
        The tensors of `expected_shapes`, finite: float32 or float64, counters int64.

    Raises:
        JobError: `gating-net-unreadable`, `gating-net-mismatch`.
    """
    loaded = _load(path)
    entries = [loaded, *loaded.values()] if isinstance(loaded, Mapping) else []
    nets = [net for net in map(_bare, entries) if net]
    problem = f"it has {len(nets)} entries that look like one" if len(nets) != 1 else _problem(nets[0], experts)
    if problem:
        expected = ", ".join(f"{name} {list(shape)}" for name, shape in expected_shapes(experts).items())
        raise JobError(
            "gating-net-mismatch",
            f"{path.name} holds no gating net of {experts} experts: {problem}. Expected are exactly {expected}.",
        )
    return {
        name: (values if values.dtype in (torch.float64, torch.int64) else values.float()).numpy()
        for name, values in nets[0].items()
    }


def _load(path: Path) -> object:
    """Load what torch.save wrote, of tensors and plain values only."""
    try:
        with warnings.catch_warnings(), plain_values_allowed():
            warnings.simplefilter("ignore")  # they concern the author of the file
            loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged pickle runs its own wrong instructions, so the loader fails in any of these ways.
    except (
        pickle.UnpicklingError, struct.error, OSError,
        ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError,
    ) as error:  # fmt: skip
        raise JobError(
            "gating-net-unreadable",
            f"{path.name} cannot be read as tensors and plain values that torch.save wrote.",
            reason=str(error)[:500],
        ) from error
    return loaded


def _bare(entry: object) -> dict[str, Tensor] | None:
    """Take a state dict's common prefix away; None if it is no gating net's."""
    if not isinstance(entry, Mapping) or not all(isinstance(values, Tensor) for values in entry.values()):
        return None
    prefixes = [name[: -len("net.0.weight")] for name in entry if str(name).endswith("net.0.weight")]
    if len(prefixes) != 1:
        return None
    return {str(name).removeprefix(prefixes[0]): values.detach() for name, values in entry.items()}


def _problem(net: Mapping[str, Tensor], experts: int) -> str | None:
    """Say how tensors differ from a gating net's; None if they do not."""
    shapes = expected_shapes(experts)
    if missing := sorted(shapes.keys() - net.keys()):
        return f"it lacks {', '.join(missing)}"
    if other := sorted(net.keys() - shapes.keys()):
        return f"it has {', '.join(other)} too"
    for name, values in net.items():
        if tuple(values.shape) != shapes[name]:
            return f"{name} has the shape {list(values.shape)}"
        counter = name.endswith("num_batches_tracked")
        if values.dtype != torch.int64 if counter else not values.is_floating_point():
            return f"{name} is of type {str(values.dtype).removeprefix('torch.')}"
        if not values.isfinite().all() or (name.endswith("running_var") and (values < 0).any()):
            return f"{name} has values that are not finite, or variances below 0"
    return None
