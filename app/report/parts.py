"""Parts of a page, found in its values wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TypeVar

Part = TypeVar("Part")

MAX_NAME = 80


def find_parts(value: object, kind: type[Part]) -> Iterator[Part]:
    """Yield all values of a type, in the order of the page."""
    if isinstance(value, kind):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from find_parts(getattr(value, field.name), kind)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from find_parts(item, kind)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            yield from find_parts(item, kind)


def named_parts(parts: Iterable[Part], title_of: Callable[[Part], str]) -> dict[str, Part]:
    """Give each part a name of its own that suits a file."""
    named: dict[str, Part] = {}
    for part in parts:
        name = stem = file_name(title_of(part))
        number = 1
        while name in named:
            number += 1
            name = f"{stem}-{number}"
        named[name] = part
    return named


def file_name(title: str) -> str:
    """Turn a title into a name of lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:MAX_NAME].rstrip("-") or "part"
