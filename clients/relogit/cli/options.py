"""Options and arguments that several commands have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from relogit.client import DEFAULT_SERVER, SERVER_VARIABLE

ServerOption = Annotated[
    str | None,
    typer.Option("--server", help=f"URL of the server [env: {SERVER_VARIABLE}; default: {DEFAULT_SERVER}]"),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON only on standard output; errors as problem JSON on standard error")
]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="Data set, as declared on the server")]
PrefixOption = Annotated[
    str | None, typer.Option("--checkpoint-prefix", "--prefix", help="What stands before the expert in its file name")
]
ExpertsDirOption = Annotated[
    str | None, typer.Option("--experts-dir", help="Folder below the server's checkpoints; 'checkpoints/' is dropped")
]
SplitsDirOption = Annotated[
    str | None, typer.Option("--splits-dir", help="Folder below the server's data; 'data/' is dropped")
]
JobArgument = Annotated[
    str | None, typer.Argument(metavar="ID", help="A job's id or how it begins [default: the newest recompute job]")
]
HeadThresholdOption = Annotated[
    int | None,
    typer.Option("--head-threshold", metavar="N", help="Train samples above which a class is head [default: 20]"),
]
RecomputeRowsOption = Annotated[
    int | None,
    typer.Option(
        "--recompute",
        metavar="N",
        min=0,
        help="Compute N rows of each result anew with its checkpoint, and hold them against the file [default: 0]",
    ),
]
FloorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--floor",
        metavar="NAME=VALUE",
        help="Warn below it: balanced_accuracy=0.35 or =35%; any accuracy of the report; repeatable",
    ),
]
