"""relogit.Client.verify: what is sent of which path, and what comes back."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

import relogit
from relogit.upload import CHUNK, find_logit_files
from tests.unit.fake_server import (
    JOB_ID,
    UPLOAD_ID,
    VERIFICATION_ID,
    FakeServer,
    causes,
    entry,
    files_verification,
    raising,
)

DELETED = f"DELETE /uploads/{UPLOAD_ID}"


def connect(server: FakeServer) -> relogit.Client:
    return relogit.Client("http://server.test", transport=server.transport)


def put(folder: Path, *names: str) -> Path:
    """The folder with files that hold their own names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def outputs_of(server: FakeServer, folder: Path) -> Path:
    """The folder as that server's outputs, with one result in it."""
    put(folder, "fixed/ce/val_logits.npz")
    marker = folder / ".relogit/instance"
    marker.parent.mkdir()
    marker.write_text("ab12\n")
    server.token = f"ab12:{marker.stat().st_ino}"
    return folder


def test_a_folder_is_uploaded_under_the_names_of_its_experts(tmp_path: Path) -> None:
    """Files go with their manifests; those in the folder itself belong to the expert of its name."""
    folder = put(
        tmp_path / "old", "ce/val_logits.npz", "ce/val_logits.json", "a/ls/val_logits.pt", "test_logits.npz",
        "ce/notes.json", ".kept/x/val_logits.npz", "ce/.val_logits.npz", "ce/_logits.npz", "targets.npy",
    )  # fmt: skip
    server = FakeServer()
    found = connect(server).verify(folder, dataset="d", floors={"accuracy": 0.5}, split=None)
    assert server.files == {
        "a/ls/val_logits.pt": b"a/ls/val_logits.pt",
        "ce/val_logits.npz": b"ce/val_logits.npz",
        "ce/val_logits.json": b"ce/val_logits.json",
        "old/test_logits.npz": b"test_logits.npz",
    }
    assert server.submitted == {"dataset": "d", "floors": {"accuracy": 0.5}, "upload": UPLOAD_ID}
    assert found.others == ("ce/_logits.npz", "targets.npy")
    assert DELETED not in server.asked


def test_targets_go_with_their_tensor(tmp_path: Path) -> None:
    """A tensor's targets are sent with it; of two files only the first, and none without a tensor."""
    folder = put(
        tmp_path / "old", "ce/val_logits.pt", "ce/val_labels.pt", "ls/val_logits.pt", "ls/val_labels.pt",
        "ls/val_targets.pt", "ls/test_targets.pt", "np/val_logits.npz", "np/val_targets.pt", "val_logits.pt",
        "val_targets.pt",
    )  # fmt: skip
    server = FakeServer()
    found = connect(server).verify(folder)
    assert sorted(server.files) == [
        "ce/val_labels.pt", "ce/val_logits.pt", "ls/val_logits.pt", "ls/val_targets.pt", "np/val_logits.npz",
        "old/val_logits.pt", "old/val_targets.pt",
    ]  # fmt: skip
    assert found.others == ("ls/test_targets.pt", "ls/val_labels.pt", "np/val_targets.pt")
    connect(alone := FakeServer()).verify(folder / "ce/val_logits.pt")
    assert sorted(alone.files) == ["ce/val_labels.pt", "ce/val_logits.pt"]


def test_a_folder_in_the_outputs_is_verified_in_place(tmp_path: Path) -> None:
    """A path below the server's outputs is named to it, also through links, and nothing is uploaded."""
    server = FakeServer()
    outputs = outputs_of(server, tmp_path / "out")
    (tmp_path / "link").symlink_to(outputs / "fixed")
    for path, place in [
        (outputs / "fixed", "fixed"),
        (outputs / "fixed/ce/val_logits.npz", "fixed/ce/val_logits.npz"),
        (outputs, "."),
        (tmp_path / "link", "fixed"),
    ]:
        connect(server).verify(path)
        assert server.submitted == {"path": place}
    assert "POST /uploads" not in server.asked


@pytest.mark.parametrize("instance", ["copied", "other", "none"])
def test_other_outputs_are_uploaded(tmp_path: Path, instance: str) -> None:
    """A copy of the outputs, another server's, and those of a server without a token are uploaded."""
    server = FakeServer()
    outputs = outputs_of(server, tmp_path / "out")
    if instance == "copied":
        outputs = Path(shutil.copytree(outputs, tmp_path / "copy"))
    else:
        server.token = server.token.replace("ab12", "cd34") if instance == "other" else ""
    connect(server).verify(outputs / "fixed")
    assert server.submitted == {"upload": UPLOAD_ID}
    assert list(server.files) == ["ce/val_logits.npz"]


def test_a_link_to_a_file_keeps_its_own_names(tmp_path: Path) -> None:
    """A link's own names tell expert and split, not those of its target."""
    server = FakeServer()
    outputs = outputs_of(server, tmp_path / "out")
    put(outputs, ".relogit/objects/0a.npz")
    link = outputs / "fixed/ce/test_logits.npz"
    link.symlink_to(outputs / ".relogit/objects/0a.npz")
    connect(server).verify(link)
    assert server.files == {"ce/test_logits.npz": b".relogit/objects/0a.npz"}
    alias = outputs / "fixed/ls/val_logits.npz"
    alias.parent.mkdir()
    alias.symlink_to(outputs / "fixed/ce/val_logits.npz")
    connect(server).verify(alias)
    assert "ls/val_logits.npz" in server.files
    connect(server).verify(outputs / ".relogit/objects/0a.npz", expert="ce", split="val")
    assert "objects/0a.npz" in server.files


def test_a_single_file_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is sent under the names of its folder and itself, however its path is written."""
    put(tmp_path / "ce", "anything.pt", "anything.json", "val_logits.npz")
    monkeypatch.chdir(tmp_path / "ce")
    server = FakeServer()
    connect(server).verify("anything.pt", expert="e", split="s")
    assert list(server.files) == ["ce/anything.pt", "ce/anything.json"]
    assert server.submitted == {"expert": "e", "split": "s", "upload": UPLOAD_ID}


def test_links_that_lead_back_up_are_not_followed(tmp_path: Path) -> None:
    """A folder with two names counts twice; a folder that contains itself ends the walk."""
    folder = put(tmp_path / "old", "ce/val_logits.npz")
    (folder / "again").symlink_to(folder / "ce")
    (folder / "ce/up").symlink_to(folder)
    assert list(find_logit_files(folder).files) == ["again/val_logits.npz", "ce/val_logits.npz"]


def test_two_files_of_one_name_are_both_sent(tmp_path: Path) -> None:
    """The server receives both files of one result, so that it can refuse them."""
    folder = put(tmp_path / "ce", "ce/val_logits.npz", "val_logits.npz")
    files = find_logit_files(folder).files
    assert files == {
        "ce/val_logits.npz": folder / "ce/val_logits.npz",
        "ce/ce/val_logits.npz": folder / "val_logits.npz",
    }


def test_names_stay_one_segment_of_the_path(tmp_path: Path) -> None:
    """A file is sent under its name, whatever characters it has."""
    put(tmp_path / "a b?#", "50%_logits.npz")
    server = FakeServer()
    connect(server).verify(tmp_path)
    assert server.requests[2].url.raw_path.endswith(b"/a%20b%3F%23/50%25_logits.npz")


def test_a_large_file_is_sent_in_pieces(tmp_path: Path) -> None:
    """Files are sent in chunks, and the progress has the bytes sent and all bytes."""
    put(tmp_path, "ce/val_logits.npz", "ls/val_logits.npz")
    (tmp_path / "ce/val_logits.npz").write_bytes(b"x" * (2 * CHUNK + 5))
    server, told = FakeServer(), list[tuple[int, int]]()
    connect(server).verify(tmp_path, progress=lambda sent, total: told.append((sent, total)))
    total = 2 * CHUNK + 5 + 17
    assert told == [(sent, total) for sent in (CHUNK, 2 * CHUNK, 2 * CHUNK + 5, total)]
    assert server.requests[2].headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize("request_", [f"PUT /uploads/{UPLOAD_ID}/ce/val_logits.npz", "POST /verifications"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), relogit.Problem(422, {})])
def test_failures_delete_the_upload(tmp_path: Path, request_: str, error: BaseException) -> None:
    """A refusal by the server and an interrupt both delete the upload."""
    put(tmp_path, "ce/val_logits.npz")
    server = raising(error, request_, FakeServer())
    with pytest.raises(type(error)):
        connect(server).verify(tmp_path)
    assert server.asked[-1] == DELETED


@pytest.mark.parametrize("name", ["val_logits.npz", "val_targets.pt"])
def test_an_unreadable_file_deletes_the_upload(tmp_path: Path, name: str) -> None:
    """A broken link, of targets too, is an error that names it; the upload is deleted."""
    put(tmp_path, "ce/val_logits.pt")
    (tmp_path / "ce" / name).symlink_to(tmp_path / "gone")
    server = FakeServer()
    with pytest.raises(relogit.InvalidPath, match=rf"Cannot read '.*ce/{name}': No such file"):
        connect(server).verify(tmp_path)
    assert server.asked[-1] == DELETED


def test_a_folder_without_logits_sends_nothing(tmp_path: Path) -> None:
    """An empty and a missing folder are refused before any request; the error names other files."""
    server = FakeServer()
    with pytest.raises(relogit.InvalidPath, match=r"no file <expert>/<split>_logits\.npz or \.pt in '[^']*'\.$"):
        connect(server).verify(tmp_path)
    put(tmp_path, *(f"{number}.npy" for number in range(7)))
    with pytest.raises(relogit.InvalidPath, match=r"other files: 0\.npy, .*4\.npy, and 2 more\."):
        connect(server).verify(tmp_path)
    with pytest.raises(relogit.InvalidPath, match="neither a folder nor a file"):
        connect(server).verify(tmp_path / "none")
    assert server.requests == []


def test_wait_follows_the_verification(tmp_path: Path) -> None:
    """The handle polls its own resource to the end, and then has verdict, checks and results."""
    put(tmp_path, "ce/val_logits.npz")
    server = FakeServer()
    server.verifications = [files_verification("queued"), files_verification("running"), files_verification()]
    found = connect(server).verify(tmp_path)
    server.verifications.pop(0)
    assert (found.verdict, found.results, found.checks) == (None, [], [])
    assert found.wait() is found
    assert (found.verdict, found.results[0]["expert"]) == ("passed", "ce")
    assert server.asked[-2:] == [f"GET /verifications/{VERIFICATION_ID}"] * 2
    found.cancel()
    found.delete()
    assert server.asked[-3::2] == [f"POST /jobs/{VERIFICATION_ID}/cancel", f"DELETE /jobs/{VERIFICATION_ID}"]


def test_analysis_polls_until_complete() -> None:
    """`analysis` repeats its request until the answer is complete or the time is over."""
    server = FakeServer()
    found = connect(server).verification(VERIFICATION_ID)
    server.analyses["causes"] = [entry(None, "pending")]
    assert found.analysis("causes", timeout=0)["complete"] is False
    assert server.requests[-1].url.params["wait"] == "0"
    waiting = {"complete": False, "results": server.analyses["causes"]}
    ready = {"complete": True, "results": [entry(causes())]}
    answers = [ready, waiting]
    server.answers[f"GET /jobs/{VERIFICATION_ID}/analysis"] = lambda: httpx.Response(200, json=answers.pop())
    assert found.analysis("causes") == ready
    assert dict(server.requests[-1].url.params)["part"] == "causes"


def test_latest_skips_verifications() -> None:
    """`latest` asks only for jobs that recompute."""
    server = FakeServer()
    assert connect(server).latest().id == JOB_ID
    assert dict(server.requests[-1].url.params) == {"kind": "recompute", "limit": "1"}
