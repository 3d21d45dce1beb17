"""`relogit compare`: what differs between two experts, jobs, folders or files of logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, TypedDict, Unpack

import typer
from rich.console import RenderableType
from rich.text import Text

from relogit.cli.combinations import NameOption, NoWaitOption
from relogit.cli.command import command
from relogit.cli.options import DatasetOption, folder_option, time_option
from relogit.cli.plans import PlanOption, show_plan
from relogit.cli.report import print_tables
from relogit.cli.session import Session
from relogit.cli.verify import JOB_ID, exists, show_verification, submit_verification
from relogit.comparison import Comparison, ComparisonRequest
from relogit.render.checks import files_verdict
from relogit.render.comparison import comparison_lines
from relogit.render.comparison_plan import comparison_plan_lines
from relogit.render.jobs import failure_lines, job_title
from relogit.render.tables import Record, coloured
from relogit.verification import VerifyRequest

LATEST = "latest"

SideArgument = typer.Argument(
    metavar="A",
    help="A job's id or its start, `latest`, or a folder or file of logits, which is verified first; with `:EXPERT` "
    "one expert of it",
)


class CompareOptions(TypedDict, total=False):
    """The options of a comparison, named like the fields of `ComparisonRequest`."""

    splits: Annotated[
        list[str] | None,
        typer.Option("--splits", metavar="SPLIT...", help="Splits to compare on [default: all that both have]"),
    ]
    name: NameOption
    output_dir: Annotated[str | None, folder_option("--output-dir", "outputs")]
    deadline_s: Annotated[
        float | None, time_option("--deadline", "Stop the job, as failed, unless it ends within 30min, 2h, 1d")
    ]


@dataclass(frozen=True)
class Side:
    """One side of the command line."""

    place: str
    """Id of a job or its start, `latest`, or a path."""
    expert: str | None

    @property
    def is_path(self) -> bool:
        """Whether it is a folder or file here."""
        return exists(Path(self.place))


@command
def compare(
    run: Session,
    a: Annotated[str, SideArgument] = LATEST,
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="The same [default: every pair of the experts of A]")
    ] = None,
    *,
    dataset: DatasetOption = None,
    format_: Annotated[
        Literal["text", "latex", "markdown"],
        typer.Option("--format", help="latex, markdown: only the table of differences, for a paper"),
    ] = "text",
    plan: PlanOption = False,
    no_wait: NoWaitOption = False,
    **options: Unpack[CompareOptions],
) -> None:
    """Compare logits of the same samples, pair by pair.

    Of one job, all pairs of its experts; of two jobs or folders, experts of equal names, or the only ones. Each
    difference is B − A with a 95 % interval, beside the exact McNemar test, the rows whose predicted class differs,
    and the cause, where it can be told.

    A folder or file is verified first, against the data set and the lists of the other side's job, or of --dataset.
    If it fails, it is compared nevertheless where it holds finite logits of the right shape, and the result repeats
    what is wrong with it.
    """
    sides = [_side(text) for text in (a, b) if text is not None]
    if plan and any(side.is_path for side in sides):
        raise typer.BadParameter("A plan verifies nothing. Verify the files first, and give that job's id.")
    if len(sides) == 2 and all(side.is_path for side in sides) and dataset is None:
        run.err.print("Without --dataset the files are taken to be of the server's default data set.", style="yellow")
    talk = run if format_ == "text" else replace(run, out=run.err)  # a table for a paper stands alone
    ids = _resolved(talk, sides, dataset, options.get("splits"))
    request = ComparisonRequest(**options)
    if plan:
        found = run.client.plan_comparison(*ids, **request)
        show_plan(run, found, lambda: comparison_plan_lines(found), subject="comparison")
        return
    health = run.client.ready()
    work = run.client.compare(*ids, **request)
    run.warn_unless_ready(health)
    if no_wait:
        run.show(work.data, lambda: [f"Comparison {work.id} is queued. To watch it: {run.command('wait', work.id)}"])
    else:
        show_comparison_end(run, work, format_)


def show_comparison_end(run: Session, work: Comparison, form: Literal["text", "latex", "markdown"] = "text") -> None:
    """Watch a comparison and show its result.

    Exits with 1 unless it succeeded.
    """
    (run if form == "text" else replace(run, out=run.err)).follow(work)
    if form != "text" and work.result is not None:
        print_tables(run, work.id, form)
        return
    run.show(work.data, lambda: comparison_result_lines(run, work.data), failed=work.state != "succeeded")


def comparison_result_lines(run: Session, data: Record) -> Iterator[RenderableType]:
    """Show what a comparison resulted in, and where its files and its report are."""
    yield from failure_lines(data)
    if data["result"] is not None:
        yield from comparison_lines(data, run.out)
    if data["state"] != "succeeded":
        yield Text.assemble(f"{job_title(data)}: ", coloured(data["state"]), ".")
        return
    folder = f"{data['request']['output_dir']}/{data['request']['name']}"
    yield Text(f"{job_title(data)} succeeded. Files at the server: {folder}/.", style="green")
    if report := run.address(data["links"].get("report")):
        yield Text(f"Report: {report}", style="green")


def _side(text: str) -> Side:
    """Read a side; a path that exists as it stands names no expert."""
    place, colon, expert = text.rpartition(":")
    if not colon or exists(Path(text)):
        return Side(text, None)
    if not place or not expert:
        raise typer.BadParameter(f"{text!r} is neither JOB, JOB:EXPERT, a folder nor a file.")
    return Side(place, expert)


def _resolved(run: Session, sides: list[Side], dataset: str | None, splits: list[str] | None) -> list[str]:
    """Return `JOB` or `JOB:EXPERT` for each side; files are verified, after the jobs are known."""
    found: dict[int, str] = {}
    request = VerifyRequest(dataset=dataset)
    for number, side in enumerate(sides):
        if not side.is_path:
            job = _job(run, side, dataset)
            found[number] = job["id"]
            asked = job["request"]
            if dataset in (None, asked.get("dataset")):
                request = VerifyRequest(dataset=asked.get("dataset"), splits_dir=asked.get("splits_dir"))
    for number, side in enumerate(sides):
        if side.is_path:
            others = [other.expert for other in sides if other is not side]
            found[number] = _verified(run, side, request, next(iter(others), None), splits)
    return [f"{found[n]}:{side.expert}" if side.expert else found[n] for n, side in enumerate(sides)]


def _job(run: Session, side: Side, dataset: str | None) -> Record:
    """Find the job of a side."""
    if side.place != LATEST and not JOB_ID.fullmatch(side.place):
        raise typer.BadParameter(
            f"There is no folder or file {side.place!r} here, and it is not a job's id, which has hex digits only; "
            "`relogit jobs` lists the ids."
        )
    job = run.find(None if side.place == LATEST else side.place)
    own = job.data["request"].get("dataset")
    if dataset not in (None, own):
        raise typer.BadParameter(f"{job_title(job.data)} is of the data set {own!r}.", param_hint="--dataset")
    return job.data


def _verified(run: Session, side: Side, request: VerifyRequest, other: str | None, splits: list[str] | None) -> str:
    """Verify a folder or file; return the verification's id.

    A single file is of the expert that its side or the other one names, and of the only split of `--splits`. Exits
    with 1 if the verification could not be carried out.
    """
    path = Path(side.place)
    if path.is_file():
        expert, split = side.expert or other, splits[0] if splits and len(splits) == 1 else None
        request = VerifyRequest(**{**request, "expert": expert, "split": split})
    verification = submit_verification(run, path, request)
    run.follow(verification)
    if verification.state != "succeeded":
        show_verification(run, verification)
    if not run.json:
        run.out.print(files_verdict(verification.data))
    return verification.id
