"""`relogit report`: the report of a job as a page, as a folder for a supplement, or as tables for a paper."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from relogit.cli.command import command
from relogit.cli.options import JobArgument
from relogit.cli.session import ExitCode, Session
from relogit.client.reports import TableFormat
from relogit.download import replacing
from relogit.errors import Problem
from relogit.render.report import bundle_lines, files_lines, saved_lines

PaperFormat = Literal["latex", "markdown", "csv"]
FORMATS: dict[PaperFormat, TableFormat] = {"latex": "tex", "markdown": "md", "csv": "csv"}
MAIN = ("results-", "methods-", "differences-", "pairs-")
"""Begin the names of the tables that papers show first."""


@command
def report(
    run: Session,
    job_id: JobArgument = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Save the page as one HTML file")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="PATH", help="Save page, charts, tables and digests as a folder or a .zip"),
    ] = None,
    form: Annotated[
        PaperFormat | None,
        typer.Option("--format", help="Print the main tables, or those of --table"),
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="NAME...", help="Tables to print [default: the main ones]")
    ] = None,
) -> None:
    """Save a job's report, or print its tables for a paper.

    Without options it lists the charts and tables of the report. It waits until the workers have analysed all
    results.
    """
    job = run.find(job_id)
    reported = _reported(run, job)
    files = _complete(run, reported)
    if form or table:
        print_tables(run, reported, form or "markdown", table)
    elif output or bundle:
        _save(run, reported, output, bundle)
    else:
        address = run.address(f"/jobs/{reported}/report")
        run.show(files, lambda: files_lines(files, address))


def _reported(run: Session, job: Any) -> str:
    """Return the id of the job whose report is meant: of a run, that of its last step with a job."""
    if job.job_kind != "run":
        return str(job.id)
    jobs = [child for step in run.client.get_run(job.id).steps for child in step["jobs"]]
    if not jobs:
        raise typer.BadParameter(f"No step of run {job.id} has a result to report on yet.")
    return str(jobs[-1])


def _complete(run: Session, job_id: str) -> dict[str, Any]:
    """Wait for the report, with a line that says so."""
    with run.err.status("The workers analyse the results …"):
        try:
            return run.client.complete_report(job_id)
        except TimeoutError as error:
            run.err.print(f"{error} Ask again later.", style="red")
            raise typer.Exit(ExitCode.FAILED) from None


def print_tables(run: Session, job_id: str, form: PaperFormat, names: list[str] | None = None) -> None:
    """Print tables of a report for a paper; the main ones, if none is named."""
    known = [item["name"] for item in run.client.report_files(job_id)["tables"]]
    main = [name for name in known if name.startswith(MAIN)] or known
    if unknown := [name for name in names or () if name not in known]:
        raise typer.BadParameter(f"There is no table {', '.join(unknown)}. `relogit report` lists them.")
    texts = {name: run.client.report_table(job_id, name, FORMATS[form]) for name in names or main}
    if run.json:
        run.show({"job": job_id, "tables": texts}, list)
    else:
        typer.echo("\n".join(texts.values()), nl=False)


def _save(run: Session, job_id: str, output: Path | None, bundle: Path | None) -> None:
    saved: list[dict[str, str]] = []
    try:
        if output is not None:
            saved.append(_write(output, run.client.report(job_id).encode()))
        if bundle is not None:
            saved += _write_bundle(bundle, run.client.report_bundle(job_id))
    except OSError as error:
        run.err.print(f"Cannot write {error.filename or output or bundle}: {error.strerror or error}.", style="red")
        raise typer.Exit(ExitCode.FAILED) from None
    document = {"job": job_id, "files": saved}
    run.show(document, lambda: bundle_lines(saved, bundle) if bundle else saved_lines(saved))


def _write_bundle(target: Path, content: bytes) -> list[dict[str, str]]:
    """Write a bundle as it is, or unpack it into a folder that is new or empty."""
    if target.suffix == ".zip":
        return [_write(target, content)]
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise typer.BadParameter(f"{target} is there already; name a new folder, or a file that ends with .zip.")
    saved = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            parts = Path(name).parts[1:]  # without the archive's own folder
            if not parts or ".." in parts:
                raise Problem(500, {"detail": f"The archive holds {name!r}, which is no file of a report."})
            saved.append(_write(target.joinpath(*parts), archive.read(name)))
    return saved


def _write(path: Path, content: bytes) -> dict[str, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as out:
        out.write(content)
    return {"path": str(path), "sha256": hashlib.sha256(content).hexdigest()}
