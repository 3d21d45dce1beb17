"""Read the verified files of logits that a job takes from another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from app.domain.combine_requests import InputFile, LogitsInput
from app.domain.errors import JobError
from app.files.artifacts import artifact_path
from app.files.uploads import Uploads
from app.settings import Settings
from worker.outputs.artifacts import read_arrays
from worker.outputs.logit_reader import read_stored


def read_input(
    logits: LogitsInput, file: InputFile, rows: int, classes: int, settings: Settings
) -> Mapping[str, NDArray[Any]]:
    """Read a file's `logits`, with `targets` where it has them, unchecked but for its digest.

    Raises:
        JobError: `logits-gone`, `logits-changed`, or what `read_arrays` and `read_stored` raise.
    """
    if file.name is None:
        path = artifact_path(settings.objects_dir, file.sha256)
        try:
            return read_arrays(path, file.sha256, "logits", "targets")
        except FileNotFoundError:
            message = (
                f"The logits of ({file.expert}, {file.split}) are not there any more: their job was deleted. "
                "Recompute them."
            )
            raise JobError("logits-gone", message) from None
    stored = read_stored(input_path(logits, file.name, settings), rows, classes)
    if stored.sha256 != file.sha256:
        raise JobError("logits-changed", f"{file.name} was changed since it was verified. Verify it again.")
    return stored.arrays


def input_path(logits: LogitsInput, name: str, settings: Settings) -> Path:
    """Return the path of a verified file, in the outputs or in an upload."""
    if logits.upload is not None:
        return Uploads(settings.uploads_dir).folder(logits.upload) / name
    return settings.outputs_dir / str(logits.path) / name
