"""A job's artifacts: listed, downloaded one by one, or as one archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Response
from fastapi.responses import FileResponse, StreamingResponse
from zipstream import ZipStream

from app.api.dependencies import Services, Used
from app.api.ranged import RangedFile
from app.domain.errors import JobError, NotFound
from app.domain.jobs import Artifact, Job, Unit
from app.files.artifacts import artifact_path, check_content, checked_pieces

router = APIRouter(prefix="/jobs/{job_id}", tags=["artifacts"])

NPZ = "application/x-npz"


@router.get("/artifacts")
def list_artifacts(job_id: str, used: Used) -> dict[str, Any]:
    """Every unit's file that is done, with its digest and its manifest."""
    job = used.jobs.get(job_id)
    return {"job": job.id, "artifacts": [_entry(job, unit, artifact) for unit, artifact in _done(job)]}


@router.get("/artifacts/{expert}/{split}", response_class=FileResponse)
def download(
    job_id: str, expert: str, split: str, used: Used, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """The unit's .npz. Its strong ETag is the file's sha256; ranges are served (RFC 9110).

    The file is digested before and while it is sent. One that is not what was written is answered with the problem
    `artifact-damaged`; one that is changed meanwhile breaks the connection before its end.
    """
    unit = used.jobs.get(job_id).unit(expert, split)
    if unit is None or unit.artifact is None:
        state = "is not one of the job's units" if unit is None else f"is {unit.state} and has no file"
        raise NotFound("artifact-not-found", f"({expert}, {split}) {state}.")
    etag = f'"{unit.artifact.sha256}"'
    # Immutable: what has this name never changes, so whoever has it need never ask again.
    headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable"}
    if if_none_match is not None and _matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    path = _checked_object(used, unit, unit.artifact)
    name = f"{split}_logits.npz"
    return RangedFile(path, unit.artifact.sha256, headers=headers, media_type=NPZ, filename=name)


@router.get("/archive", response_class=StreamingResponse)
def archive(job_id: str, used: Used) -> Response:
    """All files with their manifests as one zip, in the layout of the outputs directory, streamed.

    Every file is digested before the first byte is sent and once more on its way, as in a single download.
    """
    job = used.jobs.get(job_id)
    done = _done(job)
    if not done:
        raise NotFound("artifact-not-found", f"Job {job.id} is {job.state} and has no files.")
    # Stored, not deflated: logits hardly shrink, and the length is known before the first byte.
    stream = ZipStream(sized=True)
    for unit, artifact in done:
        pieces = checked_pieces(_checked_object(used, unit, artifact), artifact.sha256)
        stream.add(pieces, _path(job, unit), size=artifact.size)
        manifest = json.dumps(artifact.manifest, indent=2) + "\n"
        stream.add(manifest.encode(), _path(job, unit).removesuffix(".npz") + ".json")
    headers = {
        "Content-Disposition": f'attachment; filename="{job.id}.zip"',
        "Content-Length": str(len(stream)),
    }
    return StreamingResponse(stream, media_type="application/zip", headers=headers)


def _checked_object(used: Services, unit: Unit, artifact: Artifact) -> Path:
    """The artifact's file, digested just now.

    Raises:
        NotFound: `artifact-gone`.
        JobError: `artifact-damaged`.
    """
    path = artifact_path(used.settings.objects_dir, artifact.sha256)
    name = f"({unit.expert}, {unit.split})"
    try:
        check_content(path, artifact.sha256, f"The file of {name}")
    except FileNotFoundError:
        raise NotFound(
            "artifact-gone",
            f"The file of {name} was removed from {used.settings.objects_dir}. Run the job again.",
        ) from None
    except OSError as error:
        message = f"The file of {name} cannot be read: {error.strerror}. Run the job again."
        raise JobError("artifact-damaged", message) from error
    return path


def _done(job: Job) -> list[tuple[Unit, Artifact]]:
    return [(unit, unit.artifact) for unit in job.units if unit.artifact is not None]


def _path(job: Job, unit: Unit) -> str:
    return f"{job.recompute.output_dir}/{unit.expert}/{unit.split}_logits.npz"


def _entry(job: Job, unit: Unit, artifact: Artifact) -> dict[str, Any]:
    return {
        "expert": unit.expert,
        "split": unit.split,
        "path": _path(job, unit),
        "href": f"/jobs/{job.id}/artifacts/{quote(unit.expert)}/{quote(unit.split)}",
        "bytes": artifact.size,
        "sha256": artifact.sha256,
        "manifest": artifact.manifest,
    }


def _matches(if_none_match: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags
