"""Views of an evaluation: the table of all methods, with intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.tables import NONE, UNBOUNDED, Record, printable

ACCEPTANCE_AT = 0.5  # the coverage whose acceptance by group stands beside the areas, or the nearest to it
TEXT_WIDTH = 100  # columns of sentences at most
DIFFERENT = "*"

Cell = tuple[float | None, Sequence[float] | None]
"""A figure and its interval."""


@dataclass(frozen=True)
class Column:
    """One figure of every method."""

    heading: str
    cell: Callable[[Record], Cell]
    percent: bool = True
    """Whether figures are fractions, shown in %."""
    best: Callable[[list[float]], float] | None = min
    """The better of values; None where neither direction is better."""
    optional: bool = False
    """Whether a narrow window leaves it out."""


def evaluation_table(evaluation: Record, console: Console) -> Group:
    """Show every method's figures, intervals and differences from the reference.

    A console too narrow for one table gets two, and only the last of the class groups.

    Args:
        evaluation: `result["evaluation"]` of an evaluation.
        console: for its width.
    """
    methods = evaluation["methods"]
    answered, rejecting = _answered_columns(evaluation), _rejecting_columns(evaluation)
    parts: list[RenderableType] = []
    whole = _table(methods, [*answered, *rejecting])
    if _fits(console, whole):
        parts += [Text("In % (NLL in nats):", "bold"), whole]
    else:
        parts += [
            Text("With every row answered, in % (NLL in nats):", "bold"),
            _fitting(console, methods, answered),
            Text(""),
        ]
        parts += [Text("With the least certain rows rejected, in %:", "bold"), _fitting(console, methods, rejecting)]
    others = [method for method in methods if method["name"] != evaluation["reference"]]
    if others:
        title = f"Difference from {printable(evaluation['reference'])}, in % points (NLL in nats):"
        parts += [Text(""), Text(title, "bold"), _fitting(console, others, _difference_columns(), differences=True)]
        parts += [Text(line) for line in _wrapped(console, _verdict(others, evaluation["reference"]))]
    return Group(*parts, *(Text(line, "dim") for line in _wrapped(console, _explanation(evaluation))))


def _answered_columns(evaluation: Record) -> list[Column]:
    groups = evaluation["group_names"]
    return [
        Column("acc", _figure("accuracy"), best=max),
        Column("bal", _figure("balanced_accuracy"), best=max),
        *(
            Column(printable(name), _figure(f"{name}_accuracy"), best=max, optional=name != groups[-1])
            for name in groups
        ),
        Column("NLL", _figure("nll"), percent=False),
        Column("ECE", _figure("ece")),
    ]  # fmt: skip


def _rejecting_columns(evaluation: Record) -> list[Column]:
    coverages = evaluation["coverages"]
    place = min(range(len(coverages)), key=lambda k: abs(coverages[k] - ACCEPTANCE_AT))
    return [
        Column("AURC", _figure("aurc_grid")),
        Column("AURC bal", _figure("balanced_aurc_grid")),
        Column("AURC worst", _figure("worst_aurc_grid")),
        *(
            Column(
                f"{printable(name)}\nat {coverages[place]:g}",
                _acceptance(place, k, name),
                best=None,
                optional=name != evaluation["group_names"][-1],
            )
            for k, name in enumerate(evaluation["group_names"])
        ),
    ]


def _difference_columns() -> list[Column]:
    figures = {
        "acc": ("accuracy", max),
        "bal": ("balanced_accuracy", max),
        "NLL": ("nll", min),
        "AURC": ("aurc_grid", min),
        "AURC bal": ("balanced_aurc_grid", min),
        "AURC worst": ("worst_aurc_grid", min),
    }
    return [
        Column(heading, _difference(name), percent=name != "nll", best=best, optional=heading in ("AURC", "NLL"))
        for heading, (name, best) in figures.items()
    ]


def _figure(name: str) -> Callable[[Record], Cell]:
    return lambda method: (method["figures"].get(name), method["intervals"].get(name))


def _acceptance(place: int, group: int, name: str) -> Callable[[Record], Cell]:
    def cell(method: Record) -> Cell:
        point = method["at_coverage"][place]
        return point["group_acceptance"][group], point["bands"].get(f"{name}_acceptance")

    return cell


def _difference(name: str) -> Callable[[Record], Cell]:
    def cell(method: Record) -> Cell:
        difference = method["differences"].get(name)
        return (None, None) if difference is None else (difference["value"], (difference["low"], difference["high"]))

    return cell


def _fitting(
    console: Console, methods: Sequence[Record], columns: Sequence[Column], *, differences: bool = False
) -> Table:
    """Create a table that fits the console, if need be without optional columns."""
    table = _table(methods, columns, differences=differences)
    for optional in (column for column in columns if column.optional):
        if _fits(console, table):
            break
        columns = [column for column in columns if column is not optional]
        table = _table(methods, columns, differences=differences)
    return table


def _fits(console: Console, table: Table) -> bool:
    return console.measure(table, options=console.options.update(width=UNBOUNDED)).maximum <= console.width


def _table(methods: Sequence[Record], columns: Sequence[Column], *, differences: bool = False) -> Table:
    """Put a method's figures into one row, with the intervals below them."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, header_style="bold")
    table.add_column("method", overflow="fold")
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    best = [None if differences else _best(methods, column) for column in columns]
    for method in methods:
        cells = (
            _difference_cell(column, *column.cell(method))
            if differences
            else _cell(column, value, *column.cell(method))
            for column, value in zip(columns, best, strict=True)
        )
        table.add_row(_name(method["name"]), *cells)
    return table


def _best(methods: Sequence[Record], column: Column) -> float | None:
    values = [value for method in methods if (value := column.cell(method)[0]) is not None]
    return column.best(values) if column.best and values else None


def _name(name: str) -> Text:
    """Write a combination and its score in two lines."""
    combination, plus, score = printable(name).partition(" + ")
    return Text(f"{combination}\n{plus.lstrip()}{score}" if plus else combination)


def _cell(column: Column, best: float | None, value: float | None, interval: Sequence[float] | None) -> Text:
    if value is None:
        return Text(NONE)
    shown = _number(value, column)
    is_best = best is not None and shown == _number(best, column)
    return Text.assemble((shown, "bold" if is_best else ""), *_interval(column, interval))


def _difference_cell(column: Column, value: float | None, interval: Sequence[float] | None) -> Text:
    """Show a difference, with a mark if its interval excludes 0."""
    if value is None:
        return Text(NONE)
    better = _better(column, interval)
    style = "" if better is None else "bold green" if better else "bold red"
    mark = " " if better is None else DIFFERENT
    return Text.assemble((f"{_number(value, column, sign='+')}{mark}", style), *_interval(column, interval, " "))


def _better(column: Column, interval: Sequence[float] | None) -> bool | None:
    """Tell whether a method is better than the reference; None if its interval holds 0."""
    if interval is None or interval[0] <= 0 <= interval[1]:
        return None
    return bool((interval[0] > 0) == (column.best is max))


def _interval(column: Column, interval: Sequence[float] | None, after: str = "") -> Iterator[tuple[str, str]]:
    if interval is not None:
        yield "\n" + "…".join(_end(end, column) for end in interval) + after, "dim"


def _number(value: float, column: Column, *, sign: str = "") -> str:
    """Write a figure with two digits behind the point, or three if it is no percentage."""
    return _written(value * 100, f"{sign}.2f") if column.percent else _written(value, f"{sign}.3f")


def _end(value: float, column: Column) -> str:
    """Write an end of an interval, with fewer digits than the figure."""
    number = value * 100 if column.percent else value
    places = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return _written(number, f".{places}f")


def _written(number: float, form: str) -> str:
    text = format(round(number, 8), form)  # 95.625 may come as 95.62500000000001
    return text.replace("-", "") if float(text) == 0 else text


def _verdict(others: Sequence[Record], reference: str) -> str:
    """Count the methods that differ from the reference beyond chance."""
    balanced, area = (column for column in _difference_columns() if column.heading in ("bal", "AURC bal"))
    sentences = []
    for column, better, worse in ((balanced, "higher", "lower"), (area, "lower", "higher")):
        name = "balanced accuracy" if column is balanced else "balanced AURC"
        verdicts = [(printable(m["name"]), _better(column, column.cell(m)[1])) for m in others]
        good = [method for method, verdict in verdicts if verdict]
        bad = sum(verdict is False for _, verdict in verdicts)
        sentences.append(
            f"A {better} {name} than {printable(reference)}: {', '.join(good) or 'no method'}"
            f"{f'; a {worse} one: {bad} of {len(others)}' if bad else ''}."
        )
    return " ".join(sentences)


def _explanation(evaluation: Record) -> str:
    """Explain the figures, and what their intervals do not cover."""
    coverages, rows = evaluation["coverages"], evaluation["rows"]
    weighted = f", which count as {evaluation['effective_rows']:,.0f} equally weighted ones"
    counted = weighted if round(evaluation["effective_rows"]) != rows else ""
    sentences = (
        f"Below each figure its {evaluation['level'] * 100:g} % interval: the middle of {evaluation['resamples']:,}",
        f"resamples (seed {evaluation['seed']}) of the {rows:,} test rows{counted}, drawn by class; all methods",
        f"share them. {DIFFERENT}: the interval of the difference excludes 0; without it, the rows do not tell the",
        "two apart. The best value is bold, whether or not it differs from the next. The intervals cover the choice",
        "of test rows, not the training of the experts or the fit of the combination; nothing corrects for the",
        "comparison of many methods. Repeated rows raise the ECE and the errors of small groups, so a figure may",
        f"lie beside its interval. AURC: mean error of the accepted rows at {len(coverages)} coverages from",
        f"{coverages[0]:g} to {coverages[-1]:g}; a group without an accepted row counts as 1. 'at': share of a group",
        "that is accepted at that coverage.",
    )
    return " ".join(sentences)


def _wrapped(console: Console, text: str) -> list[str]:
    return textwrap.wrap(text, min(console.width, TEXT_WIDTH))
