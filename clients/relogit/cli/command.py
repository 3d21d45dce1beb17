"""The decorator that makes a function a command with --server and --json."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args, get_type_hints

import typer

from relogit.cli.session import session
from relogit.client import DEFAULT_SERVER, SERVER_VARIABLE

COMMON_OPTIONS = {
    "server": Annotated[
        str | None,
        typer.Option("--server", help=f"URL of the server [env: {SERVER_VARIABLE}; default: {DEFAULT_SERVER}]"),
    ],
    "as_json": Annotated[
        bool | None,
        typer.Option("--json", help="Print JSON only on standard output; errors as problem JSON on standard error"),
    ],
}


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of a function.

    The function's first parameter is the `Session`.

    typer reads options from signatures. The command's signature has the function's other parameters, the entries of
    `**options: Unpack[T]` for a TypedDict T, and COMMON_OPTIONS. A group's function runs without a sub-command only.
    """

    @functools.wraps(function)
    def run_command(ctx: typer.Context, **values: Any) -> None:
        if ctx.invoked_subcommand is not None:
            return
        # In `relogit splits --json show` the option precedes the sub-command, so the group holds its value.
        above = ctx.parent.params if ctx.parent else {}
        values = {name: above.get(name) if value is None else value for name, value in values.items()}
        server, as_json = values.pop("server"), bool(values.pop("as_json"))
        with session(ctx.obj, server, as_json) as run:
            function(run, **values)

    parameters = [_parameter("ctx", typer.Context, inspect.Parameter.empty), *_parameters(function)]
    parameters += [_parameter(name, hint, None) for name, hint in COMMON_OPTIONS.items()]
    run_command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run_command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run_command


def _parameters(function: Callable[..., None]) -> Iterator[inspect.Parameter]:
    """Yield the function's parameters except the session.

    Arguments come first, then a TypedDict's entries, then other options.
    """
    _, *parameters = inspect.signature(function, eval_str=True).parameters.values()
    for parameter in sorted(parameters, key=lambda parameter: parameter.kind is parameter.KEYWORD_ONLY):
        if parameter.kind is parameter.VAR_KEYWORD:
            (options,) = get_args(parameter.annotation)
            for name, hint in get_type_hints(options, include_extras=True).items():
                yield _parameter(name, hint, None)
        else:
            yield _parameter(parameter.name, parameter.annotation, parameter.default)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
