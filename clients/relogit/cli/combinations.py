"""What the commands for gatings, rejectors and evaluations share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal, TypedDict

import typer
from rich.console import RenderableType
from rich.text import Text

from relogit.cli.options import time_option
from relogit.cli.session import PREFIX_SEARCH, Session
from relogit.client import Client
from relogit.combination import Combination
from relogit.errors import Missing
from relogit.job import Job
from relogit.render.combinations import files_sentence, gating_lines, rejector_lines, rules_path, warning_lines
from relogit.render.evaluation import evaluation_table
from relogit.render.jobs import failure_lines, job_title
from relogit.render.tables import ID_SHOWN, Record, coloured, printable

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
    run.show(work.data, lambda: result_lines(run, work.data), failed=work.state != "succeeded")


def result_lines(run: Session, data: Record) -> Iterator[RenderableType]:
    """Show what a combination resulted in, and where its files and its report are."""
    yield from failure_lines(data)
    result = data["result"]
    if result is not None:
        if data["kind"] == "gating":
            yield from gating_lines(result)
        elif data["kind"] == "rejector":
            yield from rejector_lines(result)
        else:
            yield from warning_lines(result)
            yield evaluation_table(result["evaluation"], run.out)
    if data["state"] != "succeeded":
        yield Text.assemble(f"{job_title(data)}: ", coloured(data["state"]), ".")
        return
    yield Text(f"{job_title(data)} succeeded. {files_sentence(data)}", style="green")
    if report := run.address(data["links"].get("report")):
        yield Text(f"Report: {report}", style="green")


def newest_of(run: Session, kind: Literal["recompute", "gating"], dataset: str) -> str:
    """Return the id of the newest job of a data set that succeeded.

    Raises:
        Missing: there is none.
    """
    for job in run.client.jobs(kind=kind, state="succeeded", limit=PREFIX_SEARCH):
        if job.data["request"]["dataset"] == dataset:
            return job.id
    command = run.command(kind, "--dataset", dataset)
    raise Missing(f"No {kind} job of the data set {dataset!r} has succeeded; `{command}` starts one.")


def checked_ids(run: Session, ids: Sequence[str], dataset: str | None) -> list[str]:
    """Complete the starts of ids.

    Wrong usage where a job is of another data set than the one named.
    """
    jobs = [run.find(job_id) for job_id in ids]
    for job in jobs:
        own = job.data["request"].get("dataset")
        if dataset not in (None, own):
            raise typer.BadParameter(f"{job_title(job.data)} is of the data set {own!r}.", param_hint="--dataset")
    return [job.id for job in jobs]


def tell_newest(run: Session, gating_id: str) -> None:
    """Name the gating that was taken because the command named none."""
    if not run.json:
        request = run.client.job(gating_id).data["request"]
        name, dataset = printable(request["name"]), printable(request["dataset"])
        run.out.print(f"Over the newest gating: {name!r} of the data set {dataset!r}, job {gating_id[:ID_SHOWN]}.")


def without_logits(run: Session, job: Job) -> str | None:
    """Explain why a job has no logits of its own, and where its result is; None if it has some."""
    request, command = job.data["request"], run.command("status", job.id[:ID_SHOWN])
    if job.job_kind == "rejector" and job.state != "succeeded":
        return f"Rejector {job.id} is {job.state} and has no rules; `{command}` says why."
    if job.job_kind == "rejector":
        path = rules_path(request)
        return f"Rejector {job.id} has no logits. Its rules are in {path} at the server; `{command}` shows them."
    if job.job_kind == "evaluation":
        result = run.client.get_evaluation(job.id).result
        files = ", ".join(sorted(result["files"])) if result else "there once it has succeeded"
        where = f"Its files in the server's outputs folder: {files}"
        return f"Evaluation {job.id} has no logits. {where}; `{command}` shows its figures."
    if job.job_kind == "comparison":
        where = f"{request['output_dir']}/{request['name']}/ in the server's outputs folder"
        return f"Comparison {job.id} has no logits. Its files are in {where}; `{command}` shows its figures."
    if job.job_kind == "splits":
        return f"Job {job.id} created the splits {request['name']!r}; it has no logits."
    return None
