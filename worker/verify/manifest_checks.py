"""Checks of a manifest: whether file, checkpoint and split are still those that it describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.checks import Check, error_check, skipped, warning_check

OPEN = ("assumptions", "normalisation", "channel-order", "stored-accuracy")
"""Checks of what nothing in the files can prove; a manifest repeats them."""
LONGEST_MESSAGE = 2000
LONGEST = 200
"""Characters of what a manifest says that are repeated to people."""
IDS = ("manifest-file", "manifest-split", "manifest-checkpoint")


@dataclass(frozen=True)
class Now:
    """The file, split and checkpoint as they are now."""

    expert: str
    split: str
    file_sha256: str
    split_sha256: str | None
    """None where the split cannot be read."""
    checkpoint_sha256: str | None
    """None where there is no such checkpoint any more; none is needed to verify logits."""


def read_manifest(path: Path) -> Mapping[str, Any] | None:
    """Read a manifest; None if there is no file.

    Raises:
        ValueError: it is no JSON object, or cannot be read.
    """
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}.") from error
    if not isinstance(manifest, dict):
        raise ValueError(f"{path.name} is no JSON object.")
    return manifest


def checkpoint_of(manifest: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the folder and name of a manifest's checkpoint.

    The folder is below the checkpoint directory.
    """
    folder, file = plain_entry(manifest, "checkpoint", "folder"), plain_entry(manifest, "checkpoint", "file")
    return (folder, file) if folder is not None and file is not None else None


def check_manifest(manifest: Mapping[str, Any] | None, now: Now) -> list[Check]:
    """Check a manifest; without one, the only check is skipped."""
    if manifest is None:
        reason = "There is no manifest beside the file: which checkpoint and split it comes from is not on record."
        return [skipped("manifest", "error", reason)]
    return [
        _check_name(manifest, now),
        _compare(IDS[0], plain_entry(manifest, "file", "sha256"), now.file_sha256, "the file"),
        _compare(
            IDS[1], plain_entry(manifest, "split", "sha256"), now.split_sha256, f"the index list of {now.split!r}"
        ),
        _compare(IDS[2], plain_entry(manifest, "checkpoint", "sha256"), now.checkpoint_sha256, "the checkpoint"),
    ]


def open_questions(manifest: Mapping[str, Any]) -> list[Check]:
    """Repeat a manifest's checks of what no file can prove."""
    checks = []
    entries = manifest.get("open")
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or not {"id", "verdict", "message"} <= entry.keys():
            continue
        id_, verdict, message = (_plain(str(entry[name]), LONGEST_MESSAGE) for name in ("id", "verdict", "message"))
        sentence = f"When the rows were computed: {message}"
        if id_ in OPEN and verdict in ("passed", "failed"):
            checks.append(warning_check(id_, verdict == "passed", verdict, "passed", sentence))
        elif id_ in OPEN and id_ != "stored-accuracy":  # that a file names none is no open question
            checks.append(skipped(id_, "warning", sentence))
    return checks


def unreadable_manifest(reason: str) -> list[Check]:
    """Build the failed check of an unreadable manifest."""
    return [error_check("manifest", False, "unreadable", "a JSON object", reason)]


def _check_name(manifest: Mapping[str, Any], now: Now) -> Check:
    split = plain_entry(manifest, "split", "name")
    expert = manifest.get("expert")
    expert = _plain(expert) if isinstance(expert, str) else None
    good = (expert, split) == (now.expert, now.split)
    measured = {"expert": now.expert, "split": now.split}
    message = (
        "The file lies under the names that its manifest gives."
        if good
        else f"The file lies as ({now.expert}, {now.split}), but was written as ({expert}, {split})."
    )
    expected = {"expert": str(expert), "split": str(split)}
    return warning_check("manifest-name", good, measured, expected, message)


def _compare(check_id: str, written: str | None, actual: str | None, what: str) -> Check:
    if written is None:
        return error_check(check_id, False, None, "a sha256", f"The manifest does not say which {what[4:]} it was.")
    if actual is None:
        return skipped(check_id, "error", f"{what[0].upper()}{what[1:]} cannot be read, so it was not compared.")
    good = written == actual
    message = (
        f"{what[0].upper()}{what[1:]} is still what the manifest says."
        if good
        else f"{what[0].upper()}{what[1:]} is not the one that the manifest names: these results are stale. "
        "Recompute them."
    )
    return error_check(check_id, good, {"sha256": actual}, {"sha256": written}, message)


def plain_entry(manifest: Mapping[str, Any], part: str, name: str) -> str | None:
    """Read a text of a manifest's part, cut to LONGEST, or None."""
    inner = manifest.get(part)
    value = inner.get(name) if isinstance(inner, dict) else None
    return _plain(value) if isinstance(value, str) else None


def _plain(text: str, longest: int = LONGEST) -> str:
    """Truncate a text, and replace lone surrogates from JSON."""
    return text[:longest].encode(errors="replace").decode()
