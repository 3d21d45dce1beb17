"""What a notebook gets of jobs: data frames, and small tables."""

from __future__ import annotations

import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

import relogit
from tests.unit.exported import EXPERTS, LISTS, answer_list, world
from tests.unit.fake_server import VERIFICATION_ID, FakeServer, files_verification, job, result, unit


def test_a_frame_has_one_row_for_each_sample() -> None:
    """Each figure is that of the arrays; rows stand in the order of the list."""
    source = world()
    frame = source.job.to_dataframe()
    assert len(frame) == len(EXPERTS) * sum(map(len, LISTS.values()))
    for (expert, split), arrays in source.arrays.items():
        rows = frame[(frame["expert"] == expert) & (frame["split"] == split)]
        ordered = np.sort(softmax(arrays.logits.astype(np.float64), axis=1), axis=1)
        assert rows["sample_index"].tolist() == LISTS[split]
        assert rows["label"].tolist() == arrays.targets.tolist()
        assert rows["prediction"].tolist() == arrays.predictions.tolist()
        assert rows["correct"].tolist() == (arrays.predictions == arrays.targets).tolist()
        np.testing.assert_allclose(rows["confidence"], ordered[:, -1], rtol=1e-13)
        np.testing.assert_allclose(rows["margin"], ordered[:, -1] - ordered[:, -2], atol=1e-15)
    assert frame["base"].unique().tolist() == ["test"]


def test_a_frame_has_fixed_types() -> None:
    """Names are categories, indices and classes int64, also where only one split is asked for."""
    frame = world().job.to_dataframe("val")
    names = {name: isinstance(dtype, pd.CategoricalDtype) for name, dtype in frame.dtypes.items()}
    assert [name for name, category in names.items() if category] == ["expert", "split", "base"]
    integers = frame[["sample_index", "label", "prediction"]].dtypes
    assert set(integers) == {np.dtype(np.int64)}
    assert frame["correct"].dtype == bool
    assert set(frame["split"]) == {"val"}


def test_a_frame_of_an_unknown_split() -> None:
    """The error names the splits that there are."""
    with pytest.raises(relogit.Missing, match=r"no logits of nope\. Its splits: val, test"):
        world().job.to_dataframe("nope")


def test_a_frame_of_a_changed_list() -> None:
    """No row gets a sample of another list."""
    source = world()
    answer_list(source.server, "val", [1, 2, 3], sha256="other")
    with pytest.raises(relogit.StaleList):
        source.job.to_dataframe("val")


def test_a_frame_needs_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pandas the error says what to install."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(relogit.MissingExtra, match=r"pip install 'relogit\[export\]'"):
        world().job.to_dataframe()


class Cells(HTMLParser):
    """The tags and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


HOSTILE = "<script>alert(1)</script>&\"'"


def handle(server: FakeServer) -> relogit.Client:
    return relogit.Client("http://server.test", transport=server.transport)


def test_a_job_is_a_table() -> None:
    """Each (expert, split) is a row with its accuracy; names are escaped."""
    units = [unit("val", expert=HOSTILE), unit("test", "running")]
    shown = Cells(handle(FakeServer(job("running", units=units))).latest()._repr_html_())
    assert shown.tags == {"p", "table", "thead", "tbody", "tr", "th", "td"}
    assert shown.texts[0] == "recompute 0001abcd running"
    assert shown.texts[6:11] == [HOSTILE, "val", "succeeded", "3 of 3", "66.67 %"]
    assert shown.texts[-1] == "-"


def test_a_verification_is_a_table() -> None:
    """Each result is a row with verdict and figures; what there is none of is a dash."""
    results = [{**result(HOSTILE, "val"), "file": None}, {**result("ls", "val"), "metrics": None}]
    server = FakeServer()
    server.verifications = [files_verification(verdict="failed", results=results)]
    shown = Cells(handle(server).verification(VERIFICATION_ID)._repr_html_())
    assert shown.texts[0] == f"verification {VERIFICATION_ID} succeeded failed"
    assert shown.texts[8:12] == [HOSTILE, "val", "failed", "66.67 %"]
    assert shown.texts[-4:] == ["-"] * 4


def test_long_tables_are_cut() -> None:
    """Of many rows fifty are shown, and the others counted."""
    shown = Cells(handle(FakeServer(job(units=[unit()] * 57))).latest()._repr_html_())
    assert shown.texts.count("succeeded") == 50
    assert shown.texts[-1] == "and 7 more"


def test_a_job_without_units_has_no_table() -> None:
    """Only its title is shown."""
    assert handle(FakeServer(job(units=[]))).latest()._repr_html_() == "<p>recompute 0001abcd succeeded passed</p>"
