"""Uploads: files of logits that do not lie in the server's outputs directory, sent to be verified."""

from __future__ import annotations

import shutil
from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from app.api.dependencies import Used
from app.domain.errors import Conflict
from app.domain.fault_points import reach

WRITTEN_AT_ONCE = 2**20
"""Bytes: a thread is asked to write so many, not each of the pieces that come in."""

router = APIRouter(prefix="/uploads", tags=["verifications"])


@router.post("", status_code=201)
def create_upload(used: Used, response: Response) -> dict[str, Any]:
    """A place for files: `PUT` each to `<Location>/<expert>/<split>_logits.npz`, then `POST /verifications`.

    It is removed with the verification that it is for, or, if there is none, after an hour.
    """
    used.uploads.sweep(used.jobs.uploads())
    upload = used.uploads.create()
    response.headers["Location"] = f"/uploads/{upload}"
    return {"id": upload, "files": {}}


@router.get("/{upload}")
def get_upload(upload: str, used: Used) -> dict[str, Any]:
    """What it holds: bytes by name."""
    return {"id": upload, "files": used.uploads.files(upload)}


@router.put(
    "/{upload}/{name:path}",
    status_code=204,
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
)
async def put_file(upload: str, name: str, request: Request, used: Used) -> None:
    """Store the body as that file, in place of an older one. It is there whole, or not at all."""

    with used.uploads.receiving(upload, name) as stream:
        waiting = bytearray()
        async for piece in request.stream():
            waiting += piece
            reach("upload.piece")
            if len(waiting) >= WRITTEN_AT_ONCE:
                await run_sync(stream.write, bytes(waiting))
                waiting.clear()
        await run_sync(stream.write, bytes(waiting))


@router.delete("/{upload}", status_code=204)
def delete_upload(upload: str, used: Used) -> None:
    """Forget the files. What was found in them stays with the verification; curves can no longer be drawn.

    Not while a verification of them has not ended: whoever had no answer to its request may not know of it.
    """
    with used.database.transaction():  # nobody can submit a verification of it in between
        if upload in used.jobs.uploads(open_only=True):
            hint = "Cancel that verification first, or wait until it has ended."
            raise Conflict("upload-in-use", f"Upload {upload} is being verified. {hint}")
        gone = used.uploads.take_away(upload)
    shutil.rmtree(gone)
