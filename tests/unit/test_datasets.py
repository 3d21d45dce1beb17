"""`datasets.toml`: what is declared is what is read, and what is declared wrongly is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.catalog.datasets import Dataset, read_datasets
from app.domain.errors import RequestError
from tests.fakes import refused

GOOD = {
    "kind": '"npz"',
    "root": '"."',
    "splits": '"splits"',
    "experts": '"experts/x"',
    "mean": "[0, 0.5, 1]",
    "std": "[0.25, 0.5, 1]",
}


def declare(folder: Path, extra: str = "", **keys: str) -> dict[str, Dataset]:
    lines = [f"{key} = {value}" for key, value in (GOOD | keys).items() if value]
    (folder / "datasets.toml").write_text("[mine]\n" + "\n".join(lines) + "\n" + extra, encoding="utf-8")
    return read_datasets(folder)


def refusal(folder: Path, extra: str = "", **keys: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        declare(folder, extra, **keys)
    assert caught.value.code == "datasets-file-invalid"
    assert str(folder / "datasets.toml") in caught.value.message
    return caught.value


def test_a_full_declaration_is_read(tmp_path: Path) -> None:
    """Folders, bases and per-expert overrides arrive as they were written."""
    extra = """
    [mine.bases]
    train = "train"
    [mine.overrides.other]
    mean = [0.1, 0.2, 0.3]
    std = [1, 2, 3]
    [mine.overrides.old]
    option_a_padding = "end"
    """
    dataset = declare(tmp_path, extra, root='"./deep//folder/"')["mine"]
    assert dataset.root == "deep/folder"
    assert (dataset.base_of("train"), dataset.base_of("val")) == ("train", "test")
    assert dataset.base_names() == ("test", "train")
    assert dataset.transform("plain").mean == (0.0, 0.5, 1.0)
    assert (dataset.transform("other").mean, dataset.transform("other").std) == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    assert dataset.override("old").option_a_padding == "end"
    assert dataset.transform("old") == dataset.transform("plain")


def test_an_override_wins_over_the_network_of_all(tmp_path: Path) -> None:
    """Per key: what an expert declares counts, else what all share; the shared keys are told from its own."""
    extra = """
    [mine.network]
    batch_norm_eps = 1e-3
    stage_strides = [1, 2, 2]
    max_pool = false
    [mine.overrides.other]
    batch_norm_eps = 1e-4
    weights = "ema.module"
    max_pool = false
    """
    dataset = declare(tmp_path, extra)["mine"]
    nothing = {"option_a_padding": None, "stem_stride": None, "bottleneck_stride": None}
    assert dataset.assumptions("plain") == nothing | {
        "batch_norm_eps": 1e-3,
        "stage_strides": (1, 2, 2),
        "max_pool": False,
        "weights": None,
        "shared": ("max_pool", "stage_strides", "batch_norm_eps"),
    }
    assert dataset.assumptions("other") == nothing | {
        "batch_norm_eps": 1e-4,
        "stage_strides": (1, 2, 2),
        "max_pool": False,
        "weights": "ema.module",
        "shared": ("stage_strides",),
    }
    stored = Dataset.model_validate(dataset.model_dump(mode="json"))  # as a job keeps it
    assert stored == dataset


@pytest.mark.parametrize(
    ("keys", "extra", "named"),
    [
        ({"colour": '"red"'}, "", "mine.colour"),
        ({"kind": '"cifar"'}, "", "'cifar10', 'cifar100', 'npz' or 'imagefolder'"),
        ({"root": ""}, "", "mine.root"),
        ({"root": '"/etc"'}, "", "mine.root: folder '/etc'"),
        ({"splits": '"../up"'}, "", "mine.splits: folder '../up'"),
        ({"experts": '".hidden"'}, "", "mine.experts"),
        ({"mean": "[0.5, 0.5]"}, "", "mine.mean"),
        ({"mean": "[0.5, 0.5, 0.5, 0.5]"}, "", "mine.mean"),
        ({"mean": "0.5"}, "", "mine.mean"),
        ({"mean": "[0.5, nan, 0.5]"}, "", "mine.mean.1: Input should be a finite number"),
        ({"mean": '["0.5", 0, 0]'}, "", "mine.mean.0"),
        ({"mean": "[true, 0, 0]"}, "", "mine.mean.0"),
        ({"std": "[1, 0, 1]"}, "", "mine.std.1: Input should be greater than 0"),
        ({"std": "[1, -1, 1]"}, "", "mine.std.1"),
        ({"std": "[1, inf, 1]"}, "", "mine.std.1"),
        ({"classes": "0"}, "", "mine.classes"),
        ({"kind": '"cifar10"', "classes": "10"}, "", "classes is for kind npz; cifar10 knows its own"),
        ({"crop": "224"}, "", "resize and crop are for kind imagefolder, not npz"),
        ({}, '[mine.bases]\nval = "../x"', "mine.bases.val: base '../x'"),
        ({}, "[mine.overrides.e]\nmean = [0, 0, 0]", "mine.overrides.e: mean and std go together"),
        ({}, "[mine.overrides.e]\nstd = [1, 1, 1]", "mine.overrides.e: mean and std go together"),
        ({}, "[mine.overrides.e]\nmean = [0, 0, 0]\nstd = [0, 1, 1]", "mine.overrides.e.std.0"),
        ({}, '[mine.overrides.e]\noption_a_padding = "left"', "'symmetric' or 'end'"),
        ({}, "[mine.overrides.e]\ntemperature = 2", "mine.overrides.e.temperature"),
        ({}, "[mine.overrides.e]\nstem_stride = true", "mine.overrides.e.stem_stride"),
        ({}, "[mine.overrides.e]\nweights = ''", "mine.overrides.e.weights"),
        ({}, "[mine.network]\nweights = 'ema'", "mine.network.weights"),
        ({}, "[mine.network]\nmean = [0, 0, 0]", "mine.network.mean"),
        ({}, "[mine.network]\nstage_strides = [1, 2]", "mine.network.stage_strides"),
        ({}, "[mine.network]\nstage_strides = [1, 2, 3]", "mine.network.stage_strides.2"),
        ({}, "[mine.network]\nstage_strides = [1, 2, 2, 2, 2]", "mine.network.stage_strides"),
        ({}, "[mine.network]\nbatch_norm_eps = 0", "mine.network.batch_norm_eps"),
        ({}, "[mine.network]\nbatch_norm_eps = nan", "mine.network.batch_norm_eps"),
        ({}, "[mine.network]\nbatch_norm_eps = '1e-3'", "mine.network.batch_norm_eps"),
        ({}, "[mine.network]\nbottleneck_stride = 'conv3'", "mine.network.bottleneck_stride"),
    ],
)
def test_what_is_declared_wrongly_is_named(tmp_path: Path, keys: dict[str, str], extra: str, named: str) -> None:
    """The message carries the key's full name, and for a choice what there is to choose from."""
    assert named in refusal(tmp_path, extra, **keys).message


def test_every_wrong_key_of_a_data_set_is_named_at_once(tmp_path: Path) -> None:
    """Its owner need not find them one by one; so for other data sets of the file."""
    message = refusal(tmp_path, "[other]\nb = 1\n", colour="1", kind='"x"', std="[0, 1, 1]").message
    assert all(key in message for key in ("mine.colour", "mine.kind", "mine.std.0", "other.b"))


@pytest.mark.parametrize("content", [b"[mine", b"\xff\xfe", b"[a]\n[a]\n", b"key"])
def test_a_file_that_is_no_toml_says_why(tmp_path: Path, content: bytes) -> None:
    """A syntax error is the owner's to mend, not an internal error."""
    (tmp_path / "datasets.toml").write_bytes(content)
    with refused("datasets-file-invalid", "cannot be read as TOML"):
        read_datasets(tmp_path)


def test_a_missing_data_directory_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    """Each says which thing is not there, and what to set or to write."""
    (tmp_path / "file").touch()
    for name in ("nowhere", "file"):  # a variable that points at a file is a wrong variable, not a TOML error
        with refused("data-dir-missing", "RELOGIT_DATA_DIR", str(tmp_path / name)):
            read_datasets(tmp_path / name)
    with refused("datasets-file-missing", "shows how"):
        read_datasets(tmp_path)


def test_an_empty_file_declares_nothing(tmp_path: Path) -> None:
    """No data set is a valid state of a fresh server."""
    (tmp_path / "datasets.toml").touch()
    assert read_datasets(tmp_path) == {}


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", ".relogit"])
def test_a_data_sets_own_name_is_a_plain_name(tmp_path: Path, name: str) -> None:
    """A data set's name becomes a folder's: `experts_dir` prefers the subfolder called like it."""
    declare(tmp_path)
    path = tmp_path / "datasets.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("[mine]", f'["{name}"]'), encoding="utf-8")
    with pytest.raises(RequestError):
        read_datasets(tmp_path)
