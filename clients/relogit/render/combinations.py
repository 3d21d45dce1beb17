"""Views of gatings and rejectors: what was fitted, and on which rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.checks import failed_check_lines
from relogit.render.tables import NONE, Record, count, in_percent, new_table, number_of, percent, printable

UNWEIGHTED = "At no coverage did weights of the groups help on these rows: the rules decide as the score msp does."
UNACCEPTED = "Either objective can be met by accepting hardly any row of a group: read error and acceptance together."
OPTIMISTIC = "The rules were fitted on these rows, so errors elsewhere are higher; `relogit evaluate` measures them."
FORMULAS = {
    "uniform": "mean of the experts' probabilities",
    "temperature": "probabilities of one expert at its temperature",
    "linear": "weighted mean of the experts' probabilities, each at its temperature",
    "geometric": "product of the experts' probabilities to their exponents",
    "logit-adjustment": "product of the experts' probabilities, shifted by the train prior",
    "log-linear": "product of the experts' probabilities to their exponents, times the train prior to its own",
    "net": "mean of the experts' probabilities with weights that a network gives each row",
}


def gating_lines(result: Record) -> Iterator[RenderableType]:
    """Show the candidates, the chosen method and why, and its parameters.

    Args:
        result: `result` of a gating.
    """
    yield from warning_lines(result)
    fit, validate = result["fit"], result["validate"]
    rows = f"{_rows(validate)}; fitted on {_rows(fit)}" if fit != validate else _rows(fit)
    yield Text(f"On {rows}{', weighted by the train prior' if result['prior'] == 'train' else ''}:", style="bold")
    yield _candidates_table(result)
    yield Text("Accuracies in %; NLL in nats. Difference: 95 % interval of the NLL minus the lowest.", style="dim")
    yield Text(choice_sentence(result), style="green")
    yield from _parameter_lines(result)
    if result["rules"] is not None:
        yield Text("")
        yield from rule_lines(result["rules"], tuple(result["groups"]))


def rejector_lines(result: Record) -> Iterator[RenderableType]:
    """Show the rule of each coverage, with errors and acceptance by group.

    Args:
        result: `result` of a rejector.
    """
    yield from warning_lines(result)
    effective = round(result["effective_rows"])
    counted = f", which count as {count(effective)}" if effective != result["rows"] else ""
    rows = number_of(result["rows"], "row")
    yield Text(f"Over {result['method']}, on the {rows} of its fit and choice{counted}:", style="bold")
    yield from rule_lines(result["rules"], result["group_names"])


def rule_lines(rules: Record, group_names: Sequence[str]) -> Iterator[RenderableType]:
    """Show the rules of a score, one line for each coverage."""
    name = f"{rules['score']}, objective {rules['objective']}" if rules["score"] == "group" else rules["score"]
    least = rules["min_group_coverage"]
    floor = f"; every group accepted at least {least:g} times the coverage" if least else ""
    yield Text(f"Rules of the score {name}{floor}, in %:")
    yield _rules_table(rules, [printable(group) for group in group_names])
    if rules["score"] == "group" and all(len(set(rule["u"])) == len(set(rule["v"])) == 1 for rule in rules["rules"]):
        yield Text(UNWEIGHTED)
    yield Text(OPTIMISTIC, style="dim")
    if rules["score"] == "group":
        yield Text(UNACCEPTED, style="dim")


def choice_sentence(result: Record) -> str:
    """Tell which method was chosen and why."""
    method, candidates = result["method"], result["candidates"]
    if result["chosen"] == "named":
        return f"{method} is taken, because the request names it."
    if len(candidates) == 1:
        return f"{method} is taken: it is the only candidate."
    if result["chosen"] == "lowest":
        return f"{method} is chosen: it has the lowest NLL, and no simpler method is as good within chance."
    lowest = next((item for item in candidates if item["nll_difference"] is None), None)
    rival = f"the lowest, {lowest['method']}'s {lowest['validate']['nll']:.3f}" if lowest else "the lowest"
    return f"{method} is chosen: the simplest method whose NLL these rows cannot tell from {rival}."


def files_sentence(data: Record) -> str:
    """Tell where the files of a succeeded combination are."""
    request = data["request"]
    if data["kind"] == "gating":
        files, parameters = gating_paths(request)
        return f"Files at the server: {files}, parameters {parameters}."
    if data["kind"] == "rejector":
        return f"File at the server: {rules_path(request)}."
    names = sorted(data["result"]["files"])
    tables = [f"outputs/{name}" for name in names if not name.endswith("_decisions.npz")]
    decisions = len(names) - len(tables)
    more = f", and {number_of(decisions, 'file')} of decisions" if decisions else ""
    return f"Files at the server: {', '.join(tables)}{more}."


def gating_paths(request: Record) -> tuple[str, str]:
    """Name a gating's files of logits and of parameters, from the server's folder."""
    name = request["name"]
    files = f"outputs/{request['output_dir']}/{name}/<split>_{{logits,mixture}}.npz"
    return files, f"checkpoints/gating_pretrained/{request['dataset']}/gating_{name}.json"


def rules_path(request: Record) -> str:
    """Name the file of a rejector's rules, from the server's folder."""
    name = "argse" if request["name"] == "group-worst" else f"argse_{request['name']}"
    return f"checkpoints/argse/{request['dataset']}/{name}.json"


def warning_lines(result: Record) -> list[Text]:
    """Show the failed checks of a combination, rejector or evaluation."""
    return failed_check_lines({"checks": result["checks"], "results": []})


def _rows(part: Record) -> str:
    """Name the rows of a part: `the 1,000 rows of 'val'`."""
    rows, effective = part["list"]["rows"], round(part["effective_rows"])
    counted = f" (count as {count(effective)})" if effective != rows else ""
    return f"the {number_of(rows, 'row')} of '{printable(part['list']['split'])}'{counted}"


def _candidates_table(result: Record) -> Table:
    groups = list(result["groups"])
    rows = (
        {
            "method": Text(item["method"], style="bold green" if item["method"] == result["method"] else ""),
            "NLL": f"{item['validate']['nll']:.3f}",
            "difference": _difference(item["nll_difference"]),
            "acc": _share(item["validate"]["accuracy"]),
            "bal": _share(item["validate"]["balanced_accuracy"]),
            **{printable(name): _share(item["validate"]["group_accuracy"].get(name)) for name in groups},
            "": Text("chosen", style="bold green") if item["method"] == result["method"] else "",
        }
        for item in result["candidates"]
    )
    return new_table(rows, ["NLL", "difference", "acc", "bal", *map(printable, groups)])


def _difference(interval: Sequence[float] | None) -> str:
    return NONE if interval is None else "…".join(f"{end:.3f}" for end in interval)


def _share(share: float | None) -> str:
    return percent(share).removesuffix(" %")


def _parameter_lines(result: Record) -> Iterator[RenderableType]:
    chosen = next(item for item in result["candidates"] if item["method"] == result["method"])
    parameters = chosen["parameters"]
    names = {"weights": "weight", "temperatures": "temperature", "exponents": "exponent"}
    columns = {heading: parameters[name] for name, heading in names.items() if name in parameters}
    yield Text(f"{result['method']}: {FORMULAS.get(result['method'], 'a combination')}.", style="dim")
    yield new_table(
        (
            {"expert": expert, **{heading: f"{values[place]:.4f}" for heading, values in columns.items()}}
            for place, expert in enumerate(result["experts"])
        ),
        list(columns),
    )
    if "prior_exponent" in parameters:
        b = parameters["prior_exponent"]
        favours = ", which favours rare classes" if b < 0 else ""
        yield Text(f"Exponent of the train prior: {b:.4f}{favours}.")
    if "tensors" in parameters:
        epoch = parameters["best_epoch"]
        yield Text("Weights of an imported network." if epoch is None else f"Weights of the network's epoch {epoch}.")


def _rules_table(rules: Record, group_names: Sequence[str]) -> Table:
    """Show errors and acceptance by group, under a heading each."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    fitted = [rule for rule in rules["rules"] if rule["group_errors"]]
    optimised = rules["score"] == "group"
    headings = ["coverage", "met", *([f"{rules['objective']} error"] if optimised else [])]
    if fitted:
        headings += [f"error {name}" for name in group_names] + [f"accepted {name}" for name in group_names]
    for heading in headings:
        table.add_column(heading, justify="right")
    for rule in rules["rules"]:
        shares = [rule["coverage"], rule["fitted_coverage"]]
        shares += [rule["objective"]] if optimised else []
        shares += [*rule["group_errors"], *rule["group_acceptance"]]
        table.add_row(*(NONE if share is None else f"{in_percent(share):.1f}" for share in shares))
    return table
