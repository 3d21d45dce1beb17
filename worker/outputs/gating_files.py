"""The files of combinations, beside their logits: parameters for people and scripts, and mixtures."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.domain.combine_requests import GatingRequest
from app.domain.combining import NetParameters
from app.domain.outcomes import GatingOutcome
from app.files.disk import replacing
from app.settings import Settings
from worker.outputs.artifacts import Logits, publishing
from worker.outputs.mixture_manifest import ParametersFile

log = logging.getLogger(__name__)

FOLDER = "gating_pretrained"
"""Below the checkpoint directory, as of the old scripts; in it a folder for each data set."""
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""How writing fails in a container whose checkpoints are mounted read-only."""


def publish_parameters(request: GatingRequest, outcome: GatingOutcome, settings: Settings) -> ParametersFile:
    """Write a combination's parameters as JSON, its network as safetensors.

    They lie beside the mixtures, and where the old scripts had them, unless the checkpoint directory is read-only.
    Equal outcomes have equal bytes. The JSON names the network by its digest, so no other publisher may write between
    the two.
    """
    stem = f"gating_{request.name}"
    document = outcome.to_dict()
    tensors: dict[str, bytes] = {}
    for candidate, written in zip(outcome.candidates, document["candidates"], strict=True):
        if isinstance(candidate.parameters, NetParameters):
            content = base64.b64decode(candidate.parameters.tensors)
            tensors[f"{stem}.safetensors"] = content
            described = {"file": f"{stem}.safetensors", "sha256": hashlib.sha256(content).hexdigest()}
            written["parameters"] = {**written["parameters"], "tensors": described}
    text = json.dumps(document, indent=2, allow_nan=False).encode() + b"\n"
    files = {**tensors, f"{stem}.json": text}
    with publishing(publish_lock(settings)):
        write_files(settings.outputs_dir / request.output_dir / request.name, files)
        folder = f"{FOLDER}/{request.dataset}"
        written_there = write_checkpoints(settings.checkpoints_dir, folder, files)
    digest = hashlib.sha256(text).hexdigest()
    return ParametersFile(folder if written_there else None, f"{stem}.json", digest)


def write_files(folder: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    """Write files whole; return their sha256 by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        with replacing(folder / name) as stream:
            stream.write(content)
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def write_checkpoints(root: Path, folder: str, files: Mapping[str, bytes]) -> bool:
    """Write files below the checkpoint directory; return False if it is read-only."""
    try:
        write_files(root / folder, files)
        return True
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        log.warning("%s is read-only: %s is not written", root, ", ".join(files))
        return False


def publish_lock(settings: Settings) -> Path:
    """Return the file that publishers lock."""
    return settings.internal_dir / "publish.lock"


def mixture_file(content: Logits, weights: NDArray[np.float32] | None) -> bytes:
    """Write `probs` [N, C] float32 and expert `weights` [N, E], as the old scripts did.

    `targets` and `predictions` [N] int64 stand beside them; `weights` only where the method has any.
    """
    probs = np.exp(content.logits, dtype=np.float32)
    arrays = {"probs": probs, "targets": content.targets, "predictions": content.predictions}
    if weights is not None:
        arrays["weights"] = weights
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
