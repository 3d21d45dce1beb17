"""The verdict on a declared normalisation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.catalog.datasets import Transform
from tests.unit.normalisations import (
    CIFAR10_COPIED,
    CIFAR100,
    HALF,
    IMAGENET,
    UNIT,
    coloured_images,
    pool_statistics,
    random_stem,
    trained_stem,
)
from worker.normalisation import NormalisationEvidence, Stem, judge_normalisation, patch_statistics
from worker.normalisation.candidates import LISTED, nearly_equal, rivals_of
from worker.normalisation.evidence import apply_rule
from worker.normalisation.patches import HYPOTHESES


@pytest.mark.parametrize(
    ("declared", "best", "verdict", "severity"),
    [
        (0.0200, 0.0010, "contradicted", "error"),
        (0.0150, 0.0030, "contradicted", "error"),
        (0.0149, 0.0030, "contradicted", "warning"),
        (0.0091, 0.0030, "contradicted", "warning"),
        (0.0089, 0.0030, "undecidable", None),  # not three times as far
        (0.0021, 0.0001, "contradicted", "warning"),
        (0.0020, 0.0001, "undecidable", None),  # not .002 farther
        (0.5000, 0.0031, "undecidable", None),  # nothing fits
        (0.0010, 0.0200, "supported", None),
        (0.0030, 0.0091, "supported", None),
        (0.0030, 0.0089, "undecidable", None),
        (0.0001, 0.0020, "undecidable", None),
        (0.0031, 0.5000, "undecidable", None),
        (0.0000, 0.0000, "undecidable", None),
    ],
)
def test_the_rules_thresholds(declared: float, best: float, verdict: str, severity: str | None) -> None:
    """Fitting needs D of .003 or less, a third of the other's, and .002 less; from .015 on it is an error."""
    assert apply_rule(declared, best) == (verdict, severity)


@pytest.mark.parametrize("hypothesis", HYPOTHESES)
@pytest.mark.parametrize("name", LISTED)
def test_every_listed_normalisation_is_supported(name: str, hypothesis: str) -> None:
    """Statistics of a listed normalisation and augmentation never contradict it, and support no other."""
    stem = trained_stem(pool_statistics(), hypothesis, LISTED[name])
    own = judge_normalisation(stem, pool_statistics(), LISTED[name], {})
    assert own.verdict != "contradicted"
    assert own.declared_divergence == pytest.approx(0, abs=1e-12)
    if name != "none, values in [0, 1]":  # with a mean of 0, zeros before and after normalising are the same
        assert own.hypothesis == hypothesis
    for other, transform in LISTED.items():
        if not nearly_equal(transform, LISTED[name]):
            evidence = judge_normalisation(stem, pool_statistics(), transform, {})
            assert evidence.verdict != "supported", other


def test_a_supported_declaration_is_not_called_proved() -> None:
    """A declaration that fits is called the one of the listed that does, with both distances and the hint."""
    stem = trained_stem(pool_statistics(), "crop with zeros", IMAGENET)
    evidence = judge_normalisation(stem, pool_statistics(), IMAGENET, {})
    assert (evidence.verdict, evidence.severity, evidence.images) == ("supported", None, 500)
    assert evidence.best is not None
    assert evidence.best_divergence is not None
    assert evidence.best_divergence > 0.003
    assert evidence.message.startswith(
        "Of the listed normalisations, the declared mean 0.485, 0.456, 0.406, std 0.229"
    )
    assert "cannot be told apart" in evidence.message
    assert "prove" not in evidence.message
    assert evidence.hint is not None
    np.testing.assert_allclose(evidence.hint.transform.mean, IMAGENET.mean, atol=2e-4)


@pytest.mark.parametrize(
    ("declared", "severity"), [(CIFAR100, "error"), (HALF, "error"), (UNIT, "error"), (CIFAR10_COPIED, "warning")]
)
def test_a_wrong_declaration_is_contradicted(declared: Transform, severity: str) -> None:
    """The normalisation that fits is named, and far declarations are errors."""
    stem = trained_stem(pool_statistics(), "crop with zeros", IMAGENET)
    evidence = judge_normalisation(stem, pool_statistics(), declared, {})
    assert evidence.verdict == "contradicted"
    assert evidence.severity == severity
    assert evidence.best is not None
    assert evidence.best.name == "ImageNet"
    assert evidence.best_divergence == pytest.approx(0, abs=1e-12)
    assert "ImageNet (mean 0.485, 0.456, 0.406" in evidence.message
    assert evidence.declared_divergence is not None
    assert (evidence.declared_divergence >= 0.015) == (severity == "error")


def test_nearly_equal_constants_are_no_rivals() -> None:
    """CIFAR-100 in two roundings cannot be told apart, so neither contradicts the other."""
    roundings = LISTED["CIFAR-100"], LISTED["CIFAR-100 (other rounding)"]
    for declared, true in (roundings, roundings[::-1]):
        stem = trained_stem(pool_statistics(), "crop with zeros, cutout", true)
        assert judge_normalisation(stem, pool_statistics(), declared, {}).verdict == "supported"


@pytest.mark.parametrize(
    ("shift", "ratio", "equal"),
    [(0.0, 1.0, True), (0.059, 1.0, True), (0.061, 1.0, False), (0.0, 1.029, True), (0.0, 1.031, False)],
)
def test_nearness_is_of_every_channel(shift: float, ratio: float, equal: bool) -> None:
    """Means within .06 std and stds within 3 % in every channel are nearly equal, whichever comes first."""
    for channel in range(3):
        mean, std = list(CIFAR100.mean), list(CIFAR100.std)
        mean[channel] += shift * std[channel]
        std[channel] *= ratio
        other = Transform(mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))
        assert nearly_equal(CIFAR100, other) == nearly_equal(other, CIFAR100) == equal


def test_the_callers_candidates_compete() -> None:
    """A normalisation that another data set declares is found like the listed ones."""
    own = Transform(mean=(0.30, 0.35, 0.40), std=(0.20, 0.24, 0.18))
    stem = trained_stem(pool_statistics(), "crop with reflection", own)
    assert judge_normalisation(stem, pool_statistics(), CIFAR100, {}).verdict == "undecidable"
    evidence = judge_normalisation(stem, pool_statistics(), CIFAR100, {"pets": own})
    assert evidence.verdict == "contradicted"
    assert evidence.best is not None
    assert (evidence.best.name, evidence.best.transform) == ("pets", own)
    assert evidence.hypothesis == "crop with reflection"
    assert judge_normalisation(stem, pool_statistics(), own, {"pets": own}).verdict == "supported"


def test_rivals_are_all_that_differ() -> None:
    """Every listed and extra candidate but the nearly equal ones is a rival."""
    assert {rival.name for rival in rivals_of(CIFAR100, {"same": CIFAR100, "grey": HALF})} == {
        *LISTED.keys() - {"CIFAR-100", "CIFAR-100 (other rounding)"},
        "grey",
    }


@pytest.mark.parametrize("by_position", [False, True])
def test_a_network_for_bgr_is_not_contradicted(by_position: bool) -> None:
    """Running statistics cannot tell channel orders apart: a network for BGR supports its own mean and std."""
    mean, std = IMAGENET.mean[::-1], IMAGENET.std[::-1]
    colours = Transform(mean=mean, std=std) if by_position else IMAGENET
    stem = trained_stem(pool_statistics(), "crop with zeros", colours, swapped=True)
    evidence = judge_normalisation(stem, pool_statistics(), IMAGENET, {})
    assert evidence.declared_divergence == pytest.approx(0, abs=1e-12)
    assert evidence.verdict == "supported"


def test_a_foreign_pool_is_undecidable() -> None:
    """Statistics that no candidate gives say so, and that nothing can prove the declaration."""
    fresh = random_stem()
    stem = Stem(fresh.weight, fresh.bias, np.full(16, 0.4), np.geomspace(0.1, 5, 16))
    evidence = judge_normalisation(stem, pool_statistics(), IMAGENET, {})
    assert evidence.verdict == "undecidable"
    assert evidence.message.startswith("No listed normalisation fits")
    assert "Nothing in the files can prove" in evidence.message
    assert evidence.hint is None


def test_two_that_fit_are_undecidable() -> None:
    """Where a rival fits as well, the message names both and claims nothing."""
    extra = {"close": Transform(mean=IMAGENET.mean, std=(0.237, 0.232, 0.233))}
    stem = trained_stem(pool_statistics(), "none", IMAGENET)
    evidence = judge_normalisation(stem, pool_statistics(), IMAGENET, extra)
    assert evidence.verdict == "undecidable"
    assert "do not separate the declared" in evidence.message
    assert "close (mean" in evidence.message


@pytest.mark.parametrize(
    ("stem", "count", "side", "reason"),
    [
        ("There is no batch norm.", 500, 32, "There is no batch norm."),
        (random_stem(), 499, 32, "The pool has 499 images; at least 500"),
        (random_stem(), 500, 28, "The images are 28x28"),
    ],
)
def test_what_was_not_measured_is_undecidable(stem: Stem | str, count: int, side: int, reason: str) -> None:
    """Without a stem, images enough or the right size there is a reason and no figure."""
    statistics = patch_statistics(coloured_images(count)[:, :side, :side])
    evidence = judge_normalisation(stem, statistics, CIFAR100, {})
    assert evidence.verdict == "undecidable"
    assert evidence.message.startswith(reason)
    assert "Nothing in the files can prove" in evidence.message
    assert (evidence.declared_divergence, evidence.best, evidence.hint) == (None, None, None)
    assert NormalisationEvidence.from_dict(json.loads(json.dumps(evidence.to_dict()))) == evidence


def test_black_images_are_undecidable() -> None:
    """A pool on which the first layer's output cannot vary has an infinite D, and JSON gets no infinity."""
    black = patch_statistics(np.zeros((500, 32, 32, 3), np.uint8))
    evidence = judge_normalisation(random_stem(), black, UNIT, {})
    assert (evidence.verdict, evidence.declared_divergence) == ("undecidable", None)
    assert evidence.message.startswith("The pool's images lack the variation")


@pytest.mark.parametrize("declared", [CIFAR100, IMAGENET, UNIT])
def test_the_evidence_survives_json(declared: Transform) -> None:
    """What JSON stores is read back as equal evidence, with names and numbers in the open."""
    evidence = judge_normalisation(
        trained_stem(pool_statistics(), "crop with zeros, mixup", IMAGENET), pool_statistics(), declared, {}
    )
    stored = json.loads(json.dumps(evidence.to_dict(), allow_nan=False))
    assert NormalisationEvidence.from_dict(stored) == evidence
    assert stored["declared"] == {"mean": list(declared.mean), "std": list(declared.std)}
    assert stored["best"]["name"] in LISTED
    assert stored["hint"]["transform"]["std"] == pytest.approx(list(IMAGENET.std), abs=1e-3)
