"""`relogit experts`: list checkpoints, or show one with its passport."""

from __future__ import annotations

from typing import Annotated

import typer

from relogit.cli.argv import own_folder
from relogit.cli.options import DatasetOption, ExpertsDirOption, JsonOption, PrefixOption, ServerOption
from relogit.cli.session import session
from relogit.render.experts import expert_lines, passport_lines


def experts(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One expert, in full")] = None,
    dataset: DatasetOption = None,
    prefix: PrefixOption = None,
    experts_dir: ExpertsDirOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List checkpoints, or show one with its passport."""
    folder = own_folder(experts_dir, "checkpoints")
    with session(ctx.obj, server, as_json) as run:
        if name is not None:
            expert = run.client.expert(name, dataset=dataset, prefix=prefix, experts_dir=folder)
            run.show(expert, lambda: passport_lines(expert))
            return
        answer = run.client.experts(dataset=dataset, prefix=prefix, experts_dir=folder)
        run.show(answer, lambda: expert_lines(answer, run.out))
