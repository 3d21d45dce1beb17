"""`relogit verify`: verify files of logits, or show a job's checks."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Unpack

import typer
from rich.text import Text

from relogit.cli.argv import floors_of
from relogit.cli.combinations import without_logits
from relogit.cli.command import command
from relogit.cli.options import CommonOptions, FloorOption
from relogit.cli.session import ExitCode, Session
from relogit.errors import Problem
from relogit.job import Job
from relogit.render.analysis import cause_lines, entry_of, missing_reason, statistics_lines
from relogit.render.checks import (
    chance_results,
    failed_check_lines,
    files_verdict,
    other_check_lines,
    provenance_lines,
    reason_lines,
    result_error_lines,
    results_table,
    verification_verdict,
)
from relogit.render.ensembles import ensemble_lines, seed_lines
from relogit.render.jobs import failure_lines
from relogit.render.progress import upload_bar
from relogit.render.tables import ID_SHOWN, Record, number_of
from relogit.verification import Verification, VerifyRequest
from relogit.work import Part, Work

DEFAULT = Path("outputs", "logits_fixed")
JOB_ID = re.compile(r"[0-9a-f]+")
NEWER_PARTS: tuple[Part, ...] = ("ensemble", "seeds")
UNPROCESSABLE = 422
ANALYSIS_S = 60.0  # seconds to wait for each part of the analysis; the rest is shown without it
OTHERS_SHOWN = 5


class VerifyOptions(CommonOptions, total=False):
    """The options of a verification, named like the fields of `VerifyRequest`."""

    expert: Annotated[
        str | None, typer.Option("--expert", help="Expert of a single file [default: the name of its folder]")
    ]
    split: Annotated[
        str | None, typer.Option("--split", help="Split of a single file [default: its name up to _logits]")
    ]
    recompute: Annotated[
        int | None,
        typer.Option(
            "--recompute",
            metavar="N",
            min=0,
            help="Recompute N rows of each result with its checkpoint, and compare them with the file [default: 0]",
        ),
    ]


@command
def verify(
    run: Session,
    target: Annotated[
        str | None,
        typer.Argument(metavar="PATH|ID", help="Folder or file here, or a job's id [default: outputs/logits_fixed]"),
    ] = None,
    *,
    floor: FloorOption = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Also all figures with 95 % intervals, by group, of ensembles and over seeds; curves with --json",
        ),
    ] = False,
    **options: Unpack[VerifyOptions],
) -> None:
    """Verify files of logits, or show the checks of a job.

    Any tool may have written the files.

    A path that exists is verified: a file, or every <expert>/<split>_logits.npz or .pt in a folder. Files outside
    the server's outputs are uploaded. A word of hex digits that is no path is the id of a job, or its start, and
    shows that job's own verification.

    With --recompute N the server recomputes N rows of each result, with the checkpoint that the manifest beside the
    file names, else with the expert's under the prefix. No other check detects rows that moved within a class.

    Exits with 0 if everything passed, else with 1.
    """
    request = VerifyRequest(floors=floors_of(floor), **options)
    path = DEFAULT if target is None else Path(target)
    if exists(path):
        verification = submit_verification(run, path, request)
        run.follow(verification)
        show_verification(run, verification, full=full)
    else:
        _show_job(run, _job_id(target, request), full=full)


def show_verification(run: Session, verification: Verification, *, full: bool = False) -> None:
    """Show the outcome of a verification of files.

    Exits with 1 unless it passed.
    """
    if verification.others and not run.json:
        names = ", ".join(verification.others[:OTHERS_SHOWN])
        hidden = len(verification.others) - OTHERS_SHOWN
        more = f" and {hidden} more" if hidden > 0 else ""
        rule = "their names are not <expert>/<split>_logits.npz or .pt in printable characters"
        run.err.print(f"Not verified, because {rule}: {names}{more}.", style="yellow")
    request = {**verification.data["request"], "others": list(verification.others)}
    document = {**verification.data, "request": request}
    _show(run, verification, document, files_verdict(document), full=full)


def submit_verification(run: Session, path: Path, request: VerifyRequest) -> Verification:
    """Queue a verification of files, and upload them if need be.

    Ctrl-C meanwhile ends the command with 130.
    """
    health = run.client.ready()
    try:
        with nullcontext() if run.json else upload_bar(run.out) as progress:
            verification = run.client.verify(path, progress=progress, **request)
    except KeyboardInterrupt:
        run.err.print("Stopped. Nothing is verified, and what was uploaded is deleted.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    run.warn_unless_ready(health)
    if not run.json:
        accepted = verification.data["request"]
        how = "in place" if accepted["upload"] is None else "uploaded"
        rows = accepted.get("recompute")  # servers of older versions have none
        recomputed = f" The server recomputes {number_of(rows, 'row')} of each." if rows else ""
        files = number_of(len(accepted["files"]), "file")
        run.out.print(f"Verifying {files} of {path}, {how}.{recomputed}")
    return verification


def _show_job(run: Session, job_id: str, *, full: bool) -> None:
    job = run.find(job_id)
    if job.verifies_files:
        show_verification(run, run.client.verification(job.id), full=full)
        return
    if reason := _without_checks(run, job):
        raise typer.BadParameter(reason)
    document = job.verification()
    _show(run, job, document, verification_verdict(document), full=full)


def _without_checks(run: Session, job: Job) -> str | None:
    """Explain why a job has no results to verify, and where its result is."""
    if job.job_kind != "run":
        return without_logits(run, job)
    steps = run.client.get_run(job.id).steps
    [recomputed] = next((step["jobs"] for step in steps if step["step"] == "recompute" and step["jobs"]), [None])
    if recomputed is None:
        command = run.command("status", job.id[:ID_SHOWN])
        return f"Run {job.id} has not recomputed logits; `{command}` shows its steps."
    command = run.command("verify", recomputed[:ID_SHOWN])
    return f"Run {job.id} has no logits but those of its jobs: `{command}` shows the checks of its recompute job."


def _show(run: Session, work: Work, document: Record, verdict: Text, *, full: bool) -> None:
    """Show failures, figures and the verdict.

    Exits with 1 unless the verification passed.
    """
    statistics = _analysis(run, work, "statistics") if full and document["results"] else None
    needs_causes = document["results"] if full else not run.json and chance_results(document)
    causes = _analysis(run, work, "causes") if needs_causes else None
    ensemble, seeds = (_newer_analysis(run, work, part) if statistics else None for part in NEWER_PARTS)
    if full:
        document = {**document, "results": _with_analysis(document, statistics, causes)}
        document |= {name: _parts(answer) for name, answer in (("ensembles", ensemble), ("seeds", seeds))}
    run.show(
        document,
        lambda: [
            *failure_lines(work.data),
            *(result_error_lines(document) if isinstance(work, Verification) else []),
            *failed_check_lines(document, cause_lines(document, causes) if causes else []),
            *other_check_lines(document),
            *([results_table(document)] if document["results"] else []),
            *reason_lines(document),
            *(statistics_lines(document, statistics) if statistics else []),
            *(ensemble_lines(ensemble) if ensemble else []),
            *(seed_lines(seeds) if seeds else []),
            verdict,
            *provenance_lines(document),
        ],
        failed=document["verdict"] != "passed",
    )


def _analysis(run: Session, work: Work, part: Part) -> Record:
    activity = "Looking for the cause" if part == "causes" else "Computing intervals, curves and figures"
    with run.out.status(activity) if run.out.is_interactive and not run.json else nullcontext():
        return work.analysis(part, timeout=ANALYSIS_S)


def _newer_analysis(run: Session, work: Work, part: Part) -> Record | None:
    """Request an analysis that servers of older versions refuse; None from those."""
    try:
        return _analysis(run, work, part)
    except Problem as problem:
        if problem.status != UNPROCESSABLE:
            raise
        return None


def _parts(answer: Record | None) -> list[Record]:
    return [] if answer is None else answer["results"]


def _with_analysis(document: Record, statistics: Record | None, causes: Record | None) -> list[Record]:
    """Add an `analysis` to each result.

    Missing parts are None, with reasons.
    """
    results: list[Record] = []
    for result in document["results"]:
        analysis: dict[str, Any] = {"reasons": {}}
        for part, answer in (("statistics", statistics), ("causes", causes)):
            entry = entry_of(answer, result)
            reason = missing_reason(entry)
            analysis[part] = entry["analysis"] if reason is None else None
            if reason is not None:
                analysis["reasons"][part] = reason
        results.append({**result, "analysis": analysis})
    return results


def exists(path: Path) -> bool:
    """Tell whether there is a path of that name here."""
    try:
        return path.exists()
    except OSError:  # the folder above may not be entered; reading the path gives the error
        return True


def _job_id(target: str | None, request: VerifyRequest) -> str:
    """Return the target as a job's id.

    The caller found no path of that name.
    """
    if target is None:
        raise typer.BadParameter(
            f"There is no folder {str(DEFAULT)!r} here. Name a folder or a file of logits: relogit verify PATH. "
            "`relogit verify ID` shows a job's checks, and `relogit jobs` lists the ids."
        )
    if not JOB_ID.fullmatch(target):
        raise typer.BadParameter(
            f"There is no file or folder {target!r}, and it is not a job's id, which has hex digits only; "
            "`relogit jobs` lists the ids."
        )
    if any(value is not None for value in request.values()):
        raise typer.BadParameter(f"There is no file or folder {target!r}, and a job's id takes only --full.")
    return target
