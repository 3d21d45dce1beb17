"""What the commands for gatings, rejectors and evaluations share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, TypedDict

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from relogit.cli.options import time_option
from relogit.cli.session import Session
from relogit.client import Client
from relogit.combination import Combination
from relogit.job import Job
from relogit.render.combinations import gating_lines, rejector_lines, warning_lines
from relogit.render.evaluation import evaluation_table
from relogit.render.jobs import failure_lines, job_title
from relogit.render.tables import Record, coloured, number_of

HANDLES: dict[str, Callable[[Client, str], Combination]] = {
    "gating": Client.get_gating,
    "rejector": Client.get_rejector,
    "evaluation": Client.get_evaluation,
}

NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Return as soon as the job is queued")]
CoveragesOption = Annotated[
    list[float] | None,
    typer.Option(
        "--coverages", metavar="C...", help="Shares of rows to accept, a rule for each [default: 0.2 0.25 … 1]"
    ),
]
MinGroupCoverageOption = Annotated[
    float | None,
    typer.Option(
        "--min-group-coverage",
        metavar="SHARE",
        help="Only rules that accept each group at least at SHARE of the coverage [default: 0]",
    ),
]
NameOption = Annotated[str | None, typer.Option("--name", help="Name of the result [default: by what it is]")]
OverlapOption = Annotated[
    bool | None,
    typer.Option("--allow-overlap", help="Only warn where samples are used for two purposes"),
]


class EndOptions(TypedDict, total=False):
    """Options of every combination, named like the API's fields."""

    name: NameOption
    deadline_s: Annotated[
        float | None, time_option("--deadline", "Stop the job, as failed, unless it ends within 30min, 2h, 1d")
    ]


def combination_of(run: Session, job: Job) -> Combination | None:
    """Get a job's handle with its result; None for jobs of other kinds."""
    handle = HANDLES.get(job.job_kind)
    return None if handle is None else handle(run.client, job.id)


def end_of(run: Session, work: Combination, *, wait: bool) -> None:
    """Watch a new combination and show its result, or only tell how to watch it.

    Exits with 1 unless it succeeded.
    """
    if wait:
        show_end(run, work)
    else:
        run.show(work.data, lambda: [f"{work.kind} {work.id} is queued. To watch it: {run.command('wait', work.id)}"])


def show_end(run: Session, work: Combination) -> None:
    """Watch a combination and show its result.

    Exits with 1 unless it succeeded.
    """
    run.follow(work)
    run.show(work.data, lambda: result_lines(work.data, run.out), failed=work.state != "succeeded")


def result_lines(data: Record, console: Console) -> Iterator[RenderableType]:
    """Show what a combination resulted in, and where its files are."""
    yield from failure_lines(data)
    result = data["result"]
    if result is not None:
        if data["kind"] == "gating":
            yield from gating_lines(result)
        elif data["kind"] == "rejector":
            yield from rejector_lines(result)
        else:
            yield from warning_lines(result)
            yield evaluation_table(result["evaluation"], console)
    if data["state"] != "succeeded":
        yield Text.assemble(f"{job_title(data)}: ", coloured(data["state"]), ".")
        return
    yield Text(f"{job_title(data)} succeeded. {files_sentence(data)}", style="green")


def files_sentence(data: Record) -> str:
    """Tell where the files of a succeeded combination are."""
    request = data["request"]
    if data["kind"] == "gating":
        folder = f"outputs/{request['output_dir']}/{request['name']}"
        parameters = f"checkpoints/gating_pretrained/{request['dataset']}/gating_{request['name']}.json"
        return f"Files at the server: {folder}/<split>_{{logits,mixture}}.npz, parameters {parameters}."
    if data["kind"] == "rejector":
        return f"File at the server: {rules_path(request)}."
    files = sorted(data["result"]["files"])
    tables = [f"outputs/{name}" for name in files if not name.endswith("_decisions.npz")]
    decisions = number_of(len(files) - len(tables), "file")
    return f"Files at the server: {', '.join(tables)}, and {decisions} of decisions."


def rules_path(request: Record) -> str:
    """Name the file of a rejector's rules, from the server's folder."""
    name = "argse" if request["name"] == "group-worst" else f"argse_{request['name']}"
    return f"checkpoints/argse/{request['dataset']}/{name}.json"


def full_ids(run: Session, ids: Sequence[str] | None) -> list[str] | None:
    """Complete the starts of ids."""
    return None if not ids else [run.find(job_id).id for job_id in ids]
