"""List a job's artifacts, download one, or all of them as an archive."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send
from zipstream import ZipStream

from app.api.dependencies import Services, ServicesDep
from app.api.problems import answer
from app.domain.errors import JobError, NotFound
from app.domain.fault_points import reach
from app.domain.jobs import Artifact, Job, Unit
from app.files.artifacts import artifact_path, check_content, checked_pieces

router = APIRouter(prefix="/jobs/{job_id}", tags=["artifacts"])

NPZ = "application/x-npz"
UNSATISFIABLE = 416
RANGES = re.compile(rb"bytes=\s*(\d+-\d*|-\d+)(\s*,\s*(\d+-\d*|-\d+))*\s*")


class ArtifactView(BaseModel):
    """The file of one unit."""

    expert: str
    split: str
    path: str
    """Below the outputs directory."""
    href: str
    bytes: int
    sha256: str
    manifest: dict[str, Any]


class ArtifactList(BaseModel):
    """The files of a job."""

    job: str
    artifacts: list[ArtifactView]


@router.get("/artifacts")
def list_artifacts(job_id: str, services: ServicesDep) -> ArtifactList:
    """List the files of all units that are done, with digest and manifest."""
    job = services.jobs.get(job_id)
    return ArtifactList(job=job.id, artifacts=[_view(job, unit, artifact) for unit, artifact in _done(job)])


@router.get("/artifacts/{expert}/{split}", response_class=FileResponse)
def download(
    job_id: str, expert: str, split: str, services: ServicesDep, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """Download a unit's .npz; its strong ETag is the sha256, and ranges are served.

    The file is digested before it is sent and again before its last bytes. A file that is not what was written is
    answered with the problem `artifact-damaged`; one that changes meanwhile breaks the connection before its end.
    """
    unit = services.jobs.get(job_id).unit(expert, split)
    if unit is None or unit.artifact is None:
        state = "is not one of the job's units" if unit is None else f"is {unit.state} and has no file"
        raise NotFound("artifact-not-found", f"({expert}, {split}) {state}.")
    etag = f'"{unit.artifact.sha256}"'
    # Immutable: a client that has the content of this name never needs to ask again.
    headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable"}
    if if_none_match is not None and _matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    path, check = _checked_file(services, unit, unit.artifact)
    return ArtifactResponse(path, check, headers=headers, media_type=NPZ, filename=f"{split}_logits.npz")


@router.get("/archive", response_class=StreamingResponse)
def archive(job_id: str, services: ServicesDep) -> Response:
    """Download all files and manifests as one zip, laid out like the outputs directory.

    Every file is digested before the first byte is sent, and again while it is sent: one that changes meanwhile
    breaks the connection before the zip's directory. The length is not announced.
    """
    job = services.jobs.get(job_id)
    done = _done(job)
    if not done:
        raise NotFound("artifact-not-found", f"Job {job.id} is {job.state} and has no files.")
    stream = ZipStream()  # stored, not deflated: logits hardly shrink
    for unit, artifact in done:
        path, _ = _checked_file(services, unit, artifact)
        stream.add(checked_pieces(path, artifact.sha256), _path(job, unit), size=artifact.size)
        manifest = json.dumps(artifact.manifest, indent=2) + "\n"
        stream.add(manifest.encode(), _path(job, unit).removesuffix(".npz") + ".json")
    headers = {"Content-Disposition": f'attachment; filename="{job.id}.zip"'}
    return StreamingResponse(stream, media_type="application/zip", headers=headers)


def _checked_file(services: Services, unit: Unit, artifact: Artifact) -> tuple[Path, Callable[[], None]]:
    """Check an artifact's file; return its path and the check.

    Raises:
        NotFound: `artifact-gone`.
        JobError: `artifact-damaged`, also from the check.
    """
    path = artifact_path(services.settings.objects_dir, artifact.sha256)
    name = f"({unit.expert}, {unit.split})"
    check = partial(check_content, path, artifact.sha256, f"The file of {name}")
    try:
        check()
    except FileNotFoundError:
        message = f"The file of {name} was removed from {services.settings.objects_dir}. Run the job again."
        raise NotFound("artifact-gone", message) from None
    except OSError as error:
        message = f"The file of {name} cannot be read: {error.strerror}. Run the job again."
        raise JobError("artifact-damaged", message) from error
    return path, check


def _done(job: Job) -> list[tuple[Unit, Artifact]]:
    return [(unit, unit.artifact) for unit in job.units if unit.artifact is not None]


def _path(job: Job, unit: Unit) -> str:
    return f"{job.units_request.output_dir}/{unit.expert}/{unit.split}_logits.npz"


def _view(job: Job, unit: Unit, artifact: Artifact) -> ArtifactView:
    return ArtifactView(
        expert=unit.expert,
        split=unit.split,
        path=_path(job, unit),
        href=f"/jobs/{job.id}/artifacts/{quote(unit.expert)}/{quote(unit.split)}",
        bytes=artifact.size,
        sha256=artifact.sha256,
        manifest=artifact.manifest,
    )


def _matches(if_none_match: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags


class ArtifactResponse(FileResponse):
    """Starlette's file response, whose end is sent only after another check of the file.

    The file is checked before the response is made. A file that changes while it is sent fails the second check:
    the connection breaks before the last bytes, so no client takes them for a complete answer.

    A `Range` that is malformed or in another unit than bytes is ignored (RFC 9110, 14.2); Starlette refuses it.

    `check` raises JobError if the file's content is not what was recorded; it is called in a thread.
    """

    def __init__(
        self, path: Path, check: Callable[[], None], *, headers: Mapping[str, str], media_type: str, filename: str
    ) -> None:
        super().__init__(path, headers=headers, media_type=media_type, filename=filename)
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or the ranges that were asked for."""
        headers = [(name, value) for name, value in scope["headers"] if name != b"range" or RANGES.fullmatch(value)]
        scope = {**scope, "headers": headers}
        held: list[Message] = []
        beyond: list[str] = []

        async def send_checked(message: Message) -> None:
            if message.get("status") == UNSATISFIABLE:
                beyond.append(dict(message["headers"])[b"content-range"].decode())
            if beyond:
                return  # a problem is sent in place of Starlette's empty answer
            last = message["type"] != "http.response.start" and not message.get("more_body")
            if last:
                await run_sync(self._check)
            # The last message may be empty, so the one before it waits for the check as well.
            for ready in (*held, *([message] if last else [])):
                reach("download.piece")
                await send(ready)
            held[:] = [message]

        await super().__call__(scope, receive, send_checked)
        if beyond:
            detail = f"The range lies beyond the file, which has {beyond[0].removeprefix('bytes */')} bytes."
            problem = answer(Request(scope), UNSATISFIABLE, "range-not-satisfiable", detail, [])
            problem.headers["Content-Range"] = beyond[0]
            await problem(scope, receive, send)
