"""Damaged checkpoints: one tensor at a time made non-finite, negative, huge, tiny or zero, and what becomes of it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from app.domain.errors import JobError
from tests.unit.engines import CLASSES, TRANSFORM, lived_in, random_images
from worker.compute.engines.choice import EngineName, make_engine
from worker.compute.engines.engine import Setup
from worker.compute.engines.folding import fold
from worker.compute.engines.pixels import normalise
from worker.compute.inference import forward_rows
from worker.experts.architectures import CifarResNetSpec, NetworkSpec, TorchvisionResNetSpec
from worker.experts.loading import Assumptions, load_expert

State = dict[str, Tensor]
Logits = NDArray[np.float64]

VALUES = {
    "NaN": float("nan"),
    "infinity": float("inf"),
    "beyond float32": 1e300,
    "negative": -1.0,
    "1e30": 1e30,
    "3e38": 3e38,
    "1e-30": 1e-30,
    "1e-45": 1e-45,
    "zero": 0.0,
}
HUGE = ("1e30", "3e38")
SIGNED = ("infinity", "beyond float32", *HUGE)
"""Values that come with either sign."""
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
CONTAINERS = ("zip", "legacy", "safetensors")
TOLERANCE = 1e-4  # of a row's largest absolute logit
BATCH, SIDE = 8, 12
REFUSALS = ("non-finite-logits", "weights-overflow")
"""Codes with which computing may refuse a file."""

NETWORKS: dict[str, tuple[NetworkSpec, Assumptions]] = {
    "resnet8": (CifarResNetSpec((1, 1, 1), (8, 12, 16), CLASSES), Assumptions()),
    "resnet8, option A": (CifarResNetSpec((1, 1, 1), (8, 12, 16), CLASSES, shortcut="option_a"), Assumptions()),
    "resnet18": (TorchvisionResNetSpec("resnet18", CLASSES, cifar_stem=True, max_pool=False), Assumptions()),
    "resnet18 with max-pool": (
        TorchvisionResNetSpec("resnet18", CLASSES, cifar_stem=True, max_pool=True),
        Assumptions(max_pool=True),
    ),
}

Verdict = Literal["refused at reading", "refused at computing", "equal", "not decidable", "wrong"]


@dataclass(frozen=True)
class Case:
    """One damaged file."""

    network: str
    tensor: str
    value: str
    sign: int
    whole: bool
    """All of the tensor, or one element."""
    dtype: torch.dtype
    container: str

    def __str__(self) -> str:
        where = "all of" if self.whole else "one element of"
        form = f"{str(self.dtype).removeprefix('torch.')}, {self.container}"
        return f"{self.network}: {'-' if self.sign < 0 else ''}{self.value} in {where} {self.tensor} ({form})"


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    case: Case
    verdict: Verdict
    reason: str = ""


@dataclass
class Tally:
    """Outcomes of many cases."""

    outcomes: list[Outcome] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        return Counter(outcome.verdict for outcome in self.outcomes)

    def wrong(self) -> list[str]:
        return [f"{outcome.case}: {outcome.reason}" for outcome in self.outcomes if outcome.verdict == "wrong"]

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self.counts().items()))
        return f"{len(self.outcomes)} cases: {counts}"


def cases(network: str, seed: int = 0) -> list[Case]:
    """List every tensor with every value, in part and whole, in every form.

    The seed draws signs and the order, in which finite huge values come sooner: of them the most can go wrong.
    """
    random = np.random.default_rng(seed)
    spec, _ = NETWORKS[network]
    with torch.device("meta"):
        names = [name for name, tensor in spec.build().state_dict().items() if tensor.is_floating_point()]
    drawn = [
        Case(network, name, value, int(random.choice([-1, 1])) if value in SIGNED else 1, whole, dtype, container)
        for name, value, whole, dtype, container in product(names, VALUES, (False, True), DTYPES, CONTAINERS)
    ]
    weights = np.array([6.0 if case.value in HUGE else 1.0 for case in drawn])
    return [drawn[i] for i in random.choice(len(drawn), len(drawn), replace=False, p=weights / weights.sum())]


def damaged(case: Case) -> State:
    """Damage one of the network's tensors, as a file holds them."""
    state = {name: t.to(case.dtype) if t.is_floating_point() else t for name, t in _state(case.network).items()}
    tensor = state[case.tensor].clone()
    flat = tensor.view(-1)
    place = slice(None) if case.whole else int(np.random.default_rng(flat.numel()).integers(flat.numel()))
    flat[place] = torch.tensor(case.sign * VALUES[case.value], dtype=torch.float64).to(case.dtype)
    return state | {case.tensor: tensor}


def _state(network: str) -> State:
    return lived_in(NETWORKS[network][0], 20.0).state_dict()


def save(state: State, case: Case, folder: Path) -> Path:
    """Write a file of the case's form."""
    path = folder / "best_e.pth"
    if case.container == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=case.container == "zip")
    return path


def judge(case: Case, engine: EngineName, folder: Path) -> Outcome:
    """Read the case's file, compute its rows and compare them."""
    spec, assumptions = NETWORKS[case.network]
    state = damaged(case)
    due = _refusal(spec, state)
    try:
        expert = load_expert(save(state, case, folder), assumptions)
    except JobError as error:
        return Outcome(case, "refused at reading" if error.code == due else "wrong", f"refused: {error.message}")
    if due is not None:
        return Outcome(case, "wrong", f"read, where {due} was expected")
    images = random_images(BATCH, SIDE)
    setup = Setup(TRANSFORM, (SIDE, SIDE, 3), BATCH, "fp32", torch.device("cpu"), 1)
    references = _references(spec, state, images)
    try:
        made = make_engine(engine, expert.network, setup)
        rows = [logits for _, logits in forward_rows(made, images, np.arange(BATCH), CLASSES)]
    except JobError as error:
        # What is not huge cannot overflow, so refusing it would be a fault of another kind.
        right = error.code in REFUSALS and (case.value in SIGNED or not np.isfinite(references.plain).all())
        return Outcome(case, "refused at computing" if right else "wrong", f"refused: {error.message}")
    return _compare(case, np.concatenate(rows).astype(np.float64), references)


def _refusal(spec: NetworkSpec, state: State) -> str | None:
    """Give the code that reading must refuse a file with."""
    for name, tensor in state.items():
        if not torch.isfinite(tensor.float()).all():
            return "checkpoint-nonfinite"
        if "running_var" in name and bool((tensor.float() < 0).any()):
            return "checkpoint-variance"
    folded = fold(_network(spec, state))
    return None if all(torch.isfinite(p).all() for p in folded.parameters()) else "weights-overflow"


def _network(spec: NetworkSpec, state: State) -> nn.Module:
    """Build the network with these tensors, without a file."""
    network = copy.deepcopy(lived_in(spec, 20.0))
    network.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in state.items()})
    return network


@dataclass(frozen=True)
class References:
    """Rows of plain forward passes, [N, C] float64 each."""

    plain: Logits
    """In float32."""
    last: Logits
    """In float32 with channels last in memory."""
    exact: Logits
    """In float64."""


def _references(spec: NetworkSpec, state: State, images: NDArray[np.uint8]) -> References:
    network = _network(spec, state)
    pixels = normalise(torch.from_numpy(images), TRANSFORM).contiguous()
    plain = _forward(network, pixels)
    last: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rows = _forward(last, pixels.contiguous(memory_format=torch.channels_last))
    return References(plain, rows, _forward(network.double(), pixels.double()))


def _forward(network: nn.Module, pixels: Tensor) -> Logits:
    with torch.inference_mode():
        logits: Logits = network(pixels).double().numpy()
    return logits


def _compare(case: Case, rows: Logits, references: References) -> Outcome:
    """Compare rows with the plain ones, or with those of float64.

    A finite row where the plain forward pass gives none is wrong: an overflow was hidden. Where float32 itself gives
    different rows in another order of its sums, or others than float64, the case is not decidable.
    """
    equal = _close(rows, references.plain) | _close(rows, references.exact)
    if equal.all():
        return Outcome(case, "equal")
    finite = np.isfinite(references.plain).all(axis=1)
    if (~equal & ~finite).any():
        return Outcome(case, "wrong", "finite rows where a plain forward pass gives NaN or infinity")
    decidable = _close(references.last, references.plain) & _close(references.exact, references.plain)
    if (~equal & decidable).any():
        off = np.abs(rows - references.plain).max(axis=1) / np.abs(references.plain).max(axis=1)
        return Outcome(case, "wrong", f"rows differ by {off[~equal & decidable].max():.2g} of their scale")
    return Outcome(case, "not decidable")


def _close(rows: Logits, others: Logits) -> NDArray[np.bool_]:
    """Tell which finite rows agree to TOLERANCE of their scale, [N]."""
    with np.errstate(invalid="ignore", over="ignore"):
        scale = np.abs(others).max(axis=1)
        close: NDArray[np.bool_] = np.abs(rows - others).max(axis=1) <= TOLERANCE * scale
        close &= np.isfinite(scale)
    return close


def run(chosen: Sequence[Case], engine: EngineName, folder: Path) -> Tally:
    """Judge many cases."""
    return Tally([judge(case, engine, folder) for case in chosen])


def spread(found: Tally) -> Iterator[str]:
    """Count verdicts for each value, one line a value."""
    for value in VALUES:
        counts = Counter(outcome.verdict for outcome in found.outcomes if outcome.case.value == value)
        yield f"  {value:<15}" + ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
