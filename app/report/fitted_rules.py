"""The section about a fitted rejector: its rule for each coverage, and what it does on the rows it was fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.domain.combining import Rule, Rules
from app.report.figures import in_percent
from app.report.pictures import line_style, swatch
from app.report.svg import UNIT, Axis, Chart, Line, Mark, ticks_to

SCORES = {
    "msp": "msp: the largest combined probability",
    "margin": "margin: the largest combined probability minus the second largest",
    "entropy": "entropy: the negative entropy of the combined probabilities",
    "energy": "energy: the log of the sum of the exponentials of one expert's logits",
    "group": "group: the plug-in rule, with a factor u and a price v for each class group",
}


@dataclass(frozen=True, slots=True)
class RuleSection:
    """What a page shows of a fitted rejector."""

    score: str
    sentence: str
    headings: Sequence[str]
    meanings: Sequence[tuple[str, str]]
    """Headings with one meaning, and that."""
    rows: Sequence[Sequence[str]]
    charts: Sequence[Markup]
    key: Sequence[tuple[Markup, str]]
    """Swatch and name of each class group."""


def rule_section(rules: Rules, group_names: Sequence[str]) -> RuleSection:
    """Build the section; `group_names` has K names."""
    grouped = rules.score == "group"
    columns = _columns(rules, group_names)
    charts = (
        _by_group(rules, group_names, "acceptance", lambda rule: rule.group_acceptance),
        _by_group(rules, group_names, "error", lambda rule: rule.group_errors),
    )
    return RuleSection(
        SCORES[rules.score],
        _sentence(rules) if grouped else "The score looks at no class group; only the threshold was fitted.",
        [heading for heading, _, _ in columns],
        _meanings(columns),
        [[text(rule) for _, _, text in columns] for rule in rules.rules],
        [chart for chart in charts if chart is not None],
        [(swatch(number), name) for number, name in enumerate(group_names)],
    )


def _sentence(rules: Rules) -> str:
    objective = {"balanced": "mean", "worst": "largest"}[rules.objective]
    least = rules.min_group_coverage
    kept = f"rules that accept less than {least:g} times the coverage of a group were left out" if least else ""
    free = "no least acceptance of a group was asked for, so a rule may accept hardly any row of one"
    return (
        f"Each rule minimises the {objective} of the groups' errors among the rules that were tried; {kept or free}."
    )


Values = Callable[[Rule], Sequence[float]]
Column = tuple[str, str, Callable[[Rule], str]]


def _columns(rules: Rules, group_names: Sequence[str]) -> list[Column]:
    columns: list[Column] = [
        ("Target", "share of the rows' weight to accept, %", lambda rule: f"{rule.coverage * 100:.4g}"),
        ("Accepted", "share accepted, %; above the target where rows tie", lambda rule: _share(rule.fitted_coverage)),
        ("Threshold", "rows with at least this score are accepted", lambda rule: _number(rule.threshold)),
    ]
    if rules.score == "group":
        factor, price = "factor of the group's largest probability", "price of the group's probability"
        columns += _by_name("u {}", factor, group_names, lambda rule: rule.u, _number)
        columns += _by_name("v {}", price, group_names, lambda rule: rule.v, _number)
        word = "Mean error" if rules.objective == "balanced" else "Worst error"
        columns.append((word, f"what was minimised ({rules.objective}), %", lambda rule: _share(rule.objective)))
    errors, accepted = "wrong rows among the group's accepted ones, %", "accepted rows among the group's, %"
    if all(rule.group_errors for rule in rules.rules):
        columns += _by_name("Error {}", errors, group_names, lambda rule: rule.group_errors, _share)
    if all(rule.group_acceptance for rule in rules.rules):
        columns += _by_name("Accepted {}", accepted, group_names, lambda rule: rule.group_acceptance, _share)
    return columns


def _meanings(columns: Sequence[Column]) -> list[tuple[str, str]]:
    headings: dict[str, list[str]] = {}
    for heading, meaning, _ in columns:
        headings.setdefault(meaning, []).append(heading)
    return [(", ".join(those), meaning) for meaning, those in headings.items()]


def _by_name(
    heading: str, meaning: str, group_names: Sequence[str], values: Values, text: Callable[[float], str]
) -> list[Column]:
    """Return a column for each class group."""

    def column(number: int) -> Callable[[Rule], str]:
        return lambda rule: text(values(rule)[number])

    return [(heading.format(name), meaning, column(number)) for number, name in enumerate(group_names)]


def _by_group(rules: Rules, group_names: Sequence[str], word: str, values: Values) -> Markup | None:
    """Draw a line for each group over coverage.

    The result is None where the rules have no such figures.
    """
    if not rules.rules or not all(values(rule) for rule in rules.rules):
        return None
    lines: list[Mark] = [Line([(0, 0), (1, 1)], "diagonal")] if word == "acceptance" else []
    texts = []
    for number, name in enumerate(group_names):
        points = [(rule.coverage, values(rule)[number]) for rule in rules.rules]
        text = f"{name} {points[0][1]:.3f} to {points[-1][1]:.3f}"
        lines.append(Line(points, line_style(number), text))
        texts.append(text)
    highest = max(max(values(rule)) for rule in rules.rules)
    y = Axis(word, UNIT if word == "acceptance" else ticks_to(highest))
    first, last = rules.rules[0].coverage, rules.rules[-1].coverage
    meaning = "Share of each group's rows that is accepted" if word == "acceptance" else "Error of each group"
    description = f"{meaning}, from coverage {first:g} to {last:g}: {'; '.join(texts)}."
    return Chart(f"{word.capitalize()} by group, fitted rows", description, Axis("coverage", UNIT), y).draw(lines)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{in_percent(value):.2f}"


def _number(value: float) -> str:
    """Format a number; the least one as a threshold accepts all rows."""
    return "all" if value < -1e300 else f"{value:.4g}".replace("-", "−")
