"""The page of a comparison: its words, tables, chart and pictures, out of the outcome."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from app.domain.checks import JobReport
from app.domain.comparisons import Cause, ClassRecall, ComparisonOutcome, FlipGroup, Pairing
from app.domain.evaluations import Difference
from app.domain.jobs import JobState
from app.report.class_differences import class_differences
from app.report.comparison_page import Pictures, comparison_page
from app.report.comparison_words import (
    accuracy_sentence,
    gap_sentence,
    mcnemar_sentence,
    p_text,
    pairing_sentence,
)
from tests.rendering import render_comparison
from tests.unit.compared_outcomes import SKIPPED, figures, holm, job, outcome, pair, report, request, same, side

PNG = base64.b64encode(b"\x89PNG picture").decode()


def page(result: ComparisonOutcome | None = None, **more: object) -> str:
    result = result or outcome()
    return render_comparison(job(result=result), report(result), Pictures(**more))  # type: ignore[arg-type]


def text_of(html: str) -> str:
    """What a reader sees, on one line."""
    html = re.sub(r"<(style|head)>.*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_page_tells_what_differs_and_why() -> None:
    """Accuracies, test, flips, cause and caveats; one file without scripts."""
    html = page()
    text = text_of(html)
    for words in (
        "Compared", "On test, ce is right in 39.00 % of 1,000 rows, bal in 41.43 %: +2.43 points (95 % interval "
        "+0.10 to +4.80).", "ce is right where bal is wrong in 41 samples, the other way round in 65; p = 0.0246",
        "The checkpoints hold other weights.", "ce → bal", "other weights", "It is not the probability that they are",
        "Rows are drawn again, experts are not trained again", "comparisons/ce-bal/pairs.csv",
        "Row by row: both have the same list. 1,000 pairs, 900 distinct samples.",
    ):  # fmt: skip
        assert words in text.replace(" .", "."), words
    assert "<script" not in html
    assert "src=" not in html.replace('src="data:', "")


@pytest.mark.parametrize(
    ("difference", "end"),
    [
        (Difference(0.0243, 0.001, 0.048), "+2.43 points (95 % interval +0.10 to +4.80)."),
        (Difference(0.0243, 0.0, 0.048), "+2.43 points (95 % interval 0.00 to +4.80), which may be chance."),
        (Difference(-0.0243, -0.048, -0.001), "−2.43 points (95 % interval −4.80 to −0.10)."),
        (Difference(0.0, 0.0, 0.0), ": no difference."),
    ],
)
def test_a_difference_whose_interval_holds_0_may_be_chance(difference: Difference, end: str) -> None:
    """An interval that ends at 0 contains it."""
    accuracy, *others = figures()
    compared = pair(figures=(replace(accuracy, difference=difference), *others))
    assert accuracy_sentence(compared, 0.95).endswith(end)


def test_holm_decides_whether_two_are_told_apart() -> None:
    """p alone does not, where there are several pairs."""
    assert mcnemar_sentence(holm(pair(), 0.0738), 0.95).endswith("these samples do not tell the two apart.")
    assert mcnemar_sentence(holm(pair(), 0.0492), 0.95).endswith("the two differ in accuracy beyond chance.")
    assert mcnemar_sentence(same(), 0.95) == "ce and old:ce are right in the same samples."
    assert (p_text(0.0246), p_text(1e-9)) == ("0.0246", "1.0e−09")


def test_rows_without_a_partner_are_counted() -> None:
    """Where lists differ, rows are paired by sample."""
    assert pairing_sentence(Pairing("sample", 700, 700, 300, 1)) == (
        "By sample: the lists differ; 300 rows of A and 1 of B have no partner. 700 pairs."
    )
    assert "cannot be compared" in gap_sentence(pair(logits=None))
    assert gap_sentence(same()) == "No row flips. The logits differ by at most 5.7e-05 and by 4e-06 on average."


def test_many_pairs_have_their_causes_in_a_word_at_first() -> None:
    """The details tell them in full, and what was tried where none is proved; some pairs may be left out."""
    unknown = Cause("unknown", "No cause is proved.", excluded=("Not a temperature: 10.6 remains.",))
    warm = Cause("temperature", "B's logits are A's divided by 1.7.", "1.7", "numbers")
    result = outcome(pair(), pair(b="adj", cause=unknown), pair("bal", "adj", cause=warm), skipped=(SKIPPED,))
    text = text_of(page(result))
    assert "Cause: other weights." in text
    assert "Cause: a temperature 1.7." in text
    assert "Tried: Not a temperature: 10.6 remains." in text
    assert "ce → adj, val : The file of adj is gone." in text
    many = outcome(*(pair(b=f"e{number}") for number in range(10)))
    html = page(many)
    assert "And 2 more below." in html
    assert html.count("<details") == 10
    assert html.count('<details class="detail" open') == 6


def test_doubtful_files_stand_at_the_top() -> None:
    """Before any figure of theirs."""
    asked = request(side("ce"), side("bal", doubts=("bal / test failed the check 'targets': 423 of 480.",)))
    text = text_of(render_comparison(job(asked, outcome()), report(outcome()), Pictures()))
    assert text.index("Doubtful files bal: bal / test failed the check") < text.index("In short")
    assert "do not publish figures of them" in text
    assert "Doubtful files" not in text_of(page())


def test_bars_go_up_and_down_in_the_order_of_train_counts() -> None:
    """Each has its class's number below it; the groups stand above."""
    drawn = class_differences(pair(), 20, ("head", "tail"))
    assert drawn is not None
    svg = ET.fromstring(str(drawn))
    bars = {style: svg.find(f"path[@class='{style}']") for style in ("up", "down")}
    tops = {}
    for style, bar in bars.items():
        assert bar is not None
        [(start, end)] = re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)H", bar.attrib["d"])
        tops[style] = float(start) - float(end)
    assert tops["up"] == pytest.approx(3 * -tops["down"], rel=0.02)  # 0.15 and −0.05
    words = [text.text for text in svg.findall("text")]
    assert [word for word in words if word in ("head", "tail")] == ["head", "tail"]
    assert "class, by falling train count" in words
    reordered = pair(classes=(ClassRecall(7, 60, 9, 0.5, 0.5, 0.0), ClassRecall(4, 3, 9, 0.5, 0.25, -0.25)))
    axis = [
        text.text for text in ET.fromstring(str(class_differences(reordered, 20, ("head", "tail")))).findall("text")
    ]
    assert axis.index("7") < axis.index("4")


def test_without_train_counts_there_are_no_groups() -> None:
    """Classes then stand by number; without classes there is no chart."""
    plain = pair(classes=(ClassRecall(0, None, 9, 0.5, 0.75, 0.25),))
    words = [text.text for text in ET.fromstring(str(class_differences(plain, 20, ()))).findall("text")]
    assert "class" in words
    assert "head" not in words
    assert class_differences(pair(classes=()), 20, ()) is None
    assert "with the most train samples" not in page(outcome(plain, group_names=()))


def test_flips_have_pictures_where_there_are_some() -> None:
    """With names of classes, and who is right; what is no base64 is left out."""
    html = page(images={"test/107": PNG}, class_names=("apple", "bear", "cat"))
    assert html.count(f'src="data:image/png;base64,{PNG}"') == 1
    text = text_of(html)
    assert "Label cat A apple, 90 % B ✓ cat, 75 % Row, sample 7, 107" in text
    assert "data:image" not in page(images={"test/107": '"><script>'})
    reason = "The images are not there."
    assert f"No pictures: {reason}" in page(outcome(pictures_reason=reason))


def test_flips_by_group_add_up() -> None:
    """Those that neither has right are the rest; a group without flips has no margin."""
    groups = (FlipGroup("all", 10, 3, 1, 1, 0.5, 0.25, 2.0), FlipGroup("tail", 4, 0, 0, 0, None, None, None))
    content = comparison_page(job(result=outcome(pair(flips=groups))), JobReport("passed"), Pictures()).content
    assert content is not None
    [detail] = content.splits[0].details
    assert [list(row) for row in detail.flip_rows] == [
        ["all", "10", "3", "30.00", "1", "1", "1", "0.5", "0.25", "2"],
        ["tail", "4", "0", "0.00", "0", "0", "0", "–", "–", "–"],
    ]


def test_names_cannot_become_markup() -> None:
    """Labels, sentences and names of classes are escaped."""
    evil = '<img src=x onerror="alert(1)">'
    asked = request(side(evil), side("bal", doubts=(evil,)))
    compared = pair(evil, cause=Cause("unknown", evil, excluded=(evil,)))
    result = outcome(compared, skipped=(replace(SKIPPED, reason=evil),), pictures_reason=evil)
    html = render_comparison(job(asked, result), report(result), Pictures({}, (evil, evil, evil)))
    assert "<img" not in html
    assert "&lt;img src=x" in html


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.FAILED, JobState.CANCELLED])
def test_a_comparison_without_a_result_has_a_page(state: JobState) -> None:
    """It tells why there is nothing."""
    html = render_comparison(job(state=state), JobReport("pending"), Pictures())
    assert "In short" not in html
    assert "comparison" in html
