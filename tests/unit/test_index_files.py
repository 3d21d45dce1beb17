"""Index lists from files that other tools wrote, and files that only look like such."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from relogit.errors import InvalidPath
from relogit.index_files import find_lists, read_indices

HEADER = "{'descr': '<i8', 'fortran_order': False, 'shape': %s, }\n"


def npy(header: str) -> bytes:
    """An .npy file of version 2 with that header and five integers."""
    return b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header.encode() + np.arange(5).tobytes()


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.arange(3))
    return stream.getvalue()


def refusal(path: Path) -> str:
    with pytest.raises(InvalidPath) as refused:
        read_indices(path)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.npy", npy(HEADER % "(5,)"), [0, 1, 2, 3, 4]),
        ("x.json", b"[3, -1]", [3, -1]),
        ("x.txt", "\ufeff3 -1,007\n".encode(), [3, -1, 7]),
        ("x.csv", b"label,index\n9, 3\n8,1\n", [3, 1]),
        ("x.csv", b"3\n\n1\n", [3, 1]),
        ("x.csv", b"idx\n3\n", [3]),
    ],
)
def test_whole_numbers_are_read_in_order(tmp_path: Path, name: str, content: bytes, expected: list[int]) -> None:
    """Numbers keep the file's order and their signs; the server judges their range."""
    path = tmp_path / name
    path.write_bytes(content)
    assert read_indices(path) == expected


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.npy", npz(), "does not begin as an .npy file"),
        ("x.npy", b"PK\x03\x04", "does not begin as an .npy file"),
        ("x.npy", npy(HEADER % "(99999999999999,)"), "cut short, or its header is damaged"),
        ("x.npy", npy(HEADER % f"({2**80},)"), "cut short, or its header is damaged"),
        ("x.npy", npy(HEADER % "(True,)"), "cut short, or its header is damaged"),
        ("x.npy", npy("{'descr': ("), "cut short, or its header is damaged"),
        ("x.npy", npy("{'descr': ',i8', 'fortran_order': False, 'shape': (5,), }\n"), "its header is damaged"),
        ("x.npy", npy(HEADER % "(5, 1)"), "integers [N] are expected"),
        ("x.npy", npy(HEADER % "(0,)"), "holds no index"),
        ("x.csv", b"a" * 200_000, "field larger than field limit"),
        ("x.csv", b"index,label\n3,1\n\n,\n", "'' is not a whole number"),
        ("x.csv", b"label,index\n9,3\n8\n", "the row '8' ends before the column 'index'"),
        ("x.csv", b"1_0\n", "'1_0' is not a whole number"),
        ("x.csv", b"", "holds no index"),
        ("x.csv", b"index\n", "holds no index"),
        ("x.txt", b"1 1_0\n", "'1_0' is not a whole number"),
        ("x.txt", "\u0663".encode(), "is not a whole number in the digits 0 to 9"),
        ("x.txt", b"+3", "'+3' is not a whole number"),
        ("x.txt", b" \n", "holds no index"),
        ("x.txt", b"\xff\xfe", "can't decode byte"),
        ("x.json", b"[" * 100_000, "no flat list of whole numbers"),
        ("x.json", b"[]", "holds no index"),
        ("x.json", b"[true]", "a JSON list of integers is expected"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """The error of a file that is no index list names the file and the reason."""
    path = tmp_path / name
    path.write_bytes(content)
    sentence = refusal(path)
    assert sentence.startswith(str(path))
    assert said in sentence


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    """The error has the system's message without its number."""
    (tmp_path / "x.json").mkdir()
    assert refusal(tmp_path / "x.json").endswith("whole numbers: Is a directory.")


@pytest.mark.parametrize("content", ["[0.5, NaN]", "[1e999]", '{"0": 1}', "[true]", "[", "[null]"])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, content: str) -> None:
    """NaN and infinity are refused, because no JSON request can carry them."""
    (tmp_path / "val_indices.json").write_text("[1]")
    (tmp_path / "class_weights.json").write_text(content)
    with pytest.raises(InvalidPath, match=r"class_weights\.json cannot be read"):
        find_lists([tmp_path])


def test_one_name_has_one_file(tmp_path: Path) -> None:
    """Two lists, or two sets of counts, of one name are refused."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}_indices.txt").write_text("1")
        (tmp_path / folder / "train_class_counts.json").write_text("[1]")
    with pytest.raises(InvalidPath, match="are both called 'train_class_counts'"):
        find_lists([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "b" / "train_class_counts.json").unlink()
    assert sorted(find_lists([tmp_path / "a", tmp_path / "b"])[0]) == ["a", "b"]
    (tmp_path / "b" / "a_indices.json").write_text("[1]")
    with pytest.raises(InvalidPath, match="are both called 'a'"):
        find_lists([tmp_path / "a", tmp_path / "b"])


def test_an_unprintable_name_is_refused(tmp_path: Path) -> None:
    """Line ends and undecodable bytes of names reach neither the request nor the terminal."""
    for name in ("a\nb", "a\x1b[31m", "a\udcff"):
        path = tmp_path / f"{name}_indices.txt"
        path.write_text("1")
        with pytest.raises(InvalidPath, match="rename the file") as refused:
            find_lists([tmp_path])
        assert str(refused.value).isprintable()
        path.unlink()


def test_an_unreadable_source_is_named(tmp_path: Path) -> None:
    """A path that is too long for the system is an InvalidPath that names it."""
    with pytest.raises(InvalidPath, match="File name too long"):
        find_lists([tmp_path / ("x" * 300)])
    with pytest.raises(InvalidPath, match="neither a folder nor a file"):
        find_lists([tmp_path / "none"])
