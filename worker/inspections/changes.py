"""Whether the files behind an inspection are still those of its request."""

from __future__ import annotations

import json

from app.domain.errors import TransientError


def check_same(now: object, requested: object) -> None:
    """Refuse an answer about files that changed since they were requested.

    Args:
        now: identity or digest of the files that were read.
        requested: the same, as the request has it.

    Raises:
        TransientError: `file-changed`, they differ.
    """
    # Compared as JSON: only one of them may have been stored, which turns tuples into lists.
    if json.dumps(now) != json.dumps(requested):
        raise TransientError("file-changed", "The file was changed after the inspection was requested.")
