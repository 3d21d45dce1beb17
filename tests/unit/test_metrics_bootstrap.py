"""Bootstrap intervals, held against a plain loop over the same draws, and against a known distribution."""

from __future__ import annotations

import numpy as np
import pytest

from app.catalog.long_tail import class_groups
from tests.unit.metric_inputs import Case, drawn, every_case
from worker.verify.metrics import bootstrap
from worker.verify.metrics.point import FIGURES, point_metrics
from worker.verify.metrics.rows import score_rows


def _setting(case: Case) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Groups and weights for the case: train counts that fall from 150 to 3."""
    counts = np.linspace(150, 3, case.classes).astype(np.int64)
    return class_groups(counts, 20), counts / counts.sum()


@every_case
def test_intervals_are_of_the_figures_own_definition(case: Case) -> None:
    """Each end is the quantile of the plain figures, taken one resample at a time on the same draws."""
    groups, weights = _setting(case)
    found = bootstrap.intervals(case.scores, case.classes, groups, weights, resamples=6, level=0.8, seed=3)
    (draws,) = bootstrap.draw(case.scores.labels, case.scores.confidence, 6, 3)
    plain = []
    for rows in draws:
        resample = case.rows(rows)
        plain.append(point_metrics(resample.scores, case.classes, groups, weights))
    assert tuple(found) == FIGURES
    for name in FIGURES:
        if plain[0][name] is None:
            assert found[name] is None
        else:
            low, high = np.quantile([figures[name] for figures in plain], [0.1, 0.9])
            assert found[name] == pytest.approx((low, high), abs=1e-9), name


@every_case
def test_each_class_keeps_its_rows(case: Case) -> None:
    """A resample has as many rows of each class as the split, drawn from that class alone, with repeats."""
    expected = np.sort(case.labels).tolist()
    for rows in np.concatenate(list(bootstrap.draw(case.labels, case.scores.confidence, 4, 0))):
        assert case.labels[rows].tolist() == expected


def test_every_row_is_drawn_as_often() -> None:
    """Over many resamples each row is drawn about once a resample, in classes of one, three and forty rows."""
    labels = np.repeat([0, 1, 2], [1, 3, 40])
    drawn_rows = np.concatenate(list(bootstrap.draw(labels, np.linspace(0, 1, 44), 4000, 1)))
    often = np.bincount(drawn_rows.ravel(), minlength=44) / 4000
    assert often[0] == 1
    assert often == pytest.approx(np.ones(44), abs=0.08)  # five standard errors of 1/sqrt(4000)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The draws are the same in whatever blocks they are made, and so are the intervals, but for rounding."""
    case = drawn(1, 90, 6)
    whole = bootstrap.intervals(case.scores, 6, None, None, resamples=50)
    monkeypatch.setattr(bootstrap, "BLOCK_VALUES", 7 * 90)
    parts = bootstrap.intervals(case.scores, 6, None, None, resamples=50)
    for name in FIGURES:
        assert parts[name] == (whole[name] and pytest.approx(whole[name], abs=1e-12))


def test_a_seed_gives_one_result() -> None:
    """Equal arguments give equal intervals; another seed gives others."""
    case = drawn(2, 120, 6)
    first, again, other = (bootstrap.intervals(case.scores, 6, None, None, resamples=40, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first["nll"] != other["nll"]


def test_intervals_cover_as_often_as_they_say() -> None:
    """Of splits drawn with a known accuracy, about 90 in 100 have it inside their 90 % interval."""
    random, rates = np.random.default_rng(5), np.array([0.3, 0.6, 0.9])
    labels = np.repeat([0, 1, 2], 60)
    inside = 0
    for _ in range(150):
        right = random.random(180) < rates[labels]
        logits = random.normal(size=(180, 3))
        scores = score_rows(logits, np.where(right, labels, (labels + 1) % 3), labels)
        found = bootstrap.intervals(scores, 3, None, None, resamples=200, level=0.9)["accuracy"]
        assert found is not None
        inside += found[0] <= rates.mean() <= found[1]
    assert 0.82 < inside / 150 < 0.97
