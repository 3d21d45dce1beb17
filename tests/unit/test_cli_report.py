"""`relogit report` lists, saves and prints what a report holds, and waits until it is whole."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.unit.command_line import Relogit
from tests.unit.fake_server import JOB_ID, FakeServer, answering
from tests.unit.fake_server import job as fake_job
from tests.unit.snapshots import Transcript

PAGE = "<!DOCTYPE html><p>é"
FILES = {
    "complete": True,
    "figures": [
        {"name": "risk-val", "title": "Risk, val", "files": ["figures/risk-val.svg", "figures/risk-val.csv"]}
    ],
    "tables": [
        {"name": name, "title": name, "files": [f"tables/{name}.tex"]} for name in ("results-val", "calibration-val")
    ],
}


def archive(*names: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as file:
        for name in names:
            file.writestr(name, f"content of {name}")
    return body.getvalue()


def reporting(bundle: bytes | None = None, files: object = FILES) -> FakeServer:
    zipped = bundle or archive("r/index.html", "r/a/b")
    answers: dict[str, object] = {
        "GET_jobs": {"jobs": [fake_job()]},
        f"GET_jobs__{JOB_ID}": fake_job(),
        f"GET_jobs__{JOB_ID}__report__files": files,
        f"GET_jobs__{JOB_ID}__report": httpx.Response(200, content=PAGE.encode()),
        f"GET_jobs__{JOB_ID}__report__bundle": httpx.Response(200, content=zipped),
    }
    for name in ("results-val", "calibration-val"):
        for form in ("tex", "md", "csv"):
            text = httpx.Response(200, text=f"{name} as {form}\n")
            answers[f"GET_jobs__{JOB_ID}__report__tables__{name}.{form}"] = text
    return answering(**answers)


def test_report(transcript: Transcript) -> None:
    """It lists what there is; the main tables come first; a wrong name is told where the right ones stand."""
    transcript.run("What there is", reporting(), "report")
    transcript.run("The main tables", reporting(), "report", JOB_ID, "--format", "latex")
    transcript.run("One table", reporting(), "report", "--table", "calibration-val")
    transcript.run("A table that is not there", reporting(), "report", "--table", "none")
    transcript.check("report")


def test_the_page_is_saved_as_it_is(relogit: Relogit, tmp_path: Path) -> None:
    """In UTF-8, below folders that are made; the answer names its digest."""
    target = tmp_path / "new" / "report.html"
    ran = relogit(reporting(), "report", "-o", str(target), "--json")
    assert ran.code == 0
    assert target.read_text(encoding="utf-8") == PAGE
    sha256 = hashlib.sha256(PAGE.encode()).hexdigest()
    assert json.loads(ran.out)["files"] == [{"path": str(target), "sha256": sha256}]


def test_a_bundle_is_unpacked_into_a_new_folder(relogit: Relogit, tmp_path: Path) -> None:
    """Without the archive's own folder; what is there already is not touched."""
    folder = tmp_path / "bundle"
    assert relogit(reporting(), "report", "--bundle", str(folder)).code == 0
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {"index.html", "a/b"}
    (folder / "index.html").write_text("mine")
    again = relogit(reporting(), "report", "--bundle", str(folder))
    assert again.code == 2
    assert "is there already" in again.err
    assert (folder / "index.html").read_text() == "mine"


def test_a_bundle_may_stay_an_archive(relogit: Relogit, tmp_path: Path) -> None:
    content = archive("r/index.html")
    assert relogit(reporting(content), "report", "--bundle", str(tmp_path / "b.zip")).code == 0
    assert (tmp_path / "b.zip").read_bytes() == content


@pytest.mark.parametrize("name", ["r/../../evil", "r/a/../../../evil"])
def test_an_archive_cannot_write_outside(relogit: Relogit, tmp_path: Path, name: str) -> None:
    """Whatever answers there."""
    assert relogit(reporting(archive(name)), "report", "--bundle", str(tmp_path / "in" / "bundle")).code != 0
    assert not list(tmp_path.rglob("evil"))


def test_a_page_that_cannot_be_written_is_said(relogit: Relogit, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = relogit(reporting(), "report", "-o", str(tmp_path / "file" / "report.html"))
    assert ran.code == 1
    assert "Cannot write" in ran.err
