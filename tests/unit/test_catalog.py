"""The catalog: what is on disk is found, what is not is answered with what there is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from app.catalog.checkpoints import check_classes, check_precision_range
from app.catalog.folders import Folder
from app.catalog.split_lists import parse_indices
from app.domain.requests import Precision
from tests.fakes import DIGITS, Home, refused
from tests.unit.mapped import mapped


def experts_folder(home: Home) -> Folder:
    return Folder("experts/digits", home.experts)


def splits_folder(home: Home) -> Folder:
    return Folder("digits_splits", home.data / "digits_splits")


# --- data sets and folders ----------------------------------------------------------------------------


def test_an_unknown_data_set_lists_those_that_there_are(home: Home) -> None:
    """Also when there is none."""
    with refused("unknown-dataset", "'cifar'", "There are: digits."):
        home.catalog().dataset("cifar")
    home.declare("")
    with refused("unknown-dataset", "There are none."):
        home.catalog().dataset("digits")


def test_the_declaration_is_read_anew_each_time(home: Home) -> None:
    """Who edits datasets.toml need not restart the service."""
    catalog = home.catalog()
    assert catalog.dataset("digits").classes is None
    home.declare(DIGITS.replace("mean", "classes = 7\nmean", 1))
    assert catalog.dataset("digits").classes == 7


def test_in_a_named_folder_the_subfolder_called_like_the_data_set_comes_first(home: Home) -> None:
    """As in the old scripts; a folder without such a subfolder is meant itself."""
    catalog, checkpoints = home.catalog(), home.settings.checkpoints_dir
    declared = catalog.dataset("digits")
    (checkpoints / "mine").mkdir()
    (home.experts / "digits").mkdir()  # below the declared folder, which is meant as it stands
    found = {given: catalog.experts_folder("digits", declared, given) for given in (None, "experts", "mine")}
    assert found[None] == found["experts"] == Folder("experts/digits", checkpoints / "experts/digits")
    assert found["mine"] == Folder("mine", checkpoints / "mine")


def test_a_folder_that_is_not_there_names_its_variable(home: Home, tmp_path: Path) -> None:
    """And says so when the whole directory is absent."""
    catalog = home.catalog()
    declared = catalog.dataset("digits")
    with refused("experts-dir-missing", str(home.settings.checkpoints_dir / "no"), "name another folder"):
        catalog.experts_folder("digits", declared, "no")
    with refused("splits-dir-missing", str(home.data / "no"), "name another folder"):
        catalog.splits_folder(declared, "no")
    with refused("invalid-name"):
        catalog.splits_folder(declared, "/".join(["a" * 100] * 50))  # plain names, longer than a path can be
    home.settings.checkpoints_dir.rename(tmp_path / "moved")
    with refused("experts-dir-missing", "is not there either", "RELOGIT_CHECKPOINTS_DIR"):
        catalog.experts_folder("digits", declared, None)


@pytest.mark.parametrize("folder", ["../data", "/etc", "a/../..", "", "experts/\0"])
def test_a_folder_from_a_request_stays_below_the_servers_own(home: Home, folder: str) -> None:
    """Both folders that a request may name are checked before the disk is touched."""
    catalog = home.catalog()
    with refused("invalid-name", "experts_dir"):
        catalog.experts_folder("digits", catalog.dataset("digits"), folder)
    with refused("invalid-name", "splits_dir"):
        catalog.splits_folder(catalog.dataset("digits"), folder)


def test_links_that_the_owner_put_there_are_followed(home: Home, tmp_path: Path) -> None:
    """A folder, a checkpoint and a split may lie elsewhere behind a link."""
    (home.settings.checkpoints_dir / "linked").symlink_to(home.experts)
    (home.experts / "best_far.pth").symlink_to(home.write_checkpoint("other.pth").rename(tmp_path / "far.pth"))
    (home.data / "digits_splits" / "far_indices.json").symlink_to(home.write_split("x", [2]).rename(tmp_path / "x"))
    catalog = home.catalog()
    declared = catalog.dataset("digits")
    folder = catalog.experts_folder("digits", declared, "linked")
    assert catalog.checkpoint(folder, "best_", "far").read_bytes() == b"weights"
    assert catalog.read_split(declared, splits_folder(home), "far").indices.tolist() == [2]


# --- experts ------------------------------------------------------------------------------------------


def test_experts_are_the_files_with_the_prefix_and_a_checkpoints_suffix(home: Home) -> None:
    """Sorted by name; hidden files, other suffixes and the bare prefix are none."""
    for name in ("best_th.th", "best_safe.safetensors", "best_.pth", "._best_x.pth", "best_log.txt", "stage1_ce.pth"):
        home.write_checkpoint(name)
    catalog = home.catalog()
    assert list(catalog.experts(experts_folder(home), "best_")) == ["bal", "ce", "safe", "th"]
    assert list(catalog.experts(experts_folder(home), "stage1_")) == ["ce"]
    assert list(catalog.experts(experts_folder(home), ""))[:3] == ["best_", "best_bal", "best_ce"]
    assert catalog.checkpoint(experts_folder(home), "", "stage1_ce").name == "stage1_ce.pth"


def test_a_checkpoint_is_one_file(home: Home) -> None:
    """Two of one stem are an error, not a choice; nor is a link to nowhere a checkpoint, or hides its neighbours."""
    home.write_checkpoint("best_ce.safetensors")
    with refused("checkpoint-ambiguous", "best_ce.pth and best_ce.safetensors", "Keep one of them"):
        home.catalog().checkpoint(experts_folder(home), "best_", "ce")
    (home.experts / "best_gone.pth").symlink_to(home.experts / "nowhere")
    with refused("checkpoint-missing", "best_gone.pth"):
        home.catalog().checkpoint(experts_folder(home), "best_", "gone")


def test_an_unknown_expert_or_prefix_lists_what_there_is(home: Home) -> None:
    """Names for an expert, whole stems for a prefix."""
    catalog = home.catalog()
    with refused("unknown-expert", "'lad'", ".safetensors", "There are: bal, ce."):
        catalog.checkpoint(experts_folder(home), "best_", "lad")
    with refused("unknown-prefix", "'final_'", "Files there: best_bal, best_ce."):
        catalog.checkpoint(experts_folder(home), "final_", "ce")


def test_a_long_list_is_cut_in_the_text_but_not_in_the_details(home: Home) -> None:
    """A message stays readable with a hundred experts."""
    for i in range(30):
        home.write_checkpoint(f"best_e{i:02}.pth")
    with refused("unknown-expert", "and 12 more") as caught:
        home.catalog().checkpoint(experts_folder(home), "best_", "lad")
    assert len(caught.value.details["available"]) == 32


def test_outputs_and_classes_must_be_equal() -> None:
    """Both numbers are named."""
    check_classes("a.pth", 10, "digits", 10)
    with refused("classes-mismatch", "a.pth has 10 outputs", "digits has 3 classes"):
        check_classes("a.pth", 10, "digits", 3)


def test_a_resolved_folder_resolves_to_itself(home: Home) -> None:
    """The job stores the resolved name, and its worker asks the catalog for it again."""
    catalog = home.catalog()
    (home.experts / "digits").mkdir()
    resolved = catalog.experts_folder("digits", catalog.dataset("digits"), "experts")
    assert catalog.experts_at(resolved.name) == resolved


# --- splits -------------------------------------------------------------------------------------------


def test_a_split_is_read_in_its_files_order_against_its_own_base(home: Home) -> None:
    """Repeats are kept; train has more images than test, and only train's split may point at them."""
    catalog = home.catalog()
    declared = catalog.dataset("digits")
    assert catalog.split_names(splits_folder(home)) == ["test", "train", "val"]
    split = catalog.read_split(declared, splits_folder(home), "test")
    assert (split.base, split.indices.tolist()) == ("test", [5, 3, 3, 4])
    assert split.indices.dtype == np.int64
    content = (home.data / "digits_splits/test_indices.json").read_bytes()
    assert split.sha256 == hashlib.sha256(content).hexdigest()
    assert catalog.read_split(declared, splits_folder(home), "train").indices.tolist() == [8, 0]
    home.write_split("val", [8, 0])
    with refused("split-out-of-range", "index 8 at position 0", "'test'", "has 6 images: 0 to 5", "`bases`"):
        catalog.read_split(declared, splits_folder(home), "val")


def test_a_list_is_read_anew_each_time_whatever_its_times_say(home: Home) -> None:
    """A rewrite through a memory map moves no time: the next read has the new indices and their digest."""
    catalog = home.catalog()
    declared, path = catalog.dataset("digits"), home.data / "digits_splits/val_indices.json"
    with mapped(path) as rewriter:
        assert catalog.read_split(declared, splits_folder(home), "val").indices.tolist() == [0, 1, 2]
        for content, expected in ((b"[2, 1, 0]", [2, 1, 0]), (b"[5, 4, 5]", [5, 4, 5])):
            rewriter.write(content)
            split = catalog.read_split(declared, splits_folder(home), "val")
            assert split.indices.tolist() == expected
            assert split.sha256 == hashlib.sha256(content).hexdigest()


def test_a_kept_list_is_held_against_the_base_as_it_is_now(home: Home) -> None:
    """Against its size, and against another base if the declaration says so; a file that is gone is gone."""
    catalog = home.catalog()
    declared = catalog.dataset("digits")
    assert catalog.read_split(declared, splits_folder(home), "val").base == "test"
    home.declare(DIGITS + 'val = "train"\n')
    assert catalog.read_split(catalog.dataset("digits"), splits_folder(home), "val").base == "train"
    home.write_npz("test", 2)
    with refused("split-out-of-range", "has 2 images"):
        catalog.read_split(declared, splits_folder(home), "val")
    catalog.split_path(splits_folder(home), "val").unlink()
    with refused("unknown-split"):
        catalog.read_split(declared, splits_folder(home), "val")


def test_an_unknown_split_lists_those_that_there_are(home: Home) -> None:
    """A name that would leave the folder is refused as a name, whatever lies there."""
    catalog = home.catalog()
    with refused("unknown-split", "'tunev'", "no tunev_indices.json", "There are: test, train, val."):
        catalog.read_split(catalog.dataset("digits"), splits_folder(home), "tunev")
    with refused("invalid-name", "split '../digits_splits/val'"):
        catalog.read_split(catalog.dataset("digits"), splits_folder(home), "../digits_splits/val")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        *((data, "is not JSON") for data in (b"", b"[1, 2", b"1 2", b"\xff\xfe\xfa")),
        *((data, "a JSON") for data in (b"{}", b'{"indices": [1]}', b"3", b"null", b'"012"')),
        pytest.param(b"[" + b"1" * 5000 + b"]", "is not JSON", id="digits"),
        pytest.param(b"[" * 100_000, "is not JSON", id="brackets"),
        (b"[0, true]", "true at position 1, which is not an integer"),
        (b"[0, 1, 2.0]", "2.0 at position 2"),
        (b"[1e0]", "1.0 at position 0"),
        (b"[NaN]", "NaN at position 0"),
        (b'[0, "1"]', '"1" at position 1'),
        (b"[0, null]", "null at position 1"),
        (b"[[0, 1], [2]]", "[0, 1] at position 0"),
    ],
)
def test_what_is_no_flat_list_of_integers_is_refused(data: bytes, says: str) -> None:
    """A truth value and a float are no integers, even where Python thinks them equal."""
    with refused("split-invalid", "val_indices.json", says):
        parse_indices(data, "val_indices.json", "test", 10)


@pytest.mark.parametrize(
    ("data", "row"), [(b"[0, -1]", 1), (b"[10]", 0), (b"[9, 11, -3]", 1), (b"[0, 99999999999999999999999]", 1)]
)
def test_an_index_outside_the_base_is_named_with_its_place(data: bytes, row: int) -> None:
    """The first offender, and the range that would have been right; huge numbers do not wrap around."""
    with refused("split-out-of-range", f"at position {row}", "0 to 9 would have been right"):
        parse_indices(data, "val_indices.json", "test", 10)


@pytest.mark.parametrize("data", [b"[0, 9]", b"\xef\xbb\xbf[0, 9]", b" [0,\r\n9 ]\n", "[0, 9]".encode("utf-16")])
def test_the_same_list_in_any_json_clothing_is_the_same_list(data: bytes) -> None:
    """A byte order mark or line ends of another system are no errors."""
    assert parse_indices(data, "val_indices.json", "test", 10).tolist() == [0, 9]


def test_an_empty_list_or_base_has_an_error_of_its_own() -> None:
    """What is wrong is not the list's form; and no range would have been right for a base without images."""
    with refused("split-empty", "val_indices.json", "an empty list"):
        parse_indices(b"[]", "val_indices.json", "test", 10)
    with refused("split-out-of-range", "has no images") as caught:
        parse_indices(b"[0]", "val_indices.json", "test", 0)
    assert "-1" not in caught.value.message


def test_a_folder_or_a_dangling_link_is_no_split(home: Home) -> None:
    """Neither is listed, and what keeps a file from being read is told as a problem of the split."""
    (home.data / "digits_splits" / "odd_indices.json").mkdir()
    (home.data / "digits_splits" / "gone_indices.json").symlink_to(home.data / "nowhere")
    assert home.catalog().split_names(splits_folder(home)) == ["test", "train", "val"]
    with refused("split-unreadable", "odd_indices.json"):
        home.catalog().read_split(home.catalog().dataset("digits"), splits_folder(home), "odd")


@pytest.mark.parametrize(
    ("largest", "precision", "wider"),
    [
        (65504.0, "fp16", None), (65505.0, "fp16", "Use fp32"), (1e30, "fp16", "Use fp32"), (3.3e38, "bf16", None),
        (3.3e38, "tf32", None), (3.3e38, "fp32", None), (3.39e38, "bf16", "No precision"),
        (3.39e38, "fp32", "No precision"),
    ],
)  # fmt: skip
def test_a_parameter_beyond_the_precision_is_refused(largest: float, precision: Precision, wider: str | None) -> None:
    """fp16 ends at 65504 and the others at 3.38e38; the message has file, figures and what would do."""
    if wider is None:
        check_precision_range("a.pth", largest, precision)
        return
    with refused("weights-overflow", wider, "a.pth", f"{largest:.6g}", precision) as caught:
        check_precision_range("a.pth", largest, precision)
    assert caught.value.details["largest"] == largest


def test_a_list_that_is_read_again_is_the_same_array(home: Home) -> None:
    """Parsing a large one takes long. Another content is another array, and no reader can write to it."""
    catalog = home.catalog()
    dataset = catalog.dataset("digits")
    folder = catalog.splits_folder(dataset, None)
    first = catalog.read_split(dataset, folder, "val")
    assert catalog.read_split(dataset, folder, "val").indices is first.indices
    with pytest.raises(ValueError, match="read-only"):
        first.indices[0] = 1
    path = folder.path / "val_indices.json"
    path.write_text(f"[{first.indices[-1]}]")
    assert catalog.read_split(dataset, folder, "val").indices.tolist() == [first.indices[-1]]
