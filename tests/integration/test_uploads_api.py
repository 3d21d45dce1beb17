"""Files that are sent to be verified: what is taken, and how long it stays. Through the real service."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.integration.verifying import good, upload, verify
from tests.integration.workspace import Service, Workspace, build, running


def test_an_empty_upload_is_refused(service: Service) -> None:
    """There is nothing to verify, and it says how files are named."""
    answer = httpx.post(f"{service.url}/verifications", json={"dataset": "tiny", "upload": upload(service, {})})
    assert (answer.status_code, answer.json()["code"]) == (422, "no-logit-files")
    assert "<split>_logits.npz" in answer.json()["detail"]


def test_uploads_are_whole_and_stay_in_their_folder(service: Service, workspace: Workspace) -> None:
    """Names that lead elsewhere and other kinds of file are refused; a second PUT replaces the first."""
    where = f"{service.url}/uploads/{upload(service, {'ce/many_logits.npz': b'old'})}"
    assert httpx.put(f"{where}/ce/many_logits.npz", content=b"newer").status_code == 204
    assert httpx.get(where).json()["files"] == {"ce/many_logits.npz": 5}
    for name, code in (("ce/run.sh", "unsupported-file"), ("%2e%2e/x_logits.npz", "invalid-name")):
        answer = httpx.put(f"{where}/{name}", content=b"x")
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert httpx.get(where).json()["files"] == {"ce/many_logits.npz": 5}


def test_deleting_a_verification_deletes_its_upload(service: Service, workspace: Workspace) -> None:
    """What was sent for it alone goes with it; what another one refers to stays."""
    sent = upload(service, {"ce/many_logits.npz": good(workspace, "test")})
    folder = workspace.root / "outputs" / ".relogit" / "uploads" / sent
    one, other = verify(service, upload=sent)["id"], verify(service, upload=sent)["id"]
    assert httpx.delete(f"{service.url}/jobs/{one}").status_code == 204
    assert folder.is_dir()
    assert httpx.delete(f"{service.url}/jobs/{other}").status_code == 204
    assert not folder.exists()


def test_files_that_are_being_verified_are_not_deleted(tmp_path: Path) -> None:
    """Whoever had no answer to its request, and tidies up behind it, must not take the files from under it."""
    workspace = build(tmp_path)
    with running(workspace, RELOGIT_WORKERS="0") as service:
        sent = upload(service, {"ce/many_logits.npz": b"anything"})
        asked = httpx.post(f"{service.url}/verifications", json={"dataset": "tiny", "upload": sent})
        job = asked.json()["id"]
        refused = httpx.delete(f"{service.url}/uploads/{sent}")
        assert (refused.status_code, refused.json()["code"]) == (409, "upload-in-use")
        assert httpx.post(f"{service.url}/jobs/{job}/cancel").status_code == 202
        assert httpx.delete(f"{service.url}/uploads/{sent}").status_code == 204


def test_the_instance_marks_the_outputs_directory(service: Service, workspace: Workspace) -> None:
    """A client that sees this file above a folder knows that the folder is the server's own."""
    path = Path(workspace.root / "outputs" / ".relogit" / "instance")
    assert service.get("/healthz").json()["instance"] == f"{path.read_text()}:{path.stat().st_ino}"
