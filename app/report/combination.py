"""The section about a fitted combination: what was compared, what was chosen and why, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.combining import Candidate, LinearParameters, LogLinearParameters, NetParameters
from app.domain.outcomes import GatingOutcome, RoleRows
from app.report.caveats import Caveat, fitted_rule_caveats
from app.report.figures import Cell, Figure
from app.report.fitted_rules import RuleSection, rule_section
from app.report.words import PRIORS, count, effective, signed


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One fitted method in the table of candidates."""

    method: str
    chosen: bool
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Combination:
    """What the page shows of a gating."""

    reason: str
    """Which method was chosen, and why."""
    figures: Sequence[Figure]
    candidates: Sequence[CandidateRow]
    parameters: Sequence[tuple[str, str]]
    """Heading and meaning of each column of parameters by expert."""
    experts: Sequence[tuple[str, Sequence[str]]]
    """Expert → its parameters, in their order."""
    notes: Sequence[str]
    """About parameters that are not of one expert."""
    facts: Sequence[tuple[str, str]]
    assumed: Sequence[str]
    """What the files were taken for; empty where nothing was declared."""
    rules: RuleSection | None
    """Of `selective`."""
    caveats: Sequence[Caveat]
    """About the rules."""
    inputs: Sequence[tuple[str, str]]
    """Expert and split of each file of logits that was fitted on or compared on, and sha256."""


def combination(outcome: GatingOutcome) -> Combination:
    """Build the section of a combination."""
    figures = _figures(outcome)
    columns = [column for candidate in outcome.candidates for column in _columns(candidate)]
    experts = [
        (expert, [values[number] for _, _, values in columns]) for number, expert in enumerate(outcome.experts)
    ]
    return Combination(
        reason(outcome),
        figures,
        [_row(candidate, candidate.method == outcome.method, figures) for candidate in outcome.candidates],
        [(heading, meaning) for heading, meaning, _ in columns],
        experts,
        [note for candidate in outcome.candidates for note in _notes(candidate)],
        _facts(outcome),
        [
            f"The files of {expert} were declared to be divided by {divisor:g}; their logits were multiplied by it."
            for expert, divisor in outcome.divided_by.items()
        ],
        None if outcome.rules is None else rule_section(outcome.rules, outcome.group_names),
        fitted_rule_caveats("group"),
        [(f"{file.expert} / {file.split}", file.sha256) for file in outcome.inputs],
    )


def reason(outcome: GatingOutcome) -> str:
    """Say which method was chosen, and why."""
    chosen, validate = outcome.candidate, outcome.validate.list.split
    if outcome.chosen == "named":
        return f"{chosen.method} was taken because the request named it; no other method was compared."
    best = min(outcome.candidates, key=lambda candidate: candidate.validate.nll)
    if best.method == chosen.method:
        simpler = outcome.candidates[: outcome.candidates.index(chosen)]
        more = " Every simpler method is told apart from it: the interval of its difference lies above 0."
        return f"{chosen.method} has the lowest NLL on {validate}.{more if simpler else ''}"
    ends = chosen.nll_difference
    interval = "" if ends is None else f" ({_interval(ends)} nats)"
    return (
        f"{chosen.method} was taken. {best.method} has the lowest NLL on {validate}, but {validate} does not tell "
        f"{chosen.method} from it: the 95 % interval of the difference{interval} contains 0, and {chosen.method} is "
        "the simplest method of which that is so."
    )


def _figures(outcome: GatingOutcome) -> list[Figure]:
    validate = outcome.validate.list.split
    figures = [
        Figure("fit_nll", "NLL, fit", "nats", f"on the rows of {outcome.fit.list.split} that it was fitted on", 4),
        Figure("nll", "NLL, validate", "nats", f"on the rows of {validate}, which decide", 4),
        Figure("difference", "Difference", "nats", "95 % interval of the NLL on validate minus the lowest one", 4),
        Figure("accuracy", "Accuracy", "%", f"right rows of {validate}", 2),
        Figure("balanced_accuracy", "Balanced", "%", f"mean recall of the classes present in {validate}", 2),
    ]
    return figures + [
        Figure(name, name.capitalize(), "%", f"right rows of the {name} classes", 2) for name in outcome.groups
    ]


def _row(candidate: Candidate, chosen: bool, figures: Sequence[Figure]) -> CandidateRow:
    shown = candidate.validate
    values: Mapping[str, float | None] = {
        **shown.group_accuracy,
        "fit_nll": candidate.fit_nll,
        "nll": shown.nll,
        "accuracy": shown.accuracy,
        "balanced_accuracy": shown.balanced_accuracy,
    }
    ends = candidate.nll_difference
    difference = "lowest" if ends is None else _interval(ends)
    cells = [
        Cell(figure, difference if figure.name == "difference" else figure.text(values[figure.name]), None)
        for figure in figures
    ]
    return CandidateRow(candidate.method, chosen, cells)


def _columns(candidate: Candidate) -> list[tuple[str, str, list[str]]]:
    """Return heading, meaning and values of a method's parameters by expert."""
    method, parameters = candidate.method, candidate.parameters
    if isinstance(parameters, LogLinearParameters):
        return [(f"{method} a", "factor of its logits", [f"{value:.4f}" for value in parameters.exponents])]
    temperatures = (f"{method} T", "its logits are divided by this", [f"{t:.4f}" for t in parameters.temperatures])
    if isinstance(parameters, NetParameters):
        return [temperatures]
    weights = (f"{method} q", "weight of its probabilities", [f"{weight:.4f}" for weight in parameters.weights])
    return [weights] if all(t == 1 for t in parameters.temperatures) else [weights, temperatures]


def _notes(candidate: Candidate) -> list[str]:
    parameters = candidate.parameters
    if isinstance(parameters, LogLinearParameters):
        b = parameters.prior_exponent
        if b < 0:
            effect = "it is below 0, which favours classes with few train samples"
        elif b > 0:
            effect = "it is above 0, which favours classes with many train samples"
        else:
            effect = "the prior plays no part"
        b_text = signed(f"{b:.4f}").removeprefix("+")
        return [f"{candidate.method}: the exponent b of the class prior is {b_text}; {effect}."]
    if isinstance(parameters, NetParameters):
        if parameters.best_epoch is None:
            return [f"{candidate.method}: imported weights; nothing was fitted."]
        return [
            f"{candidate.method}: a network weighs the experts row by row; epoch {parameters.best_epoch} was kept."
        ]
    if isinstance(parameters, LinearParameters):
        unused = sum(weight < 1e-3 for weight in parameters.weights)
        if unused:
            return [f"{candidate.method}: {count(unused, 'expert')} with a weight below 0.001."]
    return []


def _facts(outcome: GatingOutcome) -> list[tuple[str, str]]:
    groups = ", ".join(f"{name} {len(classes):,}" for name, classes in outcome.groups.items())
    return [
        ("Experts, in order", ", ".join(outcome.experts)),
        ("Fitted on", _role(outcome.fit)),
        ("Compared on", _role(outcome.validate)),
        ("Prior", PRIORS[outcome.prior]),
        ("Classes by group", groups),
        ("Seed", str(outcome.seed)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in outcome.versions.items())),
    ]


def _role(rows: RoleRows) -> str:
    return f"{rows.list.split}: {effective(rows.list.rows, rows.effective_rows)}"


def _interval(ends: tuple[float, float]) -> str:
    return f"{signed(f'{ends[0]:.4f}')} to {signed(f'{ends[1]:.4f}')}"
