"""Views of all experts of a split together, and of experts that differ only in their seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from relogit.render.figures import share
from relogit.render.tables import NONE, Record, in_percent, new_table, printable

ACCURACIES = {
    "accuracy": "plain",
    "balanced_accuracy": "balanced",
    "head_accuracy": "head",
    "tail_accuracy": "tail",
}
ORACLE = {"plain": "overall", "head": "head", "tail": "tail"}
GROUPS = {"overall": "all", "head": "head", "tail": "tail"}


def ensemble_lines(ensembles: Record) -> list[RenderableType]:
    """Show the ensemble of each split that has one."""
    lines: list[RenderableType] = []
    for entry in ensembles["results"]:
        heading = Text(f"All experts / {printable(entry['split'])}", style="bold")
        if entry["state"] == "ready":
            lines += [Text(""), heading, *_ensemble_lines(entry["analysis"])]
        elif entry["state"] != "none":
            reason = entry["error"]["message"] if entry["error"] else "The server has not finished; ask again."
            lines += [Text(""), heading, Text(f"No ensemble: {printable(reason)}", style="yellow")]
    return lines


def seed_lines(seeds: Record) -> list[RenderableType]:
    """Show mean and standard deviation over seeds."""
    summaries = [entry["analysis"] for entry in seeds["results"] if entry["state"] == "ready"]
    if not summaries:
        return []
    rows = [
        {
            "over seeds": summary["name"],
            "split": summary["split"],
            "n": str(len(summary["experts"])),
            **{heading: _spread(summary["figures"].get(name)) for name, heading in ACCURACIES.items()},
        }
        for summary in summaries
    ]
    legend = "Accuracies in %: mean ± sample standard deviation over n seeds of one expert."
    table = new_table(rows, ["n", *ACCURACIES.values()])
    table.columns[0].no_wrap = False
    return [Text(""), table, Text(legend, style="dim")]


def _ensemble_lines(ensemble: Record) -> Iterator[RenderableType]:
    accuracies = {**ensemble["single"], "uniform average": ensemble["uniform"]}
    rows: list[Mapping[str, str | Text]] = [
        {"expert": name, **{heading: share(figures[metric]) for metric, heading in ACCURACIES.items()}}
        for name, figures in accuracies.items()
    ]
    oracle = {heading: share(ensemble["oracle"].get(ORACLE.get(heading, ""))) for heading in ACCURACIES.values()}
    rows.append({"expert": "oracle: any is right", **oracle})
    yield new_table(rows, list(ACCURACIES.values()))
    yield Text("")
    groups = [name for name in GROUPS if name in ensemble["rows"]]
    pairs = [
        {
            "expert": f"{pair['first']}, {pair['second']}",
            **{f"≠ {GROUPS[name]}": share(pair["groups"][name]["disagreement"]) for name in groups},
            **{f"φ {GROUPS[name]}": _number(pair["groups"][name]["error_correlation"]) for name in groups},
        }
        for pair in ensemble["pairs"]
    ]
    yield new_table(pairs, [name for name in pairs[0] if name != "expert"])
    yield Text("≠: different predictions, in %. φ: correlation of errors, 0 if independent.", style="dim")
    for reason in ensemble["reasons"].values():
        yield Text(f"No figures by group: {printable(reason)}", style="dim")
    for check in ensemble["findings"]:
        if check["verdict"] != "passed":
            word, style = ("warning", "yellow") if check["verdict"] == "failed" else ("skipped", "dim")
            yield Text(f"{word}  {check['id']}: {printable(check['message'])}", style=style)


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _spread(figure: Record | None) -> str:
    if figure is None:
        return NONE
    return f"{in_percent(figure['mean']):.2f} ± {in_percent(figure['deviation']):.2f}"
