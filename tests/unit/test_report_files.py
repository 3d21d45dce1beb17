"""What is taken away of a report says the same as the page, and stands by itself."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import xml.etree.ElementTree as ET
import zipfile

import pytest
from fastapi import FastAPI

from app.api.dependencies import Services
from app.main import create_app
from app.report.drawings import Drawing
from app.report.paper_tables import Table
from app.report.parts import file_name, find_parts, named_parts
from app.report.report_files import FIGURE_TYPES, TABLE_TYPES, Report, figure_style
from app.report.svg import UNIT, Axis, Bars, Chart, Line
from app.report.view import page
from tests.fakes import Home
from tests.unit.asgi import send
from tests.unit.expert_jobs import ExpertJobs
from tests.unit.report_inputs import analysed, check, result, sources, statistics

EVIL = '<script>&"%$_#{}~^\\\n| ' + "é→−"


def empty(title: str) -> Chart:
    return Chart(title, "What it shows.", Axis("x", UNIT), Axis("y", UNIT))


def chart(title: str = "A chart") -> Drawing:
    return Chart(title, "What it shows.", Axis("x", UNIT), Axis("y", UNIT)).draw(
        [Line([(0, 0.25), (1, 0.1)], "line", EVIL)]
    )


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_the_data_of_a_chart_are_what_it_draws() -> None:
    """With all digits, and with a name for each line."""
    third = 1 / 3
    drawing = Chart("t", "d", Axis("x", UNIT), Axis("y", UNIT)).draw(
        [Line([(third, 0.5)], "line", "a"), Bars([0.5, None], "b")]
    )
    rows = rows_of(drawing.to_csv())
    assert rows == [["series", "x", "y"], ["a", repr(third), "0.5"], ["", "0", "0.5"], ["", "1", ""]]
    assert rows_of(chart().to_csv())[1][0] == EVIL


def test_a_chart_stands_alone() -> None:
    """As well-formed SVG, with its style, on white, with no variable that only a page defines."""
    root = ET.fromstring(chart().to_svg(figure_style()))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    style = "".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}style"))
    used, defined = set(re.findall(r"var\((--\w+)\)", style)), set(re.findall(r"(--\w+):", style))
    assert used
    assert used <= defined
    assert style.count("{") == style.count("}")
    assert (root.get("width"), root.get("height")) == ("320", "240")


def test_a_chart_of_names_that_xml_cannot_write_is_well_formed() -> None:
    """Such characters are replaced; the data keep them."""
    drawing = chart("a\x00\x0b\x1b\ufffe b")
    title = ET.fromstring(drawing.to_svg(figure_style())).findtext("{http://www.w3.org/2000/svg}title")
    assert title == "a\ufffd\ufffd\ufffd\ufffd b"


def test_no_name_is_an_argument_of_the_row_before_it() -> None:
    """What follows the end of a row in LaTeX may be an option of that end: `[a]` a length, `*` a star."""
    text = Table("c", ["Expert", "A"], [["[a]", "1"], ["*b", "2"], ["c|d", "3"]]).to_latex()
    assert "\n{}[a] & 1 \\\\\n{}*b & 2 \\\\\nc\\textbar{}d & 3 \\\\\n" in text


def test_markdown_shows_entities_and_tildes_as_they_are_written() -> None:
    assert "| \\&lt;a \\~\\~b |" in Table("c", ["Expert"], [["&lt;a ~~b"]]).to_markdown()


def test_a_latex_table_is_balanced_whatever_the_names_are() -> None:
    """Every special sign is escaped, and each row has as many cells as there are columns."""
    table = Table(f"Caption {EVIL}", ["Expert", "A %"], [[EVIL, "1.0 (0.5–1.5)"], ["b_c", "−2"]], f"Note {EVIL}")
    text = table.to_latex()
    bare = re.sub(r"\\[\\{}&%$#_]|\\text\w+\{\}", "", text)
    assert bare.count("{") == bare.count("}")
    body = text[text.index("\\midrule") : text.index("\\bottomrule")].splitlines()[1:]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in body] == [1, 1]
    assert "b\\_c & $-$2 \\\\" in text
    assert "1.0 (0.5--1.5)" in text
    assert "<script>" not in text


def test_a_markdown_table_keeps_its_cells() -> None:
    """A bar or a line break in a name ends no cell and no row."""
    lines = Table("c", ["Expert", "A"], [[EVIL, "1"]]).to_markdown().splitlines()
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines[2:5]] == [3, 3, 3]
    assert "<script>" not in "".join(lines).replace("\\<", "")


def test_a_csv_table_reads_back() -> None:
    table = Table("c", ["Expert", "A"], [[EVIL, "1"], ["b", ""]])
    assert rows_of(table.to_csv()) == [["Expert", "A"], [EVIL, "1"], ["b", ""]]


@pytest.mark.parametrize(
    ("title", "name"),
    [("Risk, a_b", "risk-a-b"), ("../../etc/passwd", "etc-passwd"), ("é→", "part"), ("x" * 200, "x" * 80)],
)
def test_names_suit_files(title: str, name: str) -> None:
    assert file_name(title) == name


def test_equal_titles_get_different_names() -> None:
    """No chart is lost to another of the same name."""
    named = named_parts([chart("A"), chart("a!"), chart("B")], lambda drawing: drawing.heading)
    assert list(named) == ["a", "a-2", "b"]


def test_every_chart_and_table_of_a_page_is_found() -> None:
    """As many as the page shows."""
    built = Report.of("report.html", page(sources([result("ce"), result("bal", "test")])))
    assert built.html().count('class="chart"') == len(built.figures) > 3
    assert len(list(find_parts(built.page, Table))) == len(built.tables) == 2
    for name in built.figures:
        ET.fromstring(built.figure(name, "svg"))
        assert len(rows_of(built.figure(name, "csv"))) > 1


def test_areas_by_group_have_their_intervals() -> None:
    """Balanced and worst-group ones stand in a table of their own, where the groups are known."""
    grouped = statistics(grouped=True)
    grouped["intervals"]["figures"] |= {"aurc": [0.05, 0.07], "worst_group_aurc": [0.09, 0.12]}
    results = [result("ce")]
    made = sources(results, statistics=analysed(results, analysis=grouped))
    built = Report.of("report.html", page(made))
    [row] = rows_of(built.table("areas-under-the-risk-coverage-curves-val", "csv"))[1:]
    assert row == ["ce", "0.0625 (0.0500–0.0700)", "0.1000", "0.1000 (0.0900–0.1200)"]
    assert "areas-under" not in "".join(Report.of("report.html", page(sources(results))).tables)


def test_a_table_for_a_paper_says_what_was_assumed() -> None:
    """What the tensors do not show stands with the numbers wherever these go."""
    warning = check("assumptions", "failed", level="warning", message="The strides were assumed.")
    built = Report.of("report.html", page(sources([result("ce", checks=[warning]), result("bal", checks=[warning])])))
    assert built.table("results-val", "md").count("The strides were assumed.") == 1
    assert "95 % intervals (percentile bootstrap, stratified by class)" in built.table("results-val", "md")


def test_a_saved_page_has_no_links_and_a_live_one_has_all() -> None:
    """In a bundle they lead to the files beside the page."""
    built = Report.of("report.html", page(sources([result("ce")])))
    assert "<a " not in built.html()
    live = set(re.findall(r'href="(report/[^"]+)"', built.html("report/", "report/bundle")))
    files = {f"figures/{n}.{e}" for n in built.figures for e in FIGURE_TYPES}
    files |= {f"tables/{n}.{e}" for n in built.tables for e in TABLE_TYPES}
    assert live == {f"report/{file}" for file in files} | {"report/bundle"}
    bundle = built.bundle({"any": "thing"})
    assert set(re.findall(r'href="([^"#:]+)"', bundle["index.html"].decode())) == files
    assert set(bundle) == files | {"index.html", "report.json", "SHA256SUMS"}
    sums = dict(line.split("  ")[::-1] for line in bundle["SHA256SUMS"].decode().splitlines())
    assert sums == {path: hashlib.sha256(data).hexdigest() for path, data in bundle.items() if path != "SHA256SUMS"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home.make(tmp_path_factory.mktemp("report"))


def test_files_are_served_for_every_kind_of_job(home: Home) -> None:
    """Those that the listing names, with their types; another name is told which there are."""
    home.settings.internal_dir.mkdir(parents=True)
    services = Services.build(home.settings)
    app: FastAPI = create_app(services.settings)
    app.state.services = services
    site = ExpertJobs.make(home, services.database)
    recompute = site.recomputed()
    gating = site.fitted()
    rejector = site.done(site.rejector(coverages=[0.5, 1.0]))
    evaluation = site.done(site.evaluation(rejectors=[rejector.id]))
    for job_id in (recompute, gating.id, rejector.id, evaluation.id):
        listing = send(app, "GET", f"/jobs/{job_id}/report/files").json()
        for item in (*listing["figures"], *listing["tables"]):
            for file in item["files"]:
                answer = send(app, "GET", f"/jobs/{job_id}/report/{file}")
                assert answer.status_code == 200
                expected = {**FIGURE_TYPES, **TABLE_TYPES}[file.rpartition(".")[2]]
                assert answer.headers["Content-Type"].partition(";")[0] == expected.partition(";")[0]
        with zipfile.ZipFile(io.BytesIO(send(app, "GET", f"/jobs/{job_id}/report/bundle").content)) as archive:
            assert archive.testzip() is None
            record = json.loads(archive.read(f"relogit-{job_id}/report.json"))
            assert record["job"]["id"] == record["verification"]["job"] == job_id
    for file in ("figures/none.svg", "tables/none.tex", "tables/methods.pdf"):
        problem = send(app, "GET", f"/jobs/{evaluation.id}/report/{file}")
        assert (problem.status_code, problem.json()["code"]) == (404, "no-such-file")
    names = [item["name"] for item in send(app, "GET", f"/jobs/{evaluation.id}/report/files").json()["tables"]]
    assert any(name.startswith("methods-on-") for name in names)
    services.database.close()
