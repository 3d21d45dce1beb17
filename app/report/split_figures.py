"""Figures beyond the main table, for all experts of a split; docs/metrics.md defines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.analyses import Statistics
from app.domain.ensembles import Accuracies, Ensemble
from app.domain.result_figures import GroupConfusion
from app.domain.seeds import SeedSummary
from app.report.drawings import Drawing
from app.report.figures import FIGURES, in_percent
from app.report.paper_tables import Table
from app.report.pictures import line_style
from app.report.svg import Axis, Chart, Line, Mark, ticks_between

SCORES: Mapping[str, str] = {
    "msp": "largest probability",
    "entropy": "entropy",
    "margin": "margin",
    "max_logit": "largest logit",
    "energy": "energy",
}
GROUPS = ("head", "tail")
AREAS = (
    ("risk_coverage", "aurc", "AURC"),
    ("balanced_risk_coverage", "balanced_aurc", "Balanced AURC"),
    ("worst_group_risk_coverage", "worst_group_aurc", "Worst-group AURC"),
)
"""Curve, its area's name among the intervals, and heading."""

Numbered = Sequence[tuple[str, int, Statistics]]
"""Expert, its number, and its statistics."""


@dataclass(frozen=True, slots=True)
class SplitFigures:
    """Tables and charts of one split, in the order of the page."""

    tables: Sequence[Table]
    shifted: Drawing | None
    """Accuracy under shifted priors."""
    sentences: Sequence[str]


def split_figures(
    split: str, experts: Numbered, ensemble: Ensemble | None, seeds: Sequence[SeedSummary], threshold: int
) -> SplitFigures | None:
    """Build what is shown of a split beyond its main table; None without anything."""
    tables = [
        _areas(split, experts),
        _calibration(split, experts, threshold),
        _scores(split, experts),
        _shifted_table(split, experts),
        _confusion(split, experts),
        _pairs_confused(split, experts),
        _ensemble(split, ensemble),
        _expert_pairs(split, ensemble),
        _seeds(split, [summary for summary in seeds if summary.split == split]),
    ]
    shown = [table for table in tables if table is not None]
    if not shown:
        return None
    messages = [
        f"{name}: {statistics.scores.message}"
        for name, _, statistics in experts
        if statistics.scores and statistics.scores.flips
    ]
    return SplitFigures(shown, _shifted_chart(split, experts), messages)


def _areas(split: str, experts: Numbered) -> Table | None:
    rows = []
    for name, _, statistics in experts:
        cells = [name]
        for curve, figure, _ in AREAS:
            ends = statistics.intervals.figures.get(figure)
            interval = f" ({_four(ends[0])}–{_four(ends[1])})" if ends else ""
            cells.append(_four(statistics.areas.get(curve)) + interval)
        rows.append(cells)
    columns = ["Expert", *(heading for _, _, heading in AREAS)]
    note = "Rows accepted by falling confidence; smaller is better. In brackets: the intervals of the main table."
    # Without groups there is the plain area alone, which the main table has.
    known = any(statistics.areas.get(curve) is not None for _, _, statistics in experts for curve, _, _ in AREAS[1:])
    return Table(f"Areas under the risk-coverage curves, {split}", columns, rows, note) if known else None


def _calibration(split: str, experts: Numbered, threshold: int) -> Table | None:
    rows = []
    for name, _, statistics in experts:
        if statistics.calibration is None:
            continue
        cells = [name]
        for group in GROUPS:
            item = statistics.calibration.get(group)
            cells += (
                ["–"] * 3 if item is None else [f"{item.ece:.4f}", _percent(item.confidence), _percent(item.accuracy)]
            )
        rows.append(cells)
    columns = ["Expert", *(f"{group} {what}" for group in GROUPS for what in ("ECE", "confidence %", "accuracy %"))]
    note = f"ECE over the rows of each group alone, 15 bins; head: more than {threshold} train samples."
    return Table(f"Calibration by group, {split}", columns, rows, note) if rows else None


def _scores(split: str, experts: Numbered) -> Table | None:
    rows = [
        [
            name,
            SCORES.get(item.score, item.score),
            *map(_four, (item.aurc, item.balanced_aurc, item.worst_group_aurc)),
        ]
        for name, _, statistics in experts
        if statistics.scores
        for item in statistics.scores.scores
    ]
    columns = ["Expert", "Rows accepted by", "AURC", "Balanced AURC", "Worst-group AURC"]
    note = "Area under the risk-coverage curve where rows are accepted by this score; smaller is better."
    return Table(f"Confidence scores, {split}", columns, rows, note, words=2) if rows else None


def _shifted_table(split: str, experts: Numbered) -> Table | None:
    known = [(name, statistics.shifted_priors) for name, _, statistics in experts if statistics.shifted_priors]
    if not known:
        return None
    columns = ["Expert", *(item.name for item in known[0][1].accuracies)]
    rows = [[name, *(_percent(item.accuracy) for item in priors.accuracies)] for name, priors in known]
    absent = max(priors.absent_classes for _, priors in known)
    note = (
        "Accuracy in % if the classes were as common as in a long-tailed test set; forward: in the order of train, "
        "backward: reversed; the number is the share of the most common class over that of the rarest. Exact from "
        "the recalls of the classes."
    )
    if absent:
        note += f" {absent} classes have no row here; they are left out, and the shares of the others scaled up."
    return Table(f"Accuracy under shifted priors, {split}", columns, rows, note)


def _shifted_chart(split: str, experts: Numbered) -> Drawing | None:
    known = [(n, number, s.shifted_priors) for n, number, s in experts if s.shifted_priors]
    if not known:
        return None
    names = [item.name for item in known[0][2].accuracies]
    places = [float(place) for place in range(len(names))]
    words = [name.replace("Forward-", "F").replace("Backward-", "B").replace("Uniform", "U") for name in names]
    values = [item.accuracy for _, _, priors in known for item in priors.accuracies]
    x = Axis("test prior: F forward, U uniform, B backward", places, (-0.2, len(names) - 0.8), words)
    y = Axis("accuracy", ticks_between(0.0, max(values)))
    marks: list[Mark] = []
    data = []
    for name, number, priors in known:
        points = [(float(place), item.accuracy) for place, item in enumerate(priors.accuracies)]
        marks.append(Line(points, line_style(number), name))
        data += [(name, item.name, item.direction, item.ratio, item.accuracy) for item in priors.accuracies]
    ends = [f"{n} {p.accuracies[0].accuracy:.3f} to {p.accuracies[-1].accuracy:.3f}" for n, _, p in known]
    description = f"Accuracy from the most head-heavy to the most tail-heavy prior: {'; '.join(ends)}."
    chart = Chart(f"Accuracy under shifted priors, {split}", description, x, y, width=480)
    return chart.draw(marks, (("expert", "prior", "direction", "ratio", "accuracy"), data))


def _confusion(split: str, experts: Numbered) -> Table | None:
    rows = []
    for name, _, statistics in experts:
        groups = statistics.confusion.groups if statistics.confusion else None
        if groups is not None:
            rows.append([name, *(cell for group in GROUPS for cell in _confused(groups.get(group)))])
    parts = ("right %", "other head %", "other tail %")
    columns = ["Expert", *(f"{group}: {part}" for group in GROUPS for part in parts)]
    note = "What the rows of head and tail classes are predicted as; the three shares of a group sum to 100 %."
    return Table(f"Confusion of head and tail, {split}", columns, rows, note) if rows else None


def _confused(item: GroupConfusion | None) -> list[str]:
    return ["–"] * 3 if item is None else [_percent(item.right), _percent(item.as_head), _percent(item.as_tail)]


def _pairs_confused(split: str, experts: Numbered) -> Table | None:
    rows = [
        [name, f"{pair.label} → {pair.predicted}", f"{pair.rows:,}", _percent(pair.share)]
        for name, _, statistics in experts
        if statistics.confusion
        for pair in statistics.confusion.pairs[:5]
    ]
    columns = ["Expert", "Class → prediction", "Rows", "Share of the class %"]
    return Table(f"Most frequent confusions, {split}", columns, rows, words=2) if rows else None


def _ensemble(split: str, ensemble: Ensemble | None) -> Table | None:
    if ensemble is None:
        return None
    rows = [[name, *_accuracies(item)] for name, item in ensemble.single.items()]
    rows.append(["Uniform average", *_accuracies(ensemble.uniform)])
    oracle = ensemble.oracle
    by_group = [_share(oracle.get(name)) for name in GROUPS]
    rows.append(["Any expert right (oracle)", _share(oracle["overall"]), "–", *by_group])
    columns = ["Expert", "Accuracy %", "Balanced %", "Head %", "Tail %"]
    note = "Uniform average: the largest mean of the experts' probabilities. The oracle needs the labels: it is the "
    note += "most that a choice between the experts could reach."
    return Table(f"The experts together, {split}", columns, rows, note)


def _expert_pairs(split: str, ensemble: Ensemble | None) -> Table | None:
    if ensemble is None:
        return None
    groups = list(ensemble.rows)
    columns = ["First", "Second"]
    columns += [f"{group}: {what}" for group in groups for what in ("disagree %", "error correlation")]
    rows = []
    for pair in ensemble.pairs:
        cells = [pair.first, pair.second]
        for group in groups:
            figures = pair.groups[group]
            correlation = figures.error_correlation
            cells += [_share(figures.disagreement), "–" if correlation is None else _signed(correlation)]
        rows.append(cells)
    note = "Error correlation: the phi coefficient of being wrong; 0 for independent errors, 1 for the same ones."
    return Table(f"Disagreement of experts, {split}", columns, rows, note, words=2)


def _seeds(split: str, summaries: Sequence[SeedSummary]) -> Table | None:
    if not summaries:
        return None
    shown = [figure for figure in FIGURES if any(figure.name in summary.figures for summary in summaries)]
    rows = []
    for summary in summaries:
        cells = [summary.name, str(len(summary.experts))]
        for figure in shown:
            item = summary.figures.get(figure.name)
            text = "–" if item is None else f"{figure.text(item.mean)} ± {figure.text(item.deviation)}"
            cells.append(text if item is None or item.n == len(summary.experts) else f"{text} (n = {item.n})")
        rows.append(cells)
    columns = ["Experts", "Seeds", *(f"{figure.heading} {figure.unit}".strip() for figure in shown)]
    return Table(f"Mean over seeds, {split}", columns, rows, "Mean ± sample standard deviation (n − 1).")


def _accuracies(item: Accuracies) -> list[str]:
    values = (item.accuracy, item.balanced_accuracy, item.head_accuracy, item.tail_accuracy)
    return [_share(value) for value in values]


def _percent(share: float) -> str:
    return f"{in_percent(share):.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else _percent(value)


def _four(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _signed(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")
