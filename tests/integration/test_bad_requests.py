"""Bad input, each with a clear problem+json (RFC 9457), and nothing queued."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.workspace import Workspace, build, serving


@pytest.fixture
def own(tmp_path: Path) -> Workspace:
    """An installation that the test may spoil."""
    return build(tmp_path)


@pytest.fixture
def api(own: Workspace) -> Iterator[httpx.Client]:
    """The API alone, without a worker."""
    with serving(own.settings) as client:
        yield client


def _problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem, once it was seen to be one."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["type"] == f"urn:relogit:problem:{code}"
    assert body["detail"]
    return body


def _refused(api: httpx.Client, code: str, status: int = 422, **request: Any) -> dict[str, Any]:
    """POST that request; it must be refused with that code, and queue nothing."""
    problem = _problem(api.post("/jobs", json={"dataset": "tiny"} | request), status, code)
    assert api.get("/jobs").json() == {"jobs": []}
    return problem


@pytest.mark.parametrize(
    ("request_", "code", "right"),
    [
        ({"experts": ["gamma"]}, "unknown-expert", "alpha, beta"),
        ({"checkpoint_prefix": "worst_"}, "unknown-prefix", "best_alpha, best_beta"),
        ({"splits": ["nope"]}, "unknown-split", "again, test, train, tunev, val"),
        ({"dataset": "cifar1000"}, "unknown-dataset", "tiny"),
        ({"experts": []}, "invalid-value", "at least one name"),
        ({"splits": []}, "invalid-value", "at least one name"),
        ({"batch_size": 0}, "invalid-value", "from 1 to 65536, or 'auto'"),
        ({"batch_size": "many"}, "invalid-value", "from 1 to 65536, or 'auto'"),
        ({"batch_size": True}, "invalid-value", "from 1 to 65536, or 'auto'"),
        ({"batch_size": 64.0}, "invalid-value", "from 1 to 65536, or 'auto'"),
        ({"calibration": "platt"}, "invalid-value", "'none' or 'checkpoint'"),
        ({"expert": ["alpha"]}, "unknown-field", "checkpoint_prefix"),
        ({"experts": ["alpha", "alpha"]}, "repeated-name", "twice"),
        ({"experts_dir": "experts/none"}, "experts-dir-missing", "with experts_dir"),
        ({"splits_dir": "none"}, "splits-dir-missing", "with splits_dir"),
        ({"output_dir": ".relogit"}, "reserved-name", "another name"),
    ],
)
def test_a_wrong_item_says_what_would_have_been_right(
    api: httpx.Client, request_: dict[str, Any], code: str, right: str
) -> None:
    """Each problem has its own code, and its text names what there is or what is expected."""
    assert right in _refused(api, code, **request_)["detail"]


@pytest.mark.parametrize("name", ["..", "a/../b", "../x", "/etc", "a/b", "a\0b", ".hidden", "", "x" * 300])
def test_no_name_leaves_its_folder(api: httpx.Client, own: Workspace, name: str) -> None:
    """Wherever a name is expected, a path is refused."""
    before = sorted(own.root.parent.iterdir())
    for field in ("output_dir", "experts", "splits"):
        value: Any = name if field == "output_dir" else [name]
        _refused(api, "invalid-name", **{field: value})
    if name:
        _refused(api, "invalid-name", checkpoint_prefix=name)
    assert sorted(own.root.parent.iterdir()) == before


@pytest.mark.parametrize("folder", ["..", "../data", "/etc", "a/../../b", "a\0b", ""])
def test_no_folder_leaves_the_servers_own(api: httpx.Client, folder: str) -> None:
    """splits_dir and experts_dir are relative and go down only."""
    _refused(api, "invalid-name", splits_dir=folder)
    _refused(api, "invalid-name", experts_dir=folder)


def test_symbolic_links_of_the_owner_are_followed(api: httpx.Client, own: Workspace, tmp_path: Path) -> None:
    """A folder or file that the owner linked to is as good as one that lies there."""
    (own.splits / "linked_indices.json").symlink_to(own.splits / "val_indices.json")
    elsewhere = tmp_path / "elsewhere"
    own.experts.rename(elsewhere)
    own.experts.symlink_to(elsewhere)
    assert api.post("/jobs", json={"dataset": "tiny", "splits": ["linked"]}).status_code == 202


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("[0, 60]", "split-out-of-range", "index 60 at position 1"),
        ("[0, -1]", "split-out-of-range", "index -1 at position 1"),
        ("[0, 1.0]", "split-invalid", "1.0 at position 1"),
        ('["0"]', "split-invalid", "position 0"),
        ("[true]", "split-invalid", "true at position 0"),
        ("[]", "split-empty", "empty list"),
        ('{"a": 1}', "split-invalid", "flat list of integers"),
        ("not JSON", "split-invalid", "not JSON"),
        ("", "split-invalid", "not JSON"),
    ],
)
def test_a_bad_index_file_is_refused(api: httpx.Client, own: Workspace, content: str, code: str, said: str) -> None:
    """Before anything is queued, naming the file and the first offender; GET /splits shows the same."""
    (own.splits / "bad_indices.json").write_text(content)
    problem = _refused(api, code, splits=["val", "bad"])
    assert "bad_indices.json" in problem["detail"]
    assert said in problem["detail"]
    assert problem["errors"][0]["pointer"] == "#/splits/1"
    shown = {split["name"]: split for split in api.get("/splits/tiny_splits?dataset=tiny").json()["splits"]}
    assert (shown["bad"]["state"], shown["bad"]["problem"]["code"]) == ("bad", code)


def test_every_wrong_item_is_named_at_once(api: httpx.Client) -> None:
    """One answer is enough to correct a request with many faults."""
    problem = _refused(
        api, "invalid-request", experts=["alpha", "x", "y"], splits=["val", "z"], output_dir="../up"
    )  # fmt: skip
    assert [(e["code"], e["pointer"]) for e in problem["errors"]] == [
        ("invalid-name", "#/output_dir"),
        ("unknown-expert", "#/experts/1"),
        ("unknown-expert", "#/experts/2"),
        ("unknown-split", "#/splits/1"),
    ]
    assert problem["errors"][1]["available"] == ["alpha", "beta"]
    problem = _refused(api, "invalid-request", checkpoint_prefix="../", splits=["z"])
    assert [e["pointer"] for e in problem["errors"]] == ["#/checkpoint_prefix", "#/splits/0"]


def test_two_files_of_one_stem_are_not_a_choice(api: httpx.Client, own: Workspace) -> None:
    """relogit does not pick one of them."""
    (own.experts / "best_alpha.pt").write_bytes(b"")
    assert "best_alpha.pt and best_alpha.pth" in _refused(api, "checkpoint-ambiguous")["detail"]
    shown = api.get("/experts?dataset=tiny").json()["experts"][0]
    assert (shown["state"], shown["problem"]["code"]) == ("bad", "checkpoint-ambiguous")


@pytest.mark.parametrize(
    "path", ["/jobs/nope", "/jobs/nope/verification", "/jobs/nope/artifacts", "/jobs/nope/archive"]
)
def test_a_malformed_job_id_is_not_found(api: httpx.Client, path: str) -> None:
    """404 with a problem, wherever a job is named."""
    _problem(api.get(path), 404, "job-not-found")


def test_the_other_verbs_of_an_unknown_job(api: httpx.Client) -> None:
    """Cancel and delete say the same."""
    _problem(api.post("/jobs/nope/cancel"), 404, "job-not-found")
    _problem(api.delete("/jobs/nope"), 404, "job-not-found")


def test_a_body_that_is_no_json(api: httpx.Client) -> None:
    """400, as it could not even be read."""
    response = api.post("/jobs", content="{'experts'", headers={"Content-Type": "application/json"})
    _problem(response, 400, "malformed-json")


def test_paths_and_verbs_that_are_not_there_are_problems_too(api: httpx.Client) -> None:
    """404 and 405 of the framework come in the same form; 405 says what is allowed."""
    _problem(api.get("/nothing"), 404, "not-found")
    response = api.put("/jobs")
    _problem(response, 405, "method-not-allowed")
    assert response.headers["Allow"]


def test_a_data_directory_that_is_not_there(own: Workspace) -> None:
    """The message names the setting."""
    settings = own.settings.model_copy(update={"data_dir": own.root / "gone"})
    with serving(settings) as api:
        assert "RELOGIT_DATA_DIR" in _refused(api, "data-dir-missing")["detail"]


def test_a_data_set_whose_files_are_not_there(api: httpx.Client, own: Workspace) -> None:
    """The missing file is named."""
    (own.root / "data" / "tiny" / "test.npz").unlink()
    assert "test.npz" in _refused(api, "data-missing")["detail"]


def test_a_cifar_file_with_the_wrong_md5(api: httpx.Client, own: Workspace) -> None:
    """It is never unpickled; both sums are named."""
    toml = own.root / "data" / "datasets.toml"
    toml.write_text(
        toml.read_text().replace('kind = "npz"', 'kind = "cifar100"').replace('root = "tiny"', 'root = "."')
    )
    folder = own.root / "data" / "cifar-100-python"
    folder.mkdir()
    (folder / "test").write_bytes(b"not the published bytes")
    detail = _refused(api, "data-corrupt")["detail"]
    assert "f0ef6b0ae62326f3e7ffdfab6717acfc" in detail


def test_a_datasets_file_with_unknown_keys(api: httpx.Client, own: Workspace) -> None:
    """A misspelt key is named instead of being ignored."""
    toml = own.root / "data" / "datasets.toml"
    toml.write_text(toml.read_text().replace("std =", "sdt ="))
    assert "tiny.sdt" in _refused(api, "datasets-file-invalid")["detail"]


def test_jobs_that_have_not_ended_cannot_be_deleted_and_ended_ones_not_cancelled(api: httpx.Client) -> None:
    """409 with the reason; cancelling twice is no error."""
    job = api.post("/jobs", json={"dataset": "tiny"}).json()["id"]
    _problem(api.delete(f"/jobs/{job}"), 409, "job-not-ended")
    assert api.post(f"/jobs/{job}/cancel").json()["state"] == "cancelled"
    assert api.post(f"/jobs/{job}/cancel").status_code == 202
    _problem(api.get(f"/jobs/{job}/archive"), 404, "artifact-not-found")
    _problem(api.get(f"/jobs/{job}/artifacts/alpha/val"), 404, "artifact-not-found")
    assert api.get(f"/jobs/{job}/verification").json()["verdict"] == "skipped"
    assert api.delete(f"/jobs/{job}").status_code == 204


def test_without_a_worker_the_api_lives_but_is_not_ready(api: httpx.Client) -> None:
    """/healthz is 200; /readyz is 503 and says what to start; experts are shown as unread at once."""
    assert api.get("/healthz").status_code == 200
    ready = api.get("/readyz")
    assert ready.status_code == 503
    assert "python -m worker" in ready.json()["checks"]["worker"]["detail"]
    assert [e["state"] for e in api.get("/experts?dataset=tiny").json()["experts"]] == ["unread", "unread"]


def test_an_expert_that_is_not_there_is_404(api: httpx.Client) -> None:
    """With the names that there are."""
    problem = _problem(api.get("/experts/gamma?dataset=tiny"), 404, "unknown-expert")
    assert problem["errors"][0]["available"] == ["alpha", "beta"]


def test_the_openapi_document_describes_problems(api: httpx.Client) -> None:
    """What a generated client reads: every operation names its problem answers, and the schema is there."""
    document = api.get("/openapi.json").json()
    assert "code" in document["components"]["schemas"]["Problem"]["properties"]
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in json.dumps(operation["responses"])


@pytest.mark.parametrize("path", ["/experts?dataste=tiny", "/jobs?bogus=1", "/splits?prefix=best_", "/healthz?x=1"])
def test_a_misspelt_query_parameter_is_refused(api: httpx.Client, path: str) -> None:
    """It must not be answered as if it had not been there."""
    _problem(api.get(path), 422, "unknown-parameter")


def test_a_wrong_query_value_names_its_parameter(api: httpx.Client) -> None:
    """A query has no JSON pointer."""
    [error] = _problem(api.get("/jobs?limit=0"), 422, "invalid-value")["errors"]
    assert error["parameter"] == "limit"
    assert "pointer" not in error


def test_a_body_without_its_content_type_says_what_to_send(api: httpx.Client) -> None:
    """The first mistake with curl."""
    response = api.post("/jobs", content='{"dataset": "tiny"}', headers={"Content-Type": "text/plain"})
    assert "application/json" in _problem(response, 415, "unsupported-media-type")["detail"]


def test_types_are_named_in_the_words_of_json(api: httpx.Client) -> None:
    """No tuple and no dict of Python's."""
    assert "a list is expected" in _refused(api, "invalid-value", experts="alpha")["detail"]
    assert "a text is expected" in _refused(api, "invalid-value", dataset=3)["detail"]


def test_an_unknown_prefix_lists_the_files_there_are(api: httpx.Client) -> None:
    """Also where experts are only looked at."""
    problem = _problem(api.get("/experts?dataset=tiny&prefix=zzz_"), 404, "unknown-prefix")
    assert problem["errors"][0]["available"] == ["best_alpha", "best_beta"]


def test_a_wrong_verb_says_all_that_are_right(api: httpx.Client) -> None:
    """Allow is over every route of the path (RFC 9110, 15.5.6)."""
    response = api.patch("/jobs/x")
    _problem(response, 405, "method-not-allowed")
    assert response.headers["Allow"] == "DELETE, GET, HEAD"
    assert api.put("/jobs").headers["Allow"] == "GET, HEAD, POST"


def test_health_can_be_asked_for_without_a_body(api: httpx.Client) -> None:
    """Load balancers send HEAD."""
    response = api.head("/healthz")
    assert (response.status_code, response.content) == (200, b"")
    assert api.head("/readyz").status_code == 503
    assert api.head("/jobs").status_code == 200
    assert api.head("/jobs/nope").status_code == 404


def test_an_override_that_fits_no_expert_is_told(api: httpx.Client, own: Workspace) -> None:
    """A slip of the pen in datasets.toml shows, and so does which mean and std each expert gets."""
    toml = own.root / "data" / "datasets.toml"
    own_mean = "mean = [0.1, 0.1, 0.1]\nstd = [1, 1, 1]"
    toml.write_text(
        f"{toml.read_text()}\n[tiny.overrides.best_alpha]\n{own_mean}\n[tiny.overrides.best_alhpa]\n{own_mean}\n"
    )
    body = api.get("/experts?dataset=tiny").json()
    assert body["unused_overrides"] == ["best_alhpa"]
    assert [expert["transform"]["from"] for expert in body["experts"]] == ["override", "data set"]
    assert body["experts"][0]["transform"]["mean"] == [0.1, 0.1, 0.1]


def test_an_output_folder_that_is_a_file_is_refused(api: httpx.Client, own: Workspace) -> None:
    """Before anything is computed."""
    (own.root / "outputs" / "taken").write_text("a file")
    _refused(api, "output-dir-unusable", output_dir="taken")
