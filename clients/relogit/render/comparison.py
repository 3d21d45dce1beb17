"""Views of a paired comparison: what differs between A and B, split by split."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from relogit.comparison import doubts_of
from relogit.render.checks import failed_check_lines
from relogit.render.tables import NONE, UNBOUNDED, Record, count, in_percent, new_table, number_of, percent, printable

TEXT_WIDTH = 100  # columns of sentences at most
DIFFERENT = "*"
LOWER_IS_BETTER = frozenset({"nll", "ece", "aurc"})
HEADINGS = {
    "accuracy": "acc",
    "balanced_accuracy": "bal",
    "head_accuracy": "head",
    "tail_accuracy": "tail",
    "nll": "NLL",
    "ece": "ECE",
    "aurc": "AURC",
}
OPTIONAL = ("aurc", "ece", "head_accuracy")  # which a narrow window leaves out, in this order
CAUSES = {
    "identical": "identical",
    "precision": "precision only",
    "temperature": "a temperature",
    "prior": "a class prior",
    "row-constant": "a constant a row",
    "permuted-rows": "permuted rows",
    "other-split": "another split",
    "other-data": "other images",
    "other-calibration": "other calibration",
    "other-normalisation": "other normalisation",
    "other-network": "another network",
    "other-weights": "other weights",
    "unknown": "not known",
}


def comparison_lines(data: Record, console: Console) -> Iterator[RenderableType]:
    """Show all pairs, split by split, with what the numbers do not say.

    Args:
        data: the JSON of a comparison with its result.
        console: for its width.
    """
    result = data["result"]
    for doubt in doubts_of(data):
        yield from (Text(line, "yellow") for line in _wrapped(console, printable(doubt)))
    yield from failed_check_lines({"checks": result["checks"], "results": []})
    for split in dict.fromkeys(pair["split"] for pair in result["pairs"]):
        yield from _split_lines([pair for pair in result["pairs"] if pair["split"] == split], result, console)
    for skipped in result["skipped"]:
        what = f"{skipped['a']} and {skipped['b']} on {skipped['split']} are not compared: {skipped['reason']}"
        yield from (Text(line, "yellow") for line in _wrapped(console, printable(what)))
    yield from (Text(line, "dim") for line in _wrapped(console, _explanation(result)))


def p_text(p: float) -> str:
    """Write a p value: four digits, or the power of ten where these would be 0."""
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}"


def pair_sentence(pair: Record, level: float) -> str:
    """Tell in words how often one is right where the other is wrong, and whether that is beyond chance."""
    test, a, b = pair["mcnemar"], pair["a"], pair["b"]
    samples = number_of(test["only_a"], "sample")
    adjusted = f" ({p_text(test['p_holm'])} after Holm over {test['pairs']} pairs)" if test["pairs"] > 1 else ""
    if not test["only_a"] + test["only_b"]:
        return f"{a} and {b} are right in the same samples."
    apart = test["p_holm"] < 1 - level
    verdict = "the two differ in accuracy beyond chance" if apart else "these samples do not tell the two apart"
    return (
        f"{a} is right where {b} is wrong in {samples}, the other way round in {test['only_b']:,}; "
        f"p = {p_text(test['p'])}{adjusted}: {verdict}."
    )


def _split_lines(pairs: Sequence[Record], result: Record, console: Console) -> Iterator[RenderableType]:
    """Show the pairs of one split."""
    yield Text(f"{printable(pairs[0]['split'])}: {_pairing(pairs)}", "bold")
    yield _main_table(pairs, console)
    yield Text("Differences B − A, in % points (NLL in nats; ECE and AURC: 0 to 1):", "bold")
    yield _difference_table(pairs, console)
    flips = [pair for pair in pairs if pair["flips"][0]["flips"]]
    if flips:
        yield Text("Rows whose predicted class differs (flips), by class group:", "bold")
        yield _flips_table(flips)
    for pair in pairs:
        yield from (Text(line) for line in _wrapped(console, printable(pair_sentence(pair, result["level"]))))
        cause = pair["cause"]
        style = "green" if cause["proof"] else ""
        yield from (Text(f"  {line}", style) for line in _wrapped(console, printable(_cause(cause)), indent=2))
    yield Text("")


def _pairing(pairs: Sequence[Record]) -> str:
    """Name the rows that were paired."""
    kinds = {(pair["pairing"]["by"], pair["pairing"]["rows"]) for pair in pairs}
    if len(kinds) > 1:
        return "rows paired as each pair allows"
    [(by, rows)] = kinds
    how = "row by row" if by == "order" else "by sample, because the lists differ"
    left = pairs[0]["pairing"]
    out = left["left_out_a"] + left["left_out_b"]
    return f"{number_of(rows, 'row')}, paired {how}" + (f" ({count(out)} left out)" if by == "sample" and out else "")


def _main_table(pairs: Sequence[Record], console: Console) -> Table:
    """Put accuracies, the test, flips and the cause of each pair into one row; the cause last, if there is room."""
    table = _whole_table(pairs, ("max |Δ|", "cause"))
    for left_out in ((), ("cause",), ("max |Δ|", "cause")):
        table = _whole_table(pairs, [name for name in ("max |Δ|", "cause") if name not in left_out])
        if _fits(console, table):
            break
    return table


def _whole_table(pairs: Sequence[Record], more: Sequence[str]) -> Table:
    table = _new_table(
        ["A", "B"], ["acc A", "acc B", "B − A", "p (Holm)", "flips", *(n for n in more if n != "cause")]
    )
    if "cause" in more:
        table.add_column("cause")
    for pair in pairs:
        accuracy, flips = _figure(pair, "accuracy"), pair["flips"][0]["flips"]
        gap = pair["logits"]
        extra = {
            "max |Δ|": Text(NONE if gap is None else f"{gap['largest']:.3g}"),
            "cause": _cause_cell(pair["cause"]),
        }
        table.add_row(
            Text(printable(pair["a"])),
            Text(printable(pair["b"])),
            Text(_share(accuracy["a"])),
            Text(_share(accuracy["b"])),
            _difference(accuracy),
            Text(p_text(pair["mcnemar"]["p_holm"])),
            Text.assemble(count(flips), ("\n" + percent(flips / pair["pairing"]["rows"]), "dim")),
            *(extra[name] for name in more),
        )
    return table


def _difference_table(pairs: Sequence[Record], console: Console) -> Table:
    """Show the differences of all figures, if need be without some."""
    names = [name for name in HEADINGS if any(_figure(pair, name)["difference"] for pair in pairs)]
    table = _figures_table(pairs, names)
    for left_out in OPTIONAL:
        if _fits(console, table):
            break
        names = [name for name in names if name != left_out]
        table = _figures_table(pairs, names)
    return table


def _figures_table(pairs: Sequence[Record], names: Sequence[str]) -> Table:
    table = _new_table(["A", "B"], [HEADINGS[name] for name in names])
    for pair in pairs:
        cells = (_difference(_figure(pair, name)) for name in names)
        table.add_row(Text(printable(pair["a"])), Text(printable(pair["b"])), *cells)
    return table


def _flips_table(pairs: Sequence[Record]) -> Table:
    rows = (
        {
            "A": pair["a"],
            "B": pair["b"],
            "group": group["name"],
            "rows": count(group["rows"]),
            "flips": count(group["flips"]),
            "A right": count(group["to_wrong"]),
            "B right": count(group["to_right"]),
            "margin A": _margin(group["margin_a"]),
            "margin B": _margin(group["margin_b"]),
        }
        for pair in pairs
        for group in pair["flips"]
    )
    return new_table(rows, ["rows", "flips", "A right", "B right", "margin A", "margin B"])


def _new_table(names: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _fits(console: Console, table: Table) -> bool:
    return console.measure(table, options=console.options.update(width=UNBOUNDED)).maximum <= console.width


def _figure(pair: Record, name: str) -> Record:
    figure: Record = next(figure for figure in pair["figures"] if figure["name"] == name)
    return figure


def _difference(figure: Record) -> Text:
    """Show B − A with its interval below, and a mark if that excludes 0."""
    difference, name = figure["difference"], figure["name"]
    if difference is None:
        return Text(NONE)
    low, high = difference["low"], difference["high"]
    apart = not low <= 0 <= high
    better = (low > 0) != (name in LOWER_IS_BETTER)
    style = ("bold green" if better else "bold red") if apart else ""
    ends = "…".join(_number(end, name) for end in (low, high))
    return Text.assemble(
        (f"{_number(difference['value'], name, '+')}{DIFFERENT if apart else ' '}", style), (f"\n{ends} ", "dim")
    )


def _number(value: float, name: str, sign: str = "") -> str:
    """Write a difference: accuracies in % points, the others as they are."""
    text = f"{in_percent(value):{sign}.2f}" if name.endswith("accuracy") else f"{round(value, 8):{sign}.4f}"
    return text.lstrip("+-") if float(text) == 0 else text


def _share(share: float | None) -> str:
    return percent(share).removesuffix(" %")


def _margin(margin: float | None) -> str:
    return NONE if margin is None else f"{margin:.3g}"


def _cause_cell(cause: Record) -> Text:
    kind: str = cause["kind"]
    value = f" {cause['value']}" if kind == "temperature" and cause["value"] else ""
    return Text(f"{CAUSES.get(kind, kind)}{value}")


def _cause(cause: Record) -> str:
    """Tell the cause, or what was tried."""
    if cause["kind"] == "unknown" and cause["excluded"]:
        return f"{cause['sentence']} Excluded: {' '.join(cause['excluded'])}"
    return f"Cause: {cause['sentence']}"


def _explanation(result: Record) -> str:
    """Explain the figures, and what they do not say."""
    level = f"{result['level'] * 100:g} %"
    sentences = (
        f"Below each difference its {level} interval: {result['resamples']:,} resamples of the paired rows (seed",
        f"{result['seed']}), drawn by class. {DIFFERENT}: it excludes 0. p: exact two-sided McNemar test of the",
        "distinct samples that one alone has right, adjusted by Holm for the pairs of the split: how often chance",
        "alone would give so uneven a count if both were equally often right, not the probability that they are.",
        "Rows are resampled, not trainings: another seed of the same recipe may differ more. Who looks at many",
        "pairs, splits and figures and names the best finds a difference that is smaller next time. Margin: largest",
        "minus second largest logit, the median over the flips; max |Δ|: largest difference of two logits.",
    )
    return " ".join(sentences)


def _wrapped(console: Console, text: str, indent: int = 0) -> list[str]:
    return textwrap.wrap(text, min(console.width, TEXT_WIDTH) - indent)
