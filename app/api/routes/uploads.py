"""Files of logits that clients send to be verified."""

from __future__ import annotations

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from app.api.dependencies import ServicesDep
from app.domain.errors import Conflict
from app.domain.fault_points import reach
from app.files.disk import remove

WRITTEN_AT_ONCE = 2**20
"""Bytes that a thread writes at once; the pieces that arrive are smaller."""

router = APIRouter(prefix="/uploads", tags=["verifications"])


class UploadView(BaseModel):
    """An upload and its files."""

    id: str
    files: dict[str, int]
    """Bytes by name."""


@router.post("", status_code=201)
def create_upload(services: ServicesDep, response: Response) -> UploadView:
    """Create a place for files, which `POST /verifications` can then name.

    `PUT` each file to `<Location>/<expert>/<split>_logits.npz`. The upload is removed with the last job that reads
    it; without one, an hour or two after the last file came.
    """
    upload = services.uploads.create()
    response.headers["Location"] = f"/uploads/{upload}"
    return UploadView(id=upload, files={})


@router.get("/{upload}")
def get_upload(upload: str, services: ServicesDep) -> UploadView:
    """Return the names and sizes of an upload's files."""
    return UploadView(id=upload, files=services.uploads.files(upload))


@router.put(
    "/{upload}/{name:path}",
    status_code=204,
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
)
async def put_file(upload: str, name: str, request: Request, services: ServicesDep) -> None:
    """Store the body as that file, complete or not at all.

    It replaces an older file of that name.
    """
    with services.uploads.receiving(upload, name) as stream:
        waiting = bytearray()
        async for piece in request.stream():
            waiting += piece
            reach("upload.piece")
            if len(waiting) >= WRITTEN_AT_ONCE:
                await run_sync(stream.write, bytes(waiting))
                waiting.clear()
        await run_sync(stream.write, bytes(waiting))


@router.delete("/{upload}", status_code=204)
def delete_upload(upload: str, services: ServicesDep) -> None:
    """Remove an upload's files, unless a job that reads them has not ended.

    The verification's checks stay; curves can no longer be drawn, and combinations of the files no longer evaluated.
    """
    # In a transaction: no verification of it can be submitted in between. A client whose submission got no answer may
    # not know that there is one.
    with services.database.transaction():
        if upload in services.jobs.uploads(open_only=True):
            hint = "Cancel that job first, or wait until it has ended."
            raise Conflict("upload-in-use", f"Upload {upload} is being verified or combined. {hint}")
        aside = services.uploads.set_aside(upload)
    remove(aside)
