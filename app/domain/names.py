"""Check names in requests, so that no path built from them leaves its folder."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from app.domain.errors import RequestError

MAX_NAME_BYTES = 120
"""Leaves room for prefix and suffix in a file system's 255 bytes."""

MAX_FOLDER_BYTES = 1000
"""Leaves room for the server's own directory in a path's 4096 bytes."""

NAME = re.compile(r"[\w+=@,()][\w .+=@,()\-]*")


def check_name(what: str, value: str, *, may_be_empty: bool = False) -> str:
    """Check a plain name: one visible path segment.

    The message begins with what it names, such as "expert". Only a checkpoint prefix may be empty.

    Raises:
        RequestError: `invalid-name`.
    """
    if may_be_empty and not value:
        return value
    well_formed = NAME.fullmatch(value) and not value.endswith(" ") and ".." not in value
    if not well_formed or len(value.encode()) > MAX_NAME_BYTES:
        raise RequestError(
            "invalid-name",
            f"{what} {value!r} is not a plain name. It begins with a letter, a digit or one of _ + = @ , ( ), goes "
            f"on with these, dots, dashes and spaces, without '/' and '..', and has at most {MAX_NAME_BYTES} bytes.",
        )
    return value


def check_folder(what: str, value: str) -> str:
    """Return a checked relative folder without needless '.' and '/'.

    Raises:
        RequestError: `invalid-name`, for an absolute path, '..' or a hidden folder.
    """
    parts = PurePosixPath(value).parts
    try:
        if not value or len(value.encode(errors="surrogatepass")) > MAX_FOLDER_BYTES:
            raise RequestError("invalid-name", "")
        return "/".join(check_name(what, part) for part in parts) or "."
    except RequestError:
        raise RequestError(
            "invalid-name",
            f"{what} {value!r} is not below the server's own folder. A relative path of plain names is expected: "
            "letters, digits, spaces and _ + = @ , ( ) . -, no '..', no leading '/', nothing hidden, of at most "
            f"{MAX_NAME_BYTES} bytes each and {MAX_FOLDER_BYTES} in all.",
        ) from None
