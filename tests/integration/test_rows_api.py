"""Kept rows over HTTP, with the real client on a real port."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import relogit
from app.files.row_files import ABOUT, LOGITS
from app.settings import Settings
from tests.integration.workspace import serving
from tests.unit.kept import SEEN, SIZE, SOURCE, cut, filled, flip, source

VIEW = {
    "key": SOURCE.key,
    "usable": True,
    "seen": SEEN,
    "architecture": "cifar_resnet32",
    "classes": 3,
    "precision": "fp32",
    "engine": "torch",
    "model": "a processor",
    "rows": SIZE,
    "pool": SIZE,
}
UNKNOWN = dict.fromkeys(("seen", "architecture", "classes", "precision", "engine", "model", "pool"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("rows")
    return Settings(data_dir=root, checkpoints_dir=root, outputs_dir=root / "out", workers=0)


@pytest.fixture(scope="module")
def running(settings: Settings) -> Iterator[httpx.Client]:
    """The API alone; no worker is needed to look at what workers kept."""
    with serving(settings) as client:
        # A second after its start the service tidies, which removes damaged rows; the next time is an hour later.
        damaged = filled(settings.rows_dir, source(9)).folder
        cut(damaged / LOGITS, 1)
        deadline = time.monotonic() + 5
        while damaged.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        shutil.rmtree(settings.rows_dir)
        yield client


@pytest.fixture
def rows_dir(settings: Settings) -> Iterator[Path]:
    """The folder of kept rows; as before the first job, it is not there."""
    yield settings.rows_dir
    if settings.rows_dir.is_dir():
        shutil.rmtree(settings.rows_dir)
    else:
        settings.rows_dir.unlink(missing_ok=True)


@pytest.fixture
def api(running: httpx.Client, rows_dir: Path) -> httpx.Client:
    return running


@pytest.fixture
def client(api: httpx.Client) -> Iterator[relogit.Client]:
    with relogit.Client(str(api.base_url)) as made:
        yield made


def three(rows_dir: Path) -> list[str]:
    """Keys last used a minute, an hour and a day ago; the second one is damaged as a whole."""
    for number, ago_s in enumerate((60, 3600, 86400)):
        about = filled(rows_dir, source(number)).folder / ABOUT
        then = time.time() - ago_s
        os.utime(about, (then, then))
    cut(rows_dir / source(1).key / LOGITS, 1)
    return [source(number).key for number in range(3)]


def without_disk(view: dict[str, Any]) -> dict[str, Any]:
    assert view["bytes"] > 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z", view["used_at"])
    return {name: value for name, value in view.items() if name not in ("bytes", "used_at")}


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem, once it was seen to be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["code"], body["type"], body["status"]) == (code, f"urn:relogit:problem:{code}", status)
    return body


def test_before_the_first_job_nothing_is_kept(api: httpx.Client) -> None:
    """An installation that has computed nothing lists nothing, and that is no error."""
    assert api.get("/rows").json() == {"rows": [], "totals": {"keys": 0, "rows": 0, "bytes": 0}}
    assert api.post("/rows/prune", json={"max_bytes": 0}).json()["removed"] == []


def test_what_is_kept_is_listed(client: relogit.Client, rows_dir: Path) -> None:
    """Each key with what it was computed for and how, last used first; sums at the end."""
    keys = three(rows_dir)
    filled(rows_dir)
    found = client.rows()
    assert [view["key"] for view in found["rows"]] == [SOURCE.key, *keys]
    assert without_disk(found["rows"][0]) == VIEW
    assert without_disk(found["rows"][2]) == {"key": keys[1], "usable": False, "rows": 0} | UNKNOWN
    size = sum(view["bytes"] for view in found["rows"])
    assert found["totals"] == {"keys": 4, "rows": 3 * SIZE, "bytes": size}


def test_one_key_is_shown_with_its_source_and_condition(client: relogit.Client, rows_dir: Path) -> None:
    """Everything that the rows depend on, as their key was made of it, and a look at every row."""
    kept = filled(rows_dir)
    flip(kept.folder / LOGITS, (128 + 2 * 12) * 8)
    kept.drop(np.array([5]))
    found = client.row_condition(SOURCE.key)
    assert found.pop("condition") == {"rows": SIZE - 2, "damaged": 1}
    assert found.pop("source") == json.loads(json.dumps(SOURCE.to_dict()))
    assert without_disk(found) == VIEW | {"rows": SIZE - 1}


def test_an_unusable_key_has_no_condition(client: relogit.Client, rows_dir: Path) -> None:
    """Of rows that are damaged as a whole nothing is said but that."""
    key = three(rows_dir)[1]
    found = client.row_condition(key)
    assert (found["usable"], found["source"], found["condition"]) == (False, None, None)


def test_a_description_that_is_gone_has_no_time(client: relogit.Client, rows_dir: Path) -> None:
    """When they were last used stood there; nothing is made up in its place."""
    (filled(rows_dir).folder / ABOUT).unlink()
    [view] = client.rows()["rows"]
    assert (view["used_at"], view["usable"]) == (None, False)


def test_rows_are_deleted_once(api: httpx.Client, client: relogit.Client, rows_dir: Path) -> None:
    """204, then 404 with the key in its text; other keys stay."""
    keys = three(rows_dir)
    assert api.delete(f"/rows/{keys[0]}").status_code == 204
    assert keys[0] in problem(api.delete(f"/rows/{keys[0]}"), 404, "rows-not-found")["detail"]
    problem(api.get(f"/rows/{keys[0]}"), 404, "rows-not-found")
    client.delete_rows(keys[1])
    assert [path.name for path in rows_dir.iterdir()] == [keys[2]]


@pytest.mark.parametrize(
    "key", ["prune", "ab", "AB" * 32, "zz" * 32, "ab" * 33, "ab" * 32 + "%0A", "..%2F" + "ab" * 32]
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_is_no_key_is_refused(api: httpx.Client, rows_dir: Path, method: str, key: str) -> None:
    """64 hex digits or nothing: no name reaches the disk otherwise."""
    filled(rows_dir)
    answer = api.request(method, f"/rows/{key}")
    if "%2F" in key:  # a slash makes it another path
        problem(answer, 404, "not-found")
    else:
        [item] = problem(answer, 422, "invalid-key")["errors"]
        assert item["parameter"] == "key"
        assert "64 hex digits" in item["detail"]
    assert (rows_dir / SOURCE.key).is_dir()


def test_pruning_by_age(client: relogit.Client, rows_dir: Path) -> None:
    """What is unusable goes, and what was not used for longer; the answer says what, and what is left."""
    keys = three(rows_dir)
    sizes = {view["key"]: view["bytes"] for view in client.rows()["rows"]}
    done = client.prune_rows(older_than_s=7200.0)
    assert {view["key"]: view["bytes"] for view in done["removed"]} == {key: sizes[key] for key in keys[1:]}
    assert done["freed_bytes"] == sizes[keys[1]] + sizes[keys[2]]
    assert done["left"] == {"keys": 1, "rows": SIZE, "bytes": sizes[keys[0]]} == client.rows()["totals"]


def test_pruning_by_size(client: relogit.Client, rows_dir: Path) -> None:
    """The longest unused go until the rest fits."""
    keys = three(rows_dir)
    filled(rows_dir)
    sizes = {view["key"]: view["bytes"] for view in client.rows()["rows"]}
    done = client.prune_rows(max_bytes=sizes[SOURCE.key] + sizes[keys[0]])
    assert [view["key"] for view in done["removed"]] == keys[1:]
    assert [view["key"] for view in client.rows()["rows"]] == [SOURCE.key, keys[0]]
    assert client.prune_rows(max_bytes=0)["left"] == {"keys": 0, "rows": 0, "bytes": 0}


def test_pruning_sweeps_what_a_crash_left(client: relogit.Client, rows_dir: Path) -> None:
    """Hidden folders older than an hour go with it, and count as freed."""
    left = rows_dir / ".left"
    left.mkdir(parents=True)
    (left / LOGITS).write_bytes(b"x" * 100_000)
    for path in (left / LOGITS, left):
        os.utime(path, (0, 0))
    done = client.prune_rows(max_bytes=10**9)
    assert (done["removed"], left.exists()) == ([], False)
    assert done["freed_bytes"] >= 100_000


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({}, "invalid-value", "max_bytes, older_than_s or both are expected"),
        ({"max_bytes": None, "older_than_s": None}, "invalid-value", "max_bytes, older_than_s or both"),
        ({"max_bytes": -1}, "invalid-value", "max_bytes"),
        ({"max_bytes": 1.5}, "invalid-value", "max_bytes"),
        ({"max_bytes": "10GB"}, "invalid-value", "max_bytes"),
        ({"max_bytes": True}, "invalid-value", "max_bytes"),
        ({"older_than_s": -0.5}, "invalid-value", "older_than_s"),
        ({"older_than_s": "30d"}, "invalid-value", "older_than_s"),
        ({"older_than_s": float("inf")}, "invalid-value", "older_than_s"),
        ({"max_size": 5, "max_bytes": 0}, "unknown-field", "'max_size'. There are: max_bytes, older_than_s"),
        ([], "invalid-value", "a JSON object is expected"),
    ],
)
def test_a_wrong_prune_removes_nothing(api: httpx.Client, rows_dir: Path, body: object, code: str, said: str) -> None:
    """Neither limit, a limit that is none or a misspelt one: refused, and everything stays."""
    three(rows_dir)
    content = json.dumps(body).encode()
    answer = api.post("/rows/prune", content=content, headers={"Content-Type": "application/json"})
    assert said in problem(answer, 422, code)["detail"]
    assert len(list(rows_dir.iterdir())) == 3


def test_a_disk_that_refuses_is_told(api: httpx.Client, rows_dir: Path) -> None:
    """A folder that cannot be listed is a 503 that names it, not a bug."""
    rows_dir.write_text("a file")
    for answer in (api.get("/rows"), api.post("/rows/prune", json={"max_bytes": 0})):
        assert str(rows_dir) in problem(answer, 503, "disk-error")["detail"]
