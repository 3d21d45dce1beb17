"""View of the plan of a gating, rejector or evaluation: its request with all defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from relogit.render.combinations import gating_paths, rules_path
from relogit.render.jobs import TITLES
from relogit.render.tables import ID_SHOWN, Record, number_of, printable

CHOSEN = "the best of uniform, linear, log-linear and net"


def combine_plan_lines(kind: str, plan: Record, names: Mapping[str, str]) -> Iterator[RenderableType]:
    """Show what a request would do; nothing where it has problems.

    Args:
        kind: `gating`, `rejector` or `evaluation`.
        plan: its JSON.
        names: of the gatings and rejectors that the request names, by id.
    """
    request = plan["request"]
    if request is None:
        return
    facts = {"gating": _gating, "rejector": _rejector, "evaluation": _evaluation}[kind](request, names)
    yield _facts_table({"data set": request["dataset"], **facts})
    if plan["kept"] is None:
        yield Text(f"Nothing is wrong with this {kind}; without --plan it is queued.", style="green")
        return
    yield Text(
        f"{TITLES[kind]} {plan['kept']} has this result already.\n"
        f"`relogit status {plan['kept'][:ID_SHOWN]}` shows it; without --plan it is made again.",
        style="green",
    )


def _facts_table(facts: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, Text("\n".join(map(printable, value.split("\n")))))
    return table


def _gating(request: Record, names: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG001 — as the other kinds
    rows = {item["split"]: number_of(item["rows"], "row") for item in request["lists"]}
    net = request["net"]
    files, parameters = gating_paths(request)
    threshold = number_of(request["head_threshold"], "train sample")
    head = f"; head: more than {threshold}" if request["groups"] == "head-tail" else ""
    facts = {
        "logits": f"of job {request['logits']['job']}",
        "experts": ", ".join(request["experts"]),
        "fit on": f"{request['fit']}, {rows[request['fit']]}",
        "choose by": f"{request['validate']}, {rows[request['validate']]}",
        "method": request["method"] or CHOSEN,
        "prior": request["prior"],
        "groups": f"{request['groups']}{head}",
    }
    if request["net_file"] is not None:
        facts["network"] = f"{request['net_file']} as it is"
    elif request["method"] in (None, "net"):
        epochs = number_of(net["epochs"], "epoch")
        facts["network"] = (
            f"{epochs}, learning rate {net['lr']:g}, batch size {net['batch_size']}, seed {net['seed']}"
        )
    if request["divided_by"]:
        divisors = (f"{name} by {value:g}" for name, value in request["divided_by"].items())
        facts["divided"] = ", ".join(divisors)
    if request["mode"] == "selective":
        facts["rules"] = f"group, objective balanced, {_coverages(request)}"
    return {**facts, "files": files, "parameters": parameters}


def _rejector(request: Record, names: Mapping[str, str]) -> dict[str, str]:
    objective = f", objective {request['objective']}" if request["score"] == "group" else ""
    return {
        "gating": _named([request["gating"]], names),
        "score": f"{request['score']}{objective}",
        "rules": _coverages(request),
        "file": rules_path(request),
    }


def _evaluation(request: Record, names: Mapping[str, str]) -> dict[str, str]:
    return {
        "test": request["test"],
        "gatings": _named(request["gatings"], names),
        "rejectors": _named(request["rejectors"], names) or "none",
        "files": f"outputs/{request['output_dir']}/{request['name']}/",
    }


def _named(ids: Sequence[str], names: Mapping[str, str]) -> str:
    return "\n".join(f"{names[job_id]}, job {job_id}" for job_id in ids)


def _coverages(request: Record) -> str:
    coverages, least = request["coverages"], request["min_group_coverage"]
    shares = f"{coverages[0]:g}" if len(coverages) == 1 else f"{coverages[0]:g} to {coverages[-1]:g}"
    floor = f", every group accepted at least {least:g} times the coverage" if least else ""
    return f"for {number_of(len(coverages), 'coverage')}, {shares}{floor}"
