"""Group errors follow their definition, and the plug-in rule is the best of all rejectors."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.unit.row_summaries import summary_of
from worker.combine.decisions import group_scores
from worker.combine.group_rule import group_figures, objective_of, reweight
from worker.combine.rows import Floats
from worker.combine.thresholds import threshold_at

OF_CLASS = np.array([0, 0, 1])


def test_errors_of_the_vector_are_those_of_accepted_rows() -> None:
    """Scores .9 .8 .7 .6, wrong 0 1 0 1, groups 0 0 1 1; a group with nothing accepted has error 1."""
    score, wrong = np.array([0.9, 0.8, 0.7, 0.6]), np.array([False, True, False, True])
    groups, weights = np.array([0, 0, 1, 1]), np.ones(4)
    figures = []
    for coverage in (0.25, 0.5, 0.75, 1.0):
        accepted = score >= threshold_at(score, weights, coverage)
        figures.append(group_figures(accepted, wrong, groups, weights, 2))
    assert [errors.tolist() for errors, _ in figures] == [[0, 1], [0.5, 1], [0.5, 0], [0.5, 0.5]]
    assert [acceptance.tolist() for _, acceptance in figures] == [[0.5, 0], [1, 0], [1, 0.5], [1, 1]]
    balanced = [float(objective_of("balanced", errors, (0, 1))) for errors, _ in figures]
    worst = [float(objective_of("worst", errors, (0, 1))) for errors, _ in figures]
    assert (balanced[2:], worst[2:]) == ([0.25, 0.5], [0.5, 0.5])
    without = [float(objective_of("balanced", errors, (0,))) for errors, _ in figures[:2]]
    assert without == [0, 0.5]  # the vector leaves out a group with nothing accepted, as figures do


def test_errors_and_acceptance_are_shares_of_weight() -> None:
    accepted, wrong = np.array([True, True, False, True]), np.array([True, False, True, False])
    errors, acceptance = group_figures(accepted, wrong, np.array([0, 0, 0, 2]), np.array([1.0, 3.0, 4.0, 5.0]), 4)
    assert errors.tolist() == [0.25, 1, 0, 1]
    assert acceptance.tolist() == [0.5, 0, 1, 0]


def test_a_step_towards_the_worst_group_has_the_vector_of_narasimhan() -> None:
    stepped = reweight(np.array([0.5, 0.5]), np.array([0.2, 0.6]), 1.0)
    assert stepped == pytest.approx([0.401312, 0.598688], abs=5e-7)


@dataclass(frozen=True)
class Problem:
    """A finite population of X points, 3 classes in 2 groups."""

    mass: Floats
    """[X], p(x)."""
    eta: Floats
    """[X, 3]."""
    beta: Floats
    """[2]."""
    cost: float
    """c, of a rejection."""

    @classmethod
    def draw(cls, points: int, seed: int) -> Problem:
        generator = np.random.default_rng(seed)
        return cls(
            generator.dirichlet(np.full(points, 2.0)),
            generator.dirichlet([0.9, 0.6, 0.5], size=points),
            generator.dirichlet([3.0, 3.0]),
            float(generator.uniform(0.2, 0.7)),
        )

    @property
    def group_mass(self) -> Floats:
        return np.stack([self.eta[:, k == OF_CLASS].sum(1) for k in (0, 1)], axis=1)

    def alpha(self, accepted: Floats) -> Floats:
        """P(accepted, y ∈ G_k) [..., 2] where a share `accepted` [..., X] of each point is accepted."""
        return np.asarray(accepted * self.mass) @ self.group_mass

    def total(self, accepted: Floats, classes: np.ndarray) -> Floats:
        """Σ_k β_k e_k + c·P(reject), [...], of classes [..., X]."""
        right = np.take_along_axis(np.broadcast_to(self.eta, (*classes.shape, 3)), classes[..., None], -1)[..., 0]
        taken = accepted * self.mass
        correct = np.stack([(taken * right * (k == OF_CLASS[classes])).sum(-1) for k in (0, 1)], axis=-1)
        alpha = self.alpha(accepted)
        errors = 1 - np.divide(correct, alpha, out=np.zeros_like(alpha), where=alpha > 0)
        result: Floats = errors @ self.beta + self.cost * (1 - taken.sum(-1))
        return result


def plug_in_classes(problem: Problem, alpha: Floats) -> np.ndarray:
    """argmax_y (β/α)_[y] η_y, [..., X] for α [..., 2]."""
    u = problem.beta / np.maximum(alpha, 1e-300)
    classes: np.ndarray = (u[..., OF_CLASS][..., None, :] * problem.eta).argmax(-1)
    return classes


@pytest.mark.parametrize("seed", range(25))
def test_the_best_classifier_of_all_pairs_is_argmax_of_beta_over_alpha(seed: int) -> None:
    """All 81 classifiers with all 15 rejectors of 4 points: at the best, h = argmax (β/α)η with its own α."""
    problem = Problem.draw(4, seed)
    classifiers = np.array(list(itertools.product(range(3), repeat=4)))
    rejectors = np.array(list(itertools.product([0.0, 1.0], repeat=4)))[1:]
    totals = np.array([problem.total(np.broadcast_to(r, classifiers.shape), classifiers) for r in rejectors])
    row, column = np.unravel_index(totals.argmin(), totals.shape)
    accepted = rejectors[row]
    u = problem.beta / problem.alpha(accepted)
    _, classes = group_scores(summary_of(problem.eta, [0] * 4, OF_CLASS.tolist()), u.tolist(), u.tolist())
    assert classes[accepted == 1].tolist() == classifiers[column][accepted == 1].tolist()


def best_shares(problem: Problem, copies: int) -> Floats:
    """Enumerate rejectors that accept 0, 1 … `copies` of that many copies of each point; h = argmax (β/α)η."""
    steps = np.arange(copies + 1) / copies
    shares = np.array(list(itertools.product(steps, repeat=len(problem.mass))))[1:]
    totals = problem.total(shares, plug_in_classes(problem, problem.alpha(shares)))
    best: Floats = shares[totals.argmin()]
    return best


def test_the_best_of_all_rejectors_is_a_threshold_on_the_plug_in_score() -> None:
    """Theorem 12: accepted iff score ≥ −c, with u = β/α and μ = u·e of the best rejector itself.

    At the optimum, accepting dp more of a point changes e_k by (dW_k − e_k dα_k)/α_k, where W_k is the group's wrong
    accepted mass; so the cost falls iff max_y u_[y] η_y − Σ_k u_k (1 − e_k) P_k > −c: v = u − μ, μ = u·e.
    A point has 16 copies. A copy moves the derivative by up to p/16·Σ_k u_k P_k/α_k, which is allowed for; points
    where that is large tell nothing.
    """
    checked, without_mu = {True: 0, False: 0}, 0
    for seed in range(20):
        problem = replace(Problem.draw(4, seed), cost=0.1)
        shares = best_shares(problem, 16)
        alpha = problem.alpha(shares)
        u = problem.beta / alpha
        classes = plug_in_classes(problem, alpha)
        right = problem.eta[np.arange(4), classes] * problem.mass * shares
        errors = 1 - np.array([right[k == OF_CLASS[classes]].sum() for k in (0, 1)]) / alpha
        rows = summary_of(problem.eta, [0] * 4, OF_CLASS.tolist())
        score, _ = group_scores(rows, u.tolist(), (u * (1 - errors)).tolist())
        plain, _ = group_scores(rows, u.tolist(), u.tolist())
        slack = problem.mass / 16 * (problem.group_mass @ (u / alpha))
        for point in np.flatnonzero((slack < 0.1) & ((shares == 0) | (shares == 1))):
            accepted = bool(shares[point] == 1)
            sign = 1 if accepted else -1
            assert sign * (score[point] + problem.cost) >= -slack[point]
            without_mu += sign * (plain[point] + problem.cost) < -slack[point]
            checked[accepted] += 1
    assert min(checked.values()) >= 5
    assert without_mu >= 10  # the test tells μ = 0 from the right one
