"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import typer

from relogit.cli.argv import age, below, size


def folder_option(name: str, root: str) -> Any:
    """Declare an option for a folder below the server's `root`."""
    return typer.Option(name, parser=below(root), help=f"Folder below the server's {root}; '{root}/' is dropped")


def size_option(name: str, text: str, **more: Any) -> Any:
    """Declare an option for a size, read in bytes."""
    return typer.Option(name, parser=size, metavar="SIZE", help=text, **more)


def time_option(name: str, text: str) -> Any:
    """Declare an option for a time, read in seconds."""
    return typer.Option(name, parser=age, metavar="TIME", help=text)


DatasetOption = Annotated[str | None, typer.Option("--dataset", help="Data set, as declared on the server")]
PrefixOption = Annotated[
    str | None, typer.Option("--checkpoint-prefix", "--prefix", help="What precedes the expert in its file name")
]
ExpertsDirOption = Annotated[str | None, folder_option("--experts-dir", "checkpoints")]
FloorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--floor",
        metavar="NAME=VALUE",
        help="Warn below it: balanced_accuracy=0.35 or =35%; any accuracy of the report; repeatable",
    ),
]
OverwriteOption = Annotated[bool | None, typer.Option("--overwrite", help="Replace a set of that name, at once")]
JobArgument = Annotated[
    str | None, typer.Argument(metavar="ID", help="Id of a job, or its start [default: the newest recompute job]")
]
NewSetArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the new folder below the server's data")]


class CommonOptions(TypedDict, total=False):
    """The options of jobs and verifications alike, named like the API's fields."""

    dataset: DatasetOption
    checkpoint_prefix: PrefixOption
    experts_dir: ExpertsDirOption
    splits_dir: Annotated[str | None, folder_option("--splits-dir", "data")]
    head_threshold: Annotated[
        int | None,
        typer.Option("--head-threshold", metavar="N", help="Train samples above which a class is head [default: 20]"),
    ]
