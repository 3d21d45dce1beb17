"""The picture of a set of splits on the report page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import pytest

from app.report.split_picture import ClassGroups, ShownList, ShownSet, SplitSet, class_counts, split_set
from app.report.svg import Axis, Bands, Chart, LogAxis, Steps, apart, log_axis
from tests.rendering import render
from tests.unit.report_inputs import result, sources


def one_list(name: str, counts: Sequence[int] | None, *, base: str | None = "train", **more: Any) -> ShownList:
    return ShownList(name, base, sum(counts or []), counts, **more)


def grouped(train_counts: Sequence[int], source: str = "train_class_counts.json") -> ClassGroups:
    """Groups of the classes with these train counts."""
    labels = range(len(train_counts))
    return ClassGroups(
        source,
        20,
        train_counts,
        head=[c for c in labels if train_counts[c] > 20],
        tail=[c for c in labels if train_counts[c] <= 20],
        many=[c for c in labels if train_counts[c] > 100],
        medium=[c for c in labels if 20 <= train_counts[c] <= 100],
        few=[c for c in labels if train_counts[c] < 20],
    )


def listing(lists: Sequence[ShownList], groups: ClassGroups | None = None, name: str = "lt") -> ShownSet:
    return ShownSet(name, lists, groups)


TRAIN = [20, 500, 3, 120, 20]
"""By falling count: classes 1, 3, 0, 4, 2. Many are two, medium two, few one; head two, tail three."""


def drawn(found: ShownSet) -> ET.Element:
    return ET.fromstring(class_counts(found))


def shown(found: ShownSet) -> SplitSet:
    made = split_set(found)
    assert made is not None
    return made


def numbers(path: ET.Element) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+", path.get("d", ""))]


def lines(picture: ET.Element) -> list[ET.Element]:
    return [path for path in picture.findall("path") if path.get("class", "").startswith("line")]


def words(picture: ET.Element) -> list[str]:
    return [str(text.text) for text in picture.findall("text")]


def test_a_decade_is_as_high_as_any_other() -> None:
    """On a scale of logarithms the middle lies at the root of the ends' product; outside values lie at the ends."""
    axis = LogAxis("samples", (1.0, 10.0, 100.0))
    assert [axis.share(value) for value in (1, 10, 100, 1000, 0.1)] == pytest.approx([0, 0.5, 1, 1, 0])


@pytest.mark.parametrize(
    ("highest", "ticks"), [(0, [1, 10]), (1, [1, 10]), (9, [1, 10]), (500, [1, 10, 100]), (1000, [1, 10, 100, 1000])]
)
def test_counts_have_ticks_at_powers_of_ten(highest: float, ticks: list[float]) -> None:
    """From 1 on; one sample stands clear of the axis, and the highest count lies below the upper end."""
    axis = log_axis("samples", highest)
    assert list(axis.ticks) == ticks
    assert axis.share(1) > 0.04
    assert axis.high > highest


def test_steps_join_neighbours_and_leave_a_gap_where_there_is_nothing() -> None:
    """Each level reaches half a step to both sides; equal neighbours are one stretch."""
    chart = Chart("t", "d", Axis("x", (0.0, 4.0), (-0.5, 4.5)), Axis("y", (0.0, 10.0)), 48 + 12 + 500, 12 + 38 + 100)
    (path,) = lines(ET.fromstring(chart.draw([Steps([10, 10, 5, None, 0], "line")])))
    assert path.get("d") == "M48.00 12.0H248.00V62.0H348.00M448.00 112.0H548.00"


def test_bands_have_their_words_above_the_picture_and_rules_between_them() -> None:
    """A word in the middle of its band, the bars of two bands apart, one rule over the picture's whole height."""
    x, y = Axis("x", (0.0, 4.0), (-0.5, 4.5)), Axis("y", (0.0, 10.0))
    chart = Chart("t", "d", x, y, 48 + 12 + 500, 12 + 18 + 38 + 100, rows=1)
    picture = ET.fromstring(chart.draw([Bands(["few", "many"], [1, 4], "rule")]))
    (rule,) = picture.findall("path[@class='rule']")
    assert rule.get("d") == "M148.00 30.0V130.0"
    bars = [path.get("d") for path in picture.findall("path[@class='axis']")][-2:]
    assert bars == ["M49.00 27.0H147.00", "M149.00 27.0H547.00"]
    placed = [(text.text, text.get("x"), text.get("y")) for text in picture.findall("text")][-2:]
    assert placed == [("few", "98.0", "23.0"), ("many", "348.0", "23.0")]


def test_words_of_narrow_bands_move_apart() -> None:
    """None lies upon its neighbour or beyond an end, and one that has room stays where it is."""
    assert apart([50, 150], [40, 40], (0, 200)) == [50, 150]
    placed = apart([1, 2, 99], [20, 20, 20], (0, 100))
    assert (placed[0], placed[2]) == (10, 90)
    assert placed[1] == pytest.approx(10 + 20 + 6.6)


def test_classes_go_by_falling_train_samples_and_equal_ones_by_number() -> None:
    """All lists have that order; the ticks name the classes, and the axis says what they go by."""
    picture = drawn(listing([one_list("train", TRAIN), one_list("val", [1, 2, 3, 4, 5])], grouped(TRAIN)))
    assert "class number, by falling train samples" in words(picture)
    ticks = [str(text.text) for text in picture.findall("text[@class='middle']")]
    assert ticks[ticks.index("class number, by falling train samples") - 5 :][:5] == ["1", "3", "0", "4", "2"]
    train, val = lines(picture)
    assert train.get("d", "").count("V") == 3, "classes 0 and 4 have the same count, and lie side by side"
    heights = numbers(val)[1::2]
    samples = [2, 4, 1, 5, 3]  # of classes 1, 3, 0, 4, 2
    assert sorted(range(5), key=lambda i: -heights[i]) == sorted(range(5), key=lambda i: samples[i])


def test_without_groups_classes_go_by_number() -> None:
    """There is no band then, no legend, and the axis says so."""
    picture = drawn(listing([one_list("train", TRAIN)]))
    ticks = [str(text.text) for text in picture.findall("text[@class='middle']")]
    assert ticks[:6] == ["0", "1", "2", "3", "4", "class number"]
    assert not [path for path in picture.findall("path") if "rule" in path.get("class", "")]
    assert not re.search("many|head", str(picture.findtext("desc")))
    made = shown(listing([one_list("train", TRAIN)]))
    assert (made.groups, made.source) == ((), None)


def test_groups_end_where_their_classes_do() -> None:
    """Rules after two and four of five classes, and a whole one where the head ends; each word has its count."""
    picture = drawn(listing([one_list("train", TRAIN)], grouped(TRAIN)))
    places = {
        style: [numbers(path)[0] for path in picture.findall(f"path[@class='{style}']")]
        for style in ("rule dotted", "rule")
    }
    assert places == {"rule dotted": [48 + 380 * 2 / 5, 48 + 380 * 4 / 5], "rule": [48 + 380 * 2 / 5]}
    above = [(text.text, text.get("y")) for text in picture.findall("text") if str(text.text)[0] in "mfht"]
    upper, lower = str(12 + 18 - 3 - 4.0), str(12 + 2 * 18 - 3 - 4.0)
    assert above[:3] == [("many 2", upper), ("medium 2", upper), ("few 1", upper)]
    assert above[3:] == [("head 2", lower), ("tail 3", lower)]
    assert str(picture.findtext("desc")).endswith(
        "Groups: many 2 classes, medium 2 classes, few 1 class, head 2 classes, tail 3 classes."
    )


def test_a_group_without_classes_has_no_band() -> None:
    """Neither a word nor a rule; the legend counts it as none."""
    found = listing([one_list("train", [500] * 5)], grouped([500] * 5))
    picture = drawn(found)
    assert [word for word in words(picture) if word[0] in "mfht"] == ["many 5", "head 5"]
    assert not [path for path in picture.findall("path") if "rule" in path.get("class", "")]
    made = shown(found)
    assert made.groups == [
        ("many", "more than 100 train samples; 5 classes, 2,500 samples"),
        ("medium", "20 to 100; 0 classes, 0 samples"),
        ("few", "fewer than 20; 0 classes, 0 samples"),
        ("head", "more than 20; 5 classes, 2,500 samples"),
        ("tail", "at most 20; 0 classes, 0 samples"),
    ]


def test_a_class_without_samples_is_a_gap_and_is_counted() -> None:
    """The line stops and begins again; key and description say of how many classes there are none."""
    found = listing([one_list("val", [4, 0, 4, 0, 4]), one_list("none", [0] * 5)])
    val, none = lines(drawn(found))
    assert (val.get("d", "").count("M"), none.get("d")) == (3, "")
    made = shown(found)
    assert [text for _, _, text in made.key] == ["12 of train, none of 2 classes", "0 of train, none of 5 classes"]
    assert str(drawn(found).findtext("desc")) == (
        "val: 12 of train, none of 2 classes; 4 a class. none: 0 of train, none of 5 classes; no samples."
    )


def test_lists_with_equal_counts_are_said_to_be_so() -> None:
    """Both have their line and their place in the key, which names the list below; so does the description."""
    found = listing([one_list("val", [1] * 5), one_list("test", TRAIN), one_list("tunev", [1] * 5, base=None)])
    made = shown(found)
    assert [text for _, _, text in made.key] == ["5 of train", "663 of train", "5, same counts as val"]
    assert "tunev: 5, same counts as val; 1 a class." in str(drawn(found).findtext("desc"))
    styles = [path.get("class", "") for path in lines(drawn(found))]
    assert styles == ["line c0 d0", "line c1 d1", "line c2 d2"]
    assert all(style in swatch for style, (swatch, _, _) in zip(styles, made.key, strict=True))


def test_a_list_that_is_not_known_has_a_note_and_keeps_its_line_style() -> None:
    """Whoever shares a reason shares the note; the others are drawn as if it were there."""
    lost = [one_list(name, None, base=None, problem="It is no list.") for name in "ab"]
    found = listing([*lost, one_list("c", None, unread=True), one_list("d", None), one_list("val", TRAIN)])
    made = shown(found)
    assert made.notes == [
        "a, b: It is no list.",
        "c: No worker has read it yet; reload in a moment.",
        "d: Its samples are not counted by class.",
    ]
    assert [name for _, name, _ in made.key] == ["val"]
    assert [path.get("class") for path in lines(drawn(found))] == ["line c4 d4"]


def test_where_nothing_is_known_there_is_no_picture() -> None:
    """An answer that is not to be had is no section; lists that nobody has read are a note without a picture."""
    assert split_set(None) is None
    assert split_set(listing([])) is None
    made = shown(listing([one_list("val", None, unread=True)]))
    assert (made.picture, len(made.notes)) == (None, 1)
    assert "<h2>Splits</h2>" not in render(sources([result("a")]))


def test_the_page_has_the_picture_with_its_key_and_legend() -> None:
    """Whatever the names hold is shown as text."""
    evil = '<img src=x onerror="alert(1)">'
    lists = [one_list(evil, TRAIN, base=evil), one_list("2", TRAIN), one_list("3", None, problem=evil)]
    found = listing(lists, grouped(TRAIN, evil), evil)
    html = render(sources([result("a")], splits=found))
    root = ET.fromstring(re.sub(r"<!DOCTYPE html>|<(meta|link)[^>]*>", "", html))
    (section,) = root.findall(".//section[@class='set']")
    assert len(section.findall("figure/svg")) == 1
    assert ["".join(item.itertext()).split() for item in section.findall(".//li")] == [
        [*evil.split(), "663", "of", *evil.split()],
        ["2", "663", "of", "train,", "same", "counts", "as", *evil.split()],
    ]
    assert section.findtext("p[@class='note']") == f"3: {evil}"
    assert " ".join("".join(section.findall("p")[-1].itertext()).split()) == (
        "many: more than 100 train samples; 2 classes, 620 samples; medium: 20 to 100; 2 classes, 40 samples; "
        "few: fewer than 20; 1 class, 3 samples; head: more than 20; 2 classes, 620 samples; "
        f"tail: at most 20; 3 classes, 43 samples. Train samples as in {evil}."
    )


@pytest.mark.parametrize("classes", [1, 10, 100, 1000])
def test_any_number_of_classes_fits(classes: int) -> None:
    """No mark or word leaves the picture, and it stays small."""
    counts = [int(1280 * (1 / 256) ** (c / max(classes - 1, 1))) for c in range(classes)]
    svg = class_counts(listing([one_list("train", counts), one_list("val", [1] * classes)], grouped(counts)))
    picture = ET.fromstring(svg)
    train, val = lines(picture)
    assert numbers(val)[0::2] == [48.0, 428.0], "a flat line is one stretch, from end to end"
    assert max(numbers(train)) <= 428
    middles = [text for text in picture.findall("text[@class='middle']") if text.get("x")]
    wide = [(float(text.get("x", "")), 6.6 * len(str(text.text)) / 2) for text in middles]
    assert all(middle - half >= 0 and middle + half <= 440 for middle, half in wide)
    assert len(svg) < 16_000


def test_a_list_with_labels_beyond_the_classes_of_others_is_drawn_with_them() -> None:
    """Lists may point into bases of different labels: whichever has no such class has a gap there."""

    def right_end(line: ET.Element) -> float:
        return float(line.get("d", "").rpartition("H")[2])

    val, other = lines(drawn(listing([one_list("val", [1, 2]), one_list("other", [1, 2, 0, 4])])))
    assert (right_end(val), right_end(other)) == (48 + 380 / 2, 428)
    (longer,) = lines(drawn(listing([one_list("val", [1] * 7)], grouped(TRAIN))))
    assert right_end(longer) == 428
    (shorter,) = lines(drawn(listing([one_list("val", [1] * 3)], grouped(TRAIN))))
    assert shorter.get("d", "").count("M") == 3, "of the order 1, 3, 0, 4, 2, it has no samples of 3 and 4"
