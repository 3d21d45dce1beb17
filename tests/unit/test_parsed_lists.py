"""Parsed index lists are kept by content, within their bytes."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import numpy as np
import pytest
from numpy.typing import NDArray

from app.catalog.parsed_lists import ParsedLists


class Parser:
    """Makes an array of so many indices and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, length: int) -> Callable[[], NDArray[np.int64]]:
        def parse() -> NDArray[np.int64]:
            self.calls += 1
            return np.arange(length)

        return parse


def test_equal_content_is_parsed_once() -> None:
    """Another digest is another list, and so is another base's size, against which indices are checked."""
    lists, parser = ParsedLists(1000), Parser()
    first = lists.get("a", 10, parser(3))
    assert lists.get("a", 10, parser(3)) is first
    assert parser.calls == 1
    lists.get("b", 10, parser(3))
    lists.get("a", 11, parser(3))
    assert parser.calls == 3


def test_nobody_can_write_to_a_shared_array() -> None:
    """All who ask get the same one."""
    with pytest.raises(ValueError, match="read-only"):
        ParsedLists(1000).get("a", 10, Parser()(3))[0] = 5


def test_it_keeps_within_its_bytes() -> None:
    """The lists used last stay; one that is too large alone is never kept."""
    lists, parser = ParsedLists(80), Parser()
    for name in ("a", "b", "a", "c"):  # of 32 bytes each: the third drives out `b`
        lists.get(name, 10, parser(4))
    assert parser.calls == 3
    lists.get("a", 10, parser(4))
    assert parser.calls == 3
    lists.get("b", 10, parser(4))
    assert parser.calls == 4
    for _ in range(2):
        lists.get("large", 100, parser(11))
    assert parser.calls == 6
    lists.get("b", 10, parser(4))
    assert parser.calls == 6


def test_what_cannot_be_parsed_is_not_kept() -> None:
    """An error is told each time, and gone once the cause is."""
    lists = ParsedLists(1000)

    def fail() -> NDArray[np.int64]:
        raise ValueError("no list")

    for _ in range(2):
        with pytest.raises(ValueError, match="no list"):
            lists.get(sha256(b"").hexdigest(), 10, fail)
    assert lists.get(sha256(b"").hexdigest(), 10, Parser()(2)).tolist() == [0, 1]
