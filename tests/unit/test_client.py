"""relogit.Client against a server made of a function."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import numpy as np
import pytest

import relogit
from relogit import Client, ServerUnreachable
from relogit.render.progress import follow, no_display
from tests.unit.fake_server import JOB_ID, LOGITS, TARGETS, FakeServer, answering, job, npz, problem, raising, unit

SERVER = "http://server.test"


def connect(server: FakeServer) -> relogit.Client:
    return relogit.Client(SERVER, transport=server.transport)


def test_submit_sends_what_was_given() -> None:
    """Only given options are sent, because the server has the defaults; an empty prefix is given."""
    server = FakeServer()
    connect(server).submit(experts=["a"], checkpoint_prefix="", batch_size="auto", dataset=None)
    assert server.submitted == {"experts": ["a"], "checkpoint_prefix": "", "batch_size": "auto"}


def test_watch_yields_each_change_once() -> None:
    """`watch` gives the job as it is, then each change, and stops at the end."""
    running = job("running", units=[unit(state="running", done=1)])
    server = FakeServer(job("queued"), running, running, job())
    handle = connect(server).submit()
    server.states.pop(0)
    assert [data["state"] for data in handle.watch()] == ["queued", "running", "succeeded"]
    assert handle.ended
    assert all(request.url.params["wait"] == "20" for request in server.requests[1:])


def test_watching_an_ended_job_sends_nothing() -> None:
    """An ended job cannot change, so there is no request."""
    server = FakeServer()
    handle = connect(server).submit()
    assert handle.wait() is handle
    assert server.asked == ["POST /jobs"]


def test_wait_gives_up_after_its_timeout() -> None:
    """A timeout leaves the job alone and raises StillRunning, which is a TimeoutError."""
    server = FakeServer(job("running"))
    handle = connect(server).submit()
    with pytest.raises(relogit.StillRunning, match=r"still running after 0\.05 seconds; it goes on") as caught:
        handle.wait(timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    assert f"POST /jobs/{JOB_ID}/cancel" not in server.asked


def test_logits_are_arrays_of_the_artifact() -> None:
    """`logits` gives the three arrays with their dtypes, in the file's order."""
    arrays = connect(FakeServer()).latest().logits("ce", "val")
    np.testing.assert_array_equal(arrays.logits, LOGITS)
    np.testing.assert_array_equal(arrays.targets, TARGETS)
    np.testing.assert_array_equal(arrays.predictions, [0, 1, 0])
    assert [array.dtype.name for array in arrays] == ["float32", "int64", "int64"]


def test_damaged_logits_are_refused() -> None:
    """Bytes with another sha256 than the listing's never become arrays."""
    server = FakeServer()
    server.body = npz()[:-1] + b"\0"
    server.body = server.body.replace(b"logits", b"l0gits")
    with pytest.raises(relogit.IntegrityError, match=r"logits_fixed/ce/val_logits\.npz came damaged"):
        connect(server).latest().logits("ce", "val")


def test_missing_logits_name_the_available_ones() -> None:
    """The error for a missing result names the results that exist."""
    with pytest.raises(relogit.Missing, match=r"no logits for ce / test\. It has: ce / val"):
        connect(FakeServer()).latest().logits("ce", "test")


def test_download_puts_the_old_layout_below_the_folder(tmp_path: Path) -> None:
    """Files are saved in <folder>/<output_dir>/<expert>/ with their manifests, and nothing else is."""
    saved = connect(FakeServer()).latest().download(tmp_path / "new")
    target = tmp_path / "new/logits_fixed/ce/val_logits.npz"
    assert target.read_bytes() == npz()
    assert json.loads(target.with_suffix(".json").read_text()) == {"dtype": "f4"}
    assert [(item.path, item.fetched) for item in saved] == [(target, True)]
    assert sorted(path.name for path in target.parent.iterdir()) == ["val_logits.json", "val_logits.npz"]


def test_download_skips_existing_files(tmp_path: Path) -> None:
    """A file with the right sha256 is not fetched again; one with another is replaced."""
    server = FakeServer()
    handle = connect(server).latest()
    handle.download(tmp_path)
    assert [item.fetched for item in handle.download(tmp_path)] == [False]
    target = tmp_path / "logits_fixed/ce/val_logits.npz"
    target.write_bytes(b"old")
    assert [item.fetched for item in handle.download(tmp_path)] == [True]
    assert target.read_bytes() == npz()
    assert server.asked.count(f"GET /jobs/{JOB_ID}/artifacts/ce/val") == 2


def test_a_damaged_download_replaces_nothing(tmp_path: Path) -> None:
    """A damaged download leaves the existing file and no part of itself."""
    server = FakeServer()
    server.body = b"damaged"
    target = tmp_path / "logits_fixed/ce/val_logits.npz"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"old")
    with pytest.raises(relogit.IntegrityError):
        connect(server).latest().download(tmp_path)
    assert [path.name for path in target.parent.iterdir()] == ["val_logits.npz"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("path", ["../out.npz", "/tmp/out.npz", "a/../../out.npz", "a\\..\\out.npz", "C:out.npz", ""])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    """Nothing is written outside the folder, whatever path the server names."""
    server = FakeServer()
    server.path = path
    with pytest.raises(relogit.IntegrityError, match="no plain path below the folder"):
        connect(server).latest().download(tmp_path / "in")
    assert list(tmp_path.iterdir()) == []


def test_a_problem_keeps_the_servers_answer() -> None:
    """A refusal has status, code, detail and each of its errors."""
    errors = [{"code": "unknown-expert", "detail": "No expert x.", "available": ["ce"]}]
    server = answering(POST_jobs=problem(422, "unknown-expert", "No expert x.", errors))
    with pytest.raises(relogit.Problem, match="No expert x") as caught:
        connect(server).submit(experts=["x"])
    assert (caught.value.status, caught.value.code, caught.value.errors) == (422, "unknown-expert", errors)
    assert caught.value.problem()["instance"] == "/jobs"


@pytest.mark.parametrize("answer", [httpx.Response(200, text="hello"), httpx.Response(200, json={"detail": "hi"})])
def test_another_server_is_no_relogit_server(answer: httpx.Response) -> None:
    """A 200 of another kind of server raises ServerUnreachable."""
    server = answering(GET_jobs=answer)
    with pytest.raises(relogit.ServerUnreachable, match="it is not a relogit server"):
        connect(server).latest()


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.ReadError("gone")])
def test_every_failure_of_the_network_is_one_error(error: httpx.RequestError) -> None:
    """Every failure of the network is ServerUnreachable and names the server."""
    server = raising(error, "GET /jobs", FakeServer())
    with pytest.raises(relogit.ServerUnreachable, match=r"http://server\.test is out of reach"):
        connect(server).jobs()


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "localhost:8000", "ftp://host", "http://", "http://[::1"])
def test_an_address_that_is_no_url_is_refused(address: str) -> None:
    """An address without http:// is refused; the error shows how to write it."""
    with pytest.raises(relogit.InvalidServer, match="is not a"):
        relogit.Client(address)


def test_the_environment_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """$RELOGIT_SERVER is the default server; an argument overrides it."""
    monkeypatch.setenv("RELOGIT_SERVER", "http://other.test:81")
    assert relogit.Client().server == "http://other.test:81"
    assert relogit.Client(SERVER).server == SERVER


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Requests to this machine bypass the environment's proxy."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy.invalid:1")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:1")
    with (
        relogit.Client(f"http://{host}:9", timeout=2) as client,
        pytest.raises(relogit.ServerUnreachable, match=r"refused|assign"),
    ):
        client.jobs()


def test_names_stay_one_segment_of_the_path() -> None:
    """A slash in a name cannot reach another resource."""
    server = FakeServer()
    with pytest.raises(relogit.Problem):
        connect(server).expert("../jobs", prefix="")
    assert server.requests[0].url.raw_path == b"/experts/..%2Fjobs?prefix="


def test_a_server_that_is_not_ready_answers() -> None:
    """A health report with status 503 is an answer, not an error."""
    server = answering(GET_readyz=httpx.Response(503, json={"ready": False, "checks": {"worker": "none alive"}}))
    assert connect(server).ready() == {"ready": False, "checks": {"worker": "none alive"}}


def test_latest_of_no_jobs() -> None:
    """Without jobs `latest` raises Missing, which tells how to start one."""
    server = answering(GET_jobs={"jobs": []})
    with pytest.raises(relogit.Missing, match="no jobs yet; `relogit recompute` starts one"):
        connect(server).latest()


def test_cancel_and_delete_name_the_job() -> None:
    """`cancel` and `delete` act on this job, and the handle has the new state."""
    server = FakeServer(job("running"))
    handle = connect(server).latest()
    assert handle.cancel().state == "cancelling"
    handle.delete()
    assert server.asked[1:] == [f"POST /jobs/{JOB_ID}/cancel", f"DELETE /jobs/{JOB_ID}"]


def _away(times: int) -> FakeServer:
    """A server whose job cannot be asked for so many times, and has succeeded then."""
    server = FakeServer(job("running"))
    left = [times]

    def answer() -> httpx.Response:
        if left[0]:
            left[0] -= 1
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json=job("succeeded"))

    server.answers[f"GET /jobs/{JOB_ID}"] = answer
    return server


def test_following_a_job_outlasts_a_restart_of_the_server() -> None:
    """`follow` waits for a server that restarts, because the job goes on."""
    with Client(transport=_away(1).transport) as client:
        handle = client.submit()
        follow(handle, no_display())
        assert handle.state == "succeeded"


def test_following_a_job_does_not_wait_for_ever() -> None:
    """`follow` raises if the server stays away for longer than the patience."""
    with Client(transport=_away(10**6).transport) as client, pytest.raises(ServerUnreachable):
        follow(client.submit(), no_display(), patience_s=0)
