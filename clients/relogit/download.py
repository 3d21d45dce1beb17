"""Downloads of artifacts, each checked against its sha256 before it appears."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from relogit.errors import IntegrityError
from relogit.sample_index import SampleIndex
from relogit.wire import Wire, segment


class Saved(NamedTuple):
    """One artifact in a local folder.

    `sha256` and `bytes` are those of the local file.
    """

    path: Path
    sha256: str
    bytes: int
    fetched: bool  #: False if the right file was there before


def fetch(wire: Wire, job_id: str, artifact: Mapping[str, Any], out: IO[bytes]) -> None:
    """Write an artifact to `out` and check its digest.

    Raises:
        IntegrityError: the sha256 differs from the listing's; the caller must drop what was written.
    """
    digest = hashlib.sha256()
    path = f"/jobs/{segment(job_id)}/artifacts/{segment(artifact['expert'])}/{segment(artifact['split'])}"
    with wire.stream(path) as chunks:
        for chunk in chunks:
            digest.update(chunk)
            out.write(chunk)
    if digest.hexdigest() != artifact["sha256"]:
        raise IntegrityError(
            f"{artifact['path']} came damaged: its sha256 is {digest.hexdigest()}, "
            f"the server announced {artifact['sha256']}. Nothing of it was kept; try again."
        )


def save(wire: Wire, job_id: str, artifact: dict[str, Any], folder: Path) -> Saved:
    """Save an artifact and its manifest below `folder`.

    Their paths are as in the server's outputs.

    Both files appear whole or not at all. A file that exists with the right sha256 stays as it is.

    Raises:
        IntegrityError: the download is damaged, or its path leads out of `folder`.
    """
    target = folder.joinpath(*_safe_parts(artifact["path"]))
    target.parent.mkdir(parents=True, exist_ok=True)
    fetched = not (target.is_file() and _sha256(target) == artifact["sha256"])
    if fetched:
        with replacing(target) as out:
            fetch(wire, job_id, artifact, out)
    with replacing(target.with_suffix(".json")) as out:
        out.write(json.dumps(artifact["manifest"], indent=2).encode() + b"\n")
    return Saved(target, artifact["sha256"], artifact["bytes"], fetched)


def save_with_index(
    wire: Wire, job_id: str, artifact: Mapping[str, Any], folder: Path, samples: SampleIndex
) -> Saved:
    """Save an artifact with the samples of its rows, and its manifest.

    The file has the artifact's arrays bit for bit, and besides `sample_index` int64 [N] and `base`, a text []. The
    manifest's `file` describes this file, and `file.artifact` the one that was downloaded and checked.

    Raises:
        IntegrityError: the download is damaged, has not one row for each sample, or its path leads out of `folder`.
    """
    import numpy as np  # here, because the import takes longer than most commands

    target = folder.joinpath(*_safe_parts(artifact["path"]))
    body = io.BytesIO()
    fetch(wire, job_id, artifact, body)
    body.seek(0)
    with np.load(body, allow_pickle=False) as loaded:
        arrays = dict(loaded)
    if arrays["logits"].shape[:1] != samples.indices.shape:
        raise IntegrityError(f"{artifact['path']} has not one row for each of the {samples.indices.size} samples.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as out:
        np.savez(out, **arrays, sample_index=samples.indices, base=np.array(samples.base))
    sha256, size = _sha256(target), target.stat().st_size
    original = {"sha256": artifact["sha256"], "bytes": artifact["bytes"]}
    file = {**artifact["manifest"]["file"], "sha256": sha256, "bytes": size, "artifact": original}
    with replacing(target.with_suffix(".json")) as out:
        out.write(json.dumps({**artifact["manifest"], "file": file}, indent=2).encode() + b"\n")
    return Saved(target, sha256, size, True)


def _safe_parts(path: str) -> tuple[str, ...]:
    """Split a path; refuse one that leaves its folder.

    This includes paths that would leave it on Windows.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or not pure.parts or any(part == ".." or set(part) & set("\\:\0") for part in pure.parts):
        raise IntegrityError(
            f"The server names the file {path!r}, which is no plain path below the folder; nothing was written."
        )
    return pure.parts


def is_plain_name(name: str) -> bool:
    """Tell whether a name is one visible path segment, on Windows too."""
    return bool(name) and name.isprintable() and name[0] != "." and not set(name) & set('/\\:*?"<>|')


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """Write a file beside its place, and move it there when it is whole."""
    # Not tempfile: its files are readable by their owner only, and stay so after the rename.
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as out:
            yield out
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
