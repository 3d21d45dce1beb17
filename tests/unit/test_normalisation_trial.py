"""Another normalisation as the cause of a difference: named only if recomputed rows prove it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.catalog.datasets import Transform
from app.domain.comparisons import Cause
from app.store.database import Database
from tests.computing import worker_context
from tests.fakes import Home
from worker.compute.engines.pixels import normalise
from worker.evidence.normalisation_trial import KnownSide, NormalisationTrial
from worker.experts.architectures import CifarResNetSpec
from worker.normalisation.candidates import LISTED

SPEC = CifarResNetSpec((1, 1, 1), (4, 8, 8), 3)
SAMPLES = np.random.default_rng(0).permutation(60)[:40]
OWN, OTHER = LISTED["CIFAR-10"], LISTED["ImageNet"]


@dataclass(frozen=True)
class Tried:
    """An installation with the expert `ce`, and what a trial makes of two files of its logits."""

    home: Home
    network: torch.nn.Module
    images: NDArray[np.uint8]
    trial: NormalisationTrial

    def logits(self, transform: Transform) -> NDArray[np.float32]:
        with torch.inference_mode():
            raw: NDArray[np.float32] = self.network(
                normalise(torch.from_numpy(self.images[SAMPLES]), transform)
            ).numpy()
        return raw

    def cause(self, b: NDArray[Any], letter: str = "A", divided_by: float | None = None, **checkpoint: Any) -> Any:
        path = self.home.experts / "best_ce.pth"
        manifest = {
            "checkpoint": {
                "folder": "experts/digits", "file": path.name, "sha256": sha256(path.read_bytes()).hexdigest()
            } | checkpoint,
            "transform": {"scale": "1/255", "mean": list(OWN.mean), "std": list(OWN.std)},
            "calibration": {"mode": "none", "divided_by": divided_by},
        }  # fmt: skip
        own = self.logits(OWN) / np.float32(divided_by or 1)
        dataset = self.home.catalog().dataset("digits")
        return self.trial.cause(KnownSide(letter, own, manifest, dataset, "test"), b, SAMPLES)


@pytest.fixture
def tried(home: Home, database: Database) -> Tried:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    np.savez(home.data / "digits" / "test.npz", images=images, labels=np.arange(60) % 3)
    torch.manual_seed(0)
    network = SPEC.build().eval()
    torch.save(network.state_dict(), home.experts / "best_ce.pth")
    home.settings.locks_dir.mkdir(parents=True, exist_ok=True)
    return Tried(home, network, images, NormalisationTrial(worker_context(home.settings, database), lambda: None))


@pytest.mark.parametrize(("letter", "divided_by"), [("A", None), ("B", 1.7)])
def test_the_normalisation_that_gives_the_other_rows_is_named(
    tried: Tried, letter: str, divided_by: float | None
) -> None:
    """With its numbers; the known side may be either, and may be calibrated."""
    cause = tried.cause(tried.logits(OTHER), letter, divided_by)
    assert isinstance(cause, Cause)
    assert (cause.kind, cause.proof) == ("other-normalisation", "recomputed")
    assert cause.value == "mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    assert cause.sentence.startswith(
        f"{'B' if letter == 'A' else 'A'}'s logits are those of best_ce.pth with another"
    )


def test_none_is_named_where_none_fits(tried: Tried) -> None:
    """Other logits, or those of the same normalisation."""
    text = tried.cause(tried.logits(OTHER) + np.float32(0.5))
    assert "none of 7 usual normalisations" in text
    assert "with the normalisation of A as well" in tried.cause(tried.logits(OWN) + np.float32(1e-7))


def test_nothing_is_tried_without_the_very_checkpoint(tried: Tried) -> None:
    """Neither with another file, nor with one that does not give the known side's rows."""
    assert "not there or was changed" in tried.cause(tried.logits(OTHER), sha256="0" * 64)
    assert "not there or was changed" in tried.cause(tried.logits(OTHER), file="best_other.pth")
    torch.save(SPEC.build().state_dict(), tried.home.experts / "best_ce.pth")
    assert "does not give the logits of A any more" in tried.cause(tried.logits(OTHER))
