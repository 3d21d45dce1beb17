"""`relogit gating`: combine experts, from logits that are verified."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Unpack

import typer

from relogit.cli.argv import below
from relogit.cli.combinations import (
    CoveragesOption,
    EndOptions,
    MinGroupCoverageOption,
    NoWaitOption,
    OverlapOption,
    end_of,
    newest_of,
)
from relogit.cli.command import command
from relogit.cli.options import DatasetOption, folder_option
from relogit.cli.plans import PlanOption, show_combine_plan
from relogit.cli.session import Session
from relogit.cli.verify import JOB_ID, exists, show_verification, submit_verification
from relogit.combination import GatingRequest, GroupScheme, Method, Prior
from relogit.render.checks import files_verdict
from relogit.render.tables import ID_SHOWN, Record, printable
from relogit.verification import VerifyRequest

LogitsOption = Annotated[
    str | None,
    typer.Option(
        "--logits",
        "--logits-dir",
        metavar="PATH|ID",
        help="A job's id, or a folder of logits, which is verified first [default: the newest recompute job]",
    ),
]
DividedByOption = Annotated[
    list[str] | None,
    typer.Option(
        "--divided-by", metavar="EXPERT=T...", help="Temperatures that files of logits were divided by: ce=1.5"
    ),
]


class GatingOptions(EndOptions, total=False):
    """The options of a gating, named like the fields of `GatingRequest`."""

    experts: Annotated[
        list[str] | None,
        typer.Option("--experts", metavar="E...", help="Experts, in the order of all parameters [default: all]"),
    ]
    fit: Annotated[str | None, typer.Option("--fit", metavar="SPLIT", help="Rows to fit on [default: tunev]")]
    validate: Annotated[
        str | None, typer.Option("--validate", metavar="SPLIT", help="Rows to choose the method by [default: val]")
    ]
    method: Annotated[
        Method | None,
        typer.Option("--method", help="Fit this one alone [default: uniform, linear, log-linear, net; the best]"),
    ]
    prior: Annotated[
        Prior | None,
        typer.Option("--prior", help="Weigh rows as listed, or as classes are common in train [default: listed]"),
    ]
    groups: Annotated[
        GroupScheme | None, typer.Option("--groups", help="Class groups of errors and rules [default: head-tail]")
    ]
    head_threshold: Annotated[
        int | None,
        typer.Option("--head-threshold", metavar="N", help="Train samples above which a class is head [default: 20]"),
    ]
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the network's training [default: 42]")]
    epochs: Annotated[int | None, typer.Option("--epochs", help="Of the network's training [default: 25]")]
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate of the network [default: 0.0008]")]
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Of the network's training [default: 64]")]
    net_file: Annotated[
        str | None,
        typer.Option(
            "--net-file",
            parser=below("checkpoints"),
            metavar="FILE",
            help="Take an old gating network (.ckpt) below the server's checkpoints as it is",
        ),
    ]
    output_dir: Annotated[str | None, folder_option("--output-dir", "outputs")]
    coverages: CoveragesOption
    min_group_coverage: MinGroupCoverageOption
    allow_overlap: OverlapOption


@command
def gating(
    run: Session,
    *,
    mode: Annotated[
        Literal["pretrain", "selective"],
        typer.Option("--mode", help="selective: also fit the group rule for the balanced error"),
    ] = "pretrain",
    logits: LogitsOption = None,
    dataset: DatasetOption = None,
    divided_by: DividedByOption = None,
    plan: PlanOption = False,
    no_wait: NoWaitOption = False,
    **options: Unpack[GatingOptions],
) -> None:
    """Combine experts: fit on one split, choose by another.

    It takes the verified logits of a job, or of a folder, which must pass `relogit verify` first. It fits a uniform
    and a linear mixture, a log-linear pool and a small network, and takes the lowest NLL on the rows of --validate,
    or a simpler method that these rows cannot tell from it. The combined logits of every split are verified like
    those of an expert.

    Options that are left out have the server's defaults. Lists are written as in `--experts A B C`.
    """
    temperatures = temperatures_of(divided_by)
    if plan and logits is not None and exists(Path(logits)):
        raise typer.BadParameter(
            f"A plan verifies nothing. Verify the logits first, `relogit verify {logits}`, and give that job's id.",
            param_hint="--logits",
        )
    request = GatingRequest(mode=mode, logits=_logits(run, logits, dataset), divided_by=temperatures, **options)
    if plan:
        show_combine_plan(run, "gating", run.client.plan_gating(**request))
        return
    health = run.client.ready()
    work = run.client.gating(**request)
    run.warn_unless_ready(health)
    if logits is None:
        _tell_newest(run, work.data["request"])
    end_of(run, work, wait=not no_wait)


def temperatures_of(pairs: Sequence[str] | None) -> dict[str, float] | None:
    """Read the values of `--divided-by` as temperatures by expert."""
    temperatures: dict[str, float] = {}
    for pair in pairs or ():
        name, _, value = pair.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not name or not math.isfinite(number):
            raise typer.BadParameter(f"{pair!r} is not of the form ce_baseline=1.5.", param_hint="--divided-by")
        if name in temperatures:
            raise typer.BadParameter(f"{name} has two temperatures.", param_hint="--divided-by")
        temperatures[name] = number
    return temperatures or None


def _logits(run: Session, logits: str | None, dataset: str | None) -> str | None:
    """Return the id of the job whose logits are combined; None leaves it to the server."""
    if logits is None:
        return None if dataset is None else newest_of(run, "recompute", dataset)
    path = Path(logits)
    if exists(path):
        return _verified(run, path, dataset)
    if not JOB_ID.fullmatch(logits):
        raise typer.BadParameter(
            f"There is no folder {logits!r} here, and it is not a job's id, which has hex digits only; "
            "`relogit jobs` lists the ids.",
            param_hint="--logits",
        )
    job = run.find(logits)
    own = job.data["request"].get("dataset")
    if dataset not in (None, own):
        raise typer.BadParameter(f"The logits of job {job.id} are of the data set {own!r}.", param_hint="--dataset")
    return job.id


def _tell_newest(run: Session, request: Record) -> None:
    """Name the logits that were taken because the command named none."""
    if not run.json:
        job_id, dataset = request["logits"]["job"][:ID_SHOWN], printable(request["dataset"])
        run.out.print(f"From the newest logits: job {job_id} of the data set {dataset!r}.")


def _verified(run: Session, path: Path, dataset: str | None) -> str:
    """Verify a folder of logits; return the verification's id.

    Exits with 1 unless it passed.
    """
    verification = submit_verification(run, path, VerifyRequest(dataset=dataset))
    run.follow(verification)
    if verification.verdict != "passed":
        show_verification(run, verification)
    if not run.json:
        run.out.print(files_verdict(verification.data))
    return verification.id
