"""`relogit experts`: list checkpoints, or show one with its passport."""

from __future__ import annotations

from typing import Annotated

import typer

from relogit.cli.command import command
from relogit.cli.options import DatasetOption, ExpertsDirOption, PrefixOption
from relogit.cli.session import Session
from relogit.render.experts import expert_lines, passport_lines


@command
def experts(
    run: Session,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One expert, in full")] = None,
    dataset: DatasetOption = None,
    prefix: PrefixOption = None,
    experts_dir: ExpertsDirOption = None,
) -> None:
    """List checkpoints, or show one with its passport."""
    if name is not None:
        expert = run.client.expert(name, dataset=dataset, prefix=prefix, experts_dir=experts_dir)
        run.show(expert, lambda: passport_lines(expert))
        return
    answer = run.client.experts(dataset=dataset, prefix=prefix, experts_dir=experts_dir)
    run.show(answer, lambda: expert_lines(answer, run.out))
