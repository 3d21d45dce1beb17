"""Libraries that are installed only with an extra of relogit."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from relogit.errors import MissingExtra


def load_extra(module: str, extra: str) -> ModuleType:
    """Import a module that an extra installs.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise  # the module is there, but broken
        raise MissingExtra(module.split(".")[0], extra) from error
