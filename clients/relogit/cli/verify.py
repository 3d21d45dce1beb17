"""`relogit verify`: files of logits, or a job's own results, and whether they may be trusted."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from relogit.cli.argv import floors_of, own_folder
from relogit.cli.options import (
    DatasetOption,
    ExpertsDirOption,
    FloorOption,
    HeadThresholdOption,
    JsonOption,
    PrefixOption,
    RecomputeRowsOption,
    ServerOption,
    SplitsDirOption,
)
from relogit.cli.session import ExitCode, Session, session
from relogit.render import analysis as render_analysis
from relogit.render import checks as render_checks
from relogit.render import tables as render
from relogit.render.progress import upload_bar
from relogit.render.tables import Record
from relogit.verification import Verification, VerifyRequest
from relogit.work import Part, Work

DEFAULT = Path("outputs", "logits_fixed")
JOB_ID = re.compile(r"[0-9a-f]+")
ANALYSIS_S = 60.0  # seconds that each part of the analysis may take before the rest is shown without it
OTHERS_SHOWN = 5


# typer reads a command's options from the parameters of its function; hence there are so many.
def verify(
    ctx: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(metavar="PATH|ID", help="Folder or file here, or a job's id [default: outputs/logits_fixed]"),
    ] = None,
    dataset: DatasetOption = None,
    splits_dir: SplitsDirOption = None,
    expert: Annotated[
        str | None, typer.Option("--expert", help="Of a single file [default: its folder's name]")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Of a single file [default: what stands before _logits]")
    ] = None,
    floor: FloorOption = None,
    head_threshold: HeadThresholdOption = None,
    recompute: RecomputeRowsOption = None,
    checkpoint_prefix: PrefixOption = None,
    experts_dir: ExpertsDirOption = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also all figures with 95 % intervals; curves with --json")
    ] = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify files of logits, whoever made them, or show what was checked in a job's results.

    A path that exists is verified: a file, or every <expert>/<split>_logits.npz or .pt in a folder. What does not
    lie in the server's outputs is uploaded. A word of hex digits that is no path is a job's id or how it begins,
    and shows that job's own verification.

    With --recompute N the server computes N rows of each result anew: with the checkpoint that the manifest beside
    the file names, else with the expert's under the prefix. Only that shows rows which moved within a class.

    Exits with 0 if everything passed, else with 1.
    """
    request = VerifyRequest(
        dataset=dataset,
        splits_dir=own_folder(splits_dir, "data"),
        expert=expert,
        split=split,
        head_threshold=head_threshold,
        floors=floors_of(floor),
        recompute=recompute,
        checkpoint_prefix=checkpoint_prefix,
        experts_dir=own_folder(experts_dir, "checkpoints"),
    )
    path = DEFAULT if what is None else Path(what)
    if _is_there(path):
        with session(ctx.obj, server, as_json) as run:
            _verify_files(run, path, request, full=full)
        return
    if what is None or not JOB_ID.fullmatch(what):
        raise typer.BadParameter(_nothing_there(what))
    if any(value is not None for value in request.values()):
        raise typer.BadParameter(f"There is no file or folder {what!r}, and a job's id takes only --full.")
    with session(ctx.obj, server, as_json) as run:
        job = run.find(what)
        if job.verifies_files:
            show_files(run, run.client.verification(job.id), full=full)
            return
        found = job.verification()
        _show(run, job, found, render_checks.verification_verdict(found), full=full)


def show_files(run: Session, found: Verification, *, full: bool = False) -> None:
    """Show what a verification of files found.

    Raises:
        typer.Exit: 1 unless it was carried out and passed.
    """
    _warn_of_others(run, found)
    document = {**found.data, "request": {**found.data["request"], "others": list(found.others)}}
    _show(run, found, document, render_checks.files_verdict(document), full=full)


def _verify_files(run: Session, path: Path, request: VerifyRequest, *, full: bool) -> None:
    health = run.client.ready()
    try:
        with nullcontext() if run.json else upload_bar(run.out) as progress:
            found = run.client.verify(path, progress=progress, **request)
    except KeyboardInterrupt:
        run.err.print("Stopped. Nothing is verified, and what was uploaded is deleted.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    run.warn_unless_ready(health)
    if not run.json:
        asked = found.data["request"]
        how = "in place" if asked["upload"] is None else "uploaded"
        rows = asked.get("recompute")  # servers of older versions have none
        anew = f" Of each, {render.number_of(rows, 'row')} are computed anew." if rows else ""
        run.out.print(f"Verifying {render.number_of(len(asked['files']), 'file')} of {path}, {how}.{anew}")
    run.follow(found)
    show_files(run, found, full=full)


def _show(run: Session, work: Work, document: Record, verdict: Text, *, full: bool) -> None:
    """What failed first, then all figures, then the verdict.

    Raises:
        typer.Exit: 1 unless it passed.
    """
    statistics = _ask(run, work, "statistics") if full and document["results"] else None
    wanted = document["results"] if full else not run.json and render_checks.misfits(document)
    causes = _ask(run, work, "causes") if wanted else None
    if full:
        document = {**document, "results": _with_analysis(document, statistics, causes)}
    run.show(
        document,
        lambda: [
            *render.failure_lines(work.data),
            *(render_checks.result_error_lines(document) if isinstance(work, Verification) else []),
            *render_checks.failed_check_lines(
                document, render_analysis.cause_lines(document, causes) if causes else []
            ),
            *render_checks.other_check_lines(document),
            *([render_checks.results(document)] if document["results"] else []),
            *render_checks.reason_lines(document),
            *(render_analysis.statistics(document, statistics) if statistics else []),
            verdict,
            *render_checks.provenance_lines(document),
        ],
    )
    if document["verdict"] != "passed":
        raise typer.Exit(ExitCode.FAILED)


def _ask(run: Session, work: Work, part: Part) -> Record:
    said = "Computing intervals and curves" if part == "statistics" else "Looking for the cause"
    with run.out.status(said) if run.out.is_interactive and not run.json else nullcontext():
        return work.analysis(part, timeout=ANALYSIS_S)


def _with_analysis(document: Record, statistics: Record | None, causes: Record | None) -> list[Record]:
    """The results with an `analysis` each: a part of it is None where there is none, with the reason."""
    results: list[Record] = []
    for result in document["results"]:
        analysis: dict[str, Any] = {"reasons": {}}
        for part, answered in (("statistics", statistics), ("causes", causes)):
            found = [one for one in (answered or {"results": []})["results"] if _same(one, result)]
            entry = found[0] if found else {"state": "none"}
            reason = render_analysis.missing(entry)
            analysis[part] = entry["analysis"] if reason is None else None
            if reason is not None:
                analysis["reasons"][part] = reason
        results.append({**result, "analysis": analysis})
    return results


def _same(one: Record, other: Record) -> bool:
    return (one["expert"], one["split"]) == (other["expert"], other["split"])


def _warn_of_others(run: Session, found: Verification) -> None:
    if found.others and not run.json:
        more = f" and {len(found.others) - OTHERS_SHOWN} more" if len(found.others) > OTHERS_SHOWN else ""
        said = "Not verified, for they are not named <expert>/<split>_logits.npz or .pt in plain letters: "
        run.err.print(f"{said}{', '.join(found.others[:OTHERS_SHOWN])}{more}.", style="yellow")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # below a folder that may not be entered: what is wrong is told when it is read
        return True


def _nothing_there(given: str | None) -> str:
    if given is None:
        return (
            f"There is no folder {str(DEFAULT)!r} here. Name a folder or a file of logits: relogit verify PATH. "
            "`relogit verify ID` shows a job's checks, and `relogit jobs` lists the ids."
        )
    return (
        f"There is no file or folder {given!r}, and it is no job's id either, which has hex digits only; "
        "`relogit jobs` lists the ids."
    )
