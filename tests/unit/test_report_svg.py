"""The charts of the report page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from app.domain.analyses import Statistics
from app.domain.evaluations import CalibrationBin
from app.report.pictures import calibration, line_style, reliability, risk_coverage
from app.report.recall_picture import recall_by_class
from app.report.svg import UNIT, Area, Axis, Bars, Chart, Dot, Line, ticks_between, ticks_to
from tests.unit.report_inputs import statistics

CHART = Chart("A title", "A description", Axis("across", UNIT), Axis("up", (0.0, 5.0, 10.0)), 400, 300)
LEFT, RIGHT, TOP, BOTTOM = 48, 400 - 12, 12, 300 - 38


def test_a_scale_reaches_from_one_end_of_its_axis_to_the_other() -> None:
    """The lowest value lies in the lower left corner, the highest in the upper right one; none leaves the picture."""
    assert CHART.at(0, 0) == (LEFT, BOTTOM)
    assert CHART.at(1, 10) == (RIGHT, TOP)
    assert CHART.at(0.5, 5) == ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2)
    assert CHART.at(7, -3) == (RIGHT, BOTTOM)


def test_a_line_has_every_point() -> None:
    """Each point given is a point of the path, in its order."""
    drawn = ET.fromstring(CHART.draw([Line([(0, 0), (0.5, 5), (1, 10)], "line c0 d0")]))
    (path,) = drawn.findall("path[@class='line c0 d0']")
    numbers = [float(number) for number in re.findall(r"[\d.]+", path.get("d", ""))]
    assert numbers == [LEFT, BOTTOM, (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2, RIGHT, TOP]


def test_a_bar_stands_for_each_known_height() -> None:
    """A height of None leaves its place empty, and does not move the others."""
    chart = Chart("t", "d", Axis("class", (0.0, 1.0, 2.0), (-0.5, 2.5)), Axis("recall", UNIT))
    drawn = ET.fromstring(chart.draw([Bars([1.0, None, 0.5], "bar")]))
    (path,) = drawn.findall("path[@class='bar']")
    bars = re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)", path.get("d", ""))
    drawn_at = [float(number) for bar in bars for number in bar]
    expected = [(chart.at(place - 0.4, 0), chart.at(0, height)[1]) for place, height in ((0, 1.0), (2, 0.5))]
    assert drawn_at == pytest.approx([n for corner, top in expected for n in (*corner, top)], abs=0.01)


def test_a_chart_is_an_image_with_title_and_description() -> None:
    """Its marks have names; markup in a title, a label or a name is shown, not obeyed."""
    chart = Chart("<b>&", "<i>", Axis("<u>", UNIT), Axis("up", UNIT))
    drawn = ET.fromstring(chart.draw([Line([(0, 0), (1, 1)], '"><x', "<script>"), Dot(0.5, 5, 3, "dot", "<p>")]))
    assert drawn.get("role") == "img"
    assert [drawn.findtext("title"), drawn.findtext("desc")] == ["<b>&", "<i>"]
    assert drawn.findtext("circle/title") == "<p>"
    assert {element.tag for element in drawn.iter()} == {"svg", "title", "desc", "path", "circle", "text"}


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (0.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.095, [0, 0.02, 0.04, 0.06, 0.08, 0.1]),
        (0.3, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
        (0.0031, [0, 0.001, 0.002, 0.003, 0.004]),
    ],
)
def test_ticks_are_round_and_hold_the_highest_value(highest: float, ticks: list[float]) -> None:
    """They begin at 0 and end at the first round one that is not below."""
    assert ticks_to(highest) == pytest.approx(ticks)


def test_42_experts_have_lines_of_their_own() -> None:
    """Colour and dashes together tell them apart, and neighbours differ in both."""
    styles = [line_style(number).split()[1:] for number in range(42)]
    assert len({tuple(style) for style in styles}) == 42
    assert all(a != b and c != d for (a, c), (b, d) in pairwise(styles))


def test_there_is_a_curve_for_each_expert_in_each_kind_that_is_known() -> None:
    """Without groups there is one chart, with them three; each holds every expert's line."""
    plain = [(name, number, Statistics.from_dict(statistics())) for number, name in enumerate("ab")]
    assert len(risk_coverage("val", plain)) == 1
    grouped = [(name, number, Statistics.from_dict(statistics(grouped=True))) for number, name in enumerate("abc")]
    charts = [ET.fromstring(chart) for chart in risk_coverage("val", grouped)]
    lines = [
        [path.findtext("title") for path in chart.findall("path") if path.find("title") is not None]
        for chart in charts
    ]
    assert [len(found) for found in lines] == [3, 3, 3]
    assert lines[0] == ["a: area 0.062", "b: area 0.062", "c: area 0.062"]


def test_a_reliability_diagram_shows_the_bins_that_have_rows() -> None:
    """An empty bin has no dot; a dot's area goes with its bin's rows."""
    drawn = ET.fromstring(reliability("a", Statistics.from_dict(statistics()).reliability or ()))
    radii = [float(dot.get("r", "")) for dot in drawn.findall("circle")]
    assert len(radii) == 2
    assert (radii[1] / radii[0]) ** 2 == pytest.approx(1500 / 500, rel=0.05)
    assert "1500 of 2000 rows" in str(drawn.findtext("desc"))


@pytest.mark.parametrize(
    ("classes", "ticks"), [(1, ["0"]), (4, ["0", "1", "2", "3"]), (100, [str(i) for i in range(0, 100, 10)])]
)
def test_classes_have_whole_numbers(classes: int, ticks: list[str]) -> None:
    """The class axis has ticks at whole classes only, at most ten; classes without rows are counted."""
    drawn = ET.fromstring(recall_by_class("a", [0.5] * classes, None))
    said = [text.text for text in drawn.findall("text[@class='middle']")]
    assert said[: len(ticks) + 1] == [*ticks, "class"]
    empty = ET.fromstring(recall_by_class("a", [None] * classes, None))
    assert str(empty.findtext("desc")).endswith(f"{classes} classes have no rows.")


@pytest.mark.parametrize(
    ("lowest", "highest", "ticks"),
    [
        (0.0, 0.05, [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        (-0.031, 0.04, [-0.04, -0.02, 0, 0.02, 0.04]),
        (-0.3, -0.1, [-0.3, -0.25, -0.2, -0.15, -0.1, -0.05, 0]),
        (0.0, 0.0, list(UNIT)),
    ],
)
def test_a_scale_below_0_has_round_ticks_and_0(lowest: float, highest: float, ticks: list[float]) -> None:
    """It covers both ends, and 0 lies on a tick."""
    assert ticks_between(lowest, highest) == pytest.approx(ticks)


def test_an_area_goes_along_its_lower_edge_and_back_along_its_upper_one() -> None:
    """Its outline is closed."""
    drawn = ET.fromstring(CHART.draw([Area([(0, 0, 5), (1, 5, 10)], "band f0")]))
    (path,) = drawn.findall("path[@class='band f0']")
    middle = (TOP + BOTTOM) / 2
    assert (
        path.get("d")
        == f"M{LEFT:.1f} {BOTTOM:.1f}L{RIGHT:.1f} {middle:.1f}L{RIGHT:.1f} {TOP:.1f}L{LEFT:.1f} {middle:.1f}Z"
    )


def test_weighted_rows_are_calibrated_like_rows() -> None:
    """Sizes are shares of the weight; bins without weight are left out."""
    bins = [
        CalibrationBin(0.0, 0.5, 0.0, None, None),
        CalibrationBin(0.5, 0.75, 0.25, 0.6, 0.7),
        CalibrationBin(0.75, 1.0, 0.75, 0.9, 0.4),
    ]
    drawn = ET.fromstring(calibration("a", bins))
    radii = [float(str(dot.get("r"))) for dot in drawn.findall("circle")]
    assert radii[0] / radii[1] == pytest.approx((1 / 3) ** 0.5, abs=0.01)
    assert "those of 75% of the weight are" in str(drawn.findtext("desc"))
