"""Names from requests: what is let through stays in its folder."""

from __future__ import annotations

import os.path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import RequestError
from app.domain.names import MAX_NAME_BYTES, check_folder, check_name
from tests.fakes import refused

BAD_NAMES = [
    "", ".", "..", "...", "a..b", "../a", "a/b", "/etc/passwd", "a/", "a\\b", "\0", "a\0b", ".hidden", ".relogit",
    " lead", "trail ", "-rf", "a\n", "\n", "a\tb", "a*b", "a?", "~", "a:b", "%2e%2e", "\ud800", "\u202egnp",
    "x" * (MAX_NAME_BYTES + 1), "é" * (MAX_NAME_BYTES // 2 + 1),
]  # fmt: skip
GOOD_NAMES = ["val", "tuneV", "final_calibrated_", "run 2", "a.b", "x(1)", "a-b", "T=1,x@2+3", "Größe", "x" * 120]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_no_plain_segment_is_refused(name: str) -> None:
    """The refusal names the thing and its value, and says what is allowed."""
    with refused("invalid-name", f"expert {name!r} ", "begins with a letter") as caught:
        check_name("expert", name)
    caught.value.message.encode()  # it can be sent, whatever the name was


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_plain_name_comes_back_as_it_is(name: str) -> None:
    """Names that people use, in any script, are let through unchanged."""
    assert check_name("expert", name) == name


def test_only_a_prefix_may_be_empty() -> None:
    """An empty prefix is a prefix; it opens no door for other names."""
    assert check_name("prefix", "", may_be_empty=True) == ""
    with pytest.raises(RequestError):
        check_name("prefix", "../", may_be_empty=True)


@pytest.mark.parametrize(
    ("given_", "clean"), [("a", "a"), ("a/b", "a/b"), (".", "."), ("./a//b/", "a/b"), ("a/./b c", "a/b c")]
)
def test_a_folder_comes_back_without_needless_parts(given_: str, clean: str) -> None:
    """Equal folders get equal names."""
    assert check_folder("splits_dir", given_) == clean


@pytest.mark.parametrize(
    "folder", ["", "/", "//", "/etc", "..", "../a", "a/..", "a/../../b", ".relogit", "a/.git", "a\0b", "~/x", "a/ "]
)
def test_a_folder_outside_the_servers_own_is_refused(folder: str) -> None:
    """The refusal shows the whole folder as it was given, not only its bad part."""
    with refused("invalid-name", f"splits_dir {folder!r}", "relative path", "letters, digits"):
        check_folder("splits_dir", folder)


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(alphabet="a.~/\\\0- \n%é", max_size=8))
def test_no_accepted_name_leaves_its_folder(text: str) -> None:
    """Joined to a folder, whatever was accepted is a visible path at or below it."""
    for check, may_be_deep in ((check_name, False), (check_folder, True)):
        try:
            name = check("name", text)
        except RequestError:
            continue
        path = os.path.normpath(f"/home/{name}")
        assert path == "/home" if name == "." else path == f"/home/{name}"
        assert "/." not in path
        assert may_be_deep or path.count("/") == 2
