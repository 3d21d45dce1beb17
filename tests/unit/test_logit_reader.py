"""Files of logits that anybody may have made: what is read, what is refused, and that nothing else is raised."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from app.domain.errors import JobError
from tests.fakes import refused
from tests.unit.archives import LOGITS, C, N, declared, npy, zipped
from worker.outputs.logit_reader import read_stored
from worker.verify.file_schema import ARTIFACT, BARE

PLAIN: dict[str, Any] = {"logits": LOGITS, "targets": np.arange(N), "predictions": LOGITS.argmax(axis=1)}


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    return tmp_path / "val_logits.npz"


@pytest.fixture
def pt(tmp_path: Path) -> Path:
    return tmp_path / "val_logits.pt"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_is_read_whole(npz: Path, save: Callable[..., None]) -> None:
    """Every array with its values, the bytes' digest and count, compressed or not."""
    save(npz, **PLAIN)
    stored = read_stored(npz, N, C)
    assert stored.form == ARTIFACT
    assert (stored.sha256, stored.size) == (sha256(npz.read_bytes()).hexdigest(), npz.stat().st_size)
    assert stored.arrays.keys() == PLAIN.keys()
    assert all(np.array_equal(stored.arrays[name], PLAIN[name]) for name in PLAIN)


def test_the_order_of_an_array_in_memory_changes_nothing(npz: Path) -> None:
    """Columns first on disk, rows first in meaning."""
    np.savez(npz, logits=np.asfortranarray(LOGITS))
    assert np.array_equal(read_stored(npz, N, C).arrays["logits"], LOGITS)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("tensor", "dtype"),
    [
        (torch.from_numpy(LOGITS), "float32"),
        (torch.from_numpy(LOGITS).half(), "float16"),
        (torch.from_numpy(LOGITS).double(), "float64"),
        (torch.from_numpy(LOGITS).requires_grad_(), "float32"),
        (torch.nn.Parameter(torch.from_numpy(LOGITS)), "float32"),
        (torch.from_numpy(LOGITS.T.copy()).t(), "float32"),
    ],
    ids=["float32", "float16", "float64", "grad", "parameter", "strided"],
)
def test_a_tensor_is_read_in_its_dtype(pt: Path, tensor: Tensor, dtype: str, legacy: bool) -> None:
    """Both formats of torch, whatever the tensor was for."""
    torch.save(tensor, pt, _use_new_zipfile_serialization=not legacy)
    stored = read_stored(pt, N, C)
    assert stored.form == BARE
    assert stored.arrays.keys() == {"logits"}
    assert stored.arrays["logits"].dtype == dtype
    assert np.array_equal(stored.arrays["logits"], tensor.detach().double().numpy().astype(dtype))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"logits": torch.zeros(N, C)}, "a dict"),
        ([torch.zeros(N, C)], "a list"),
        (None, "a NoneType"),
        (torch.zeros(N, C).to_sparse(), "sparse or quantized"),
        (torch.zeros(N, C).to(torch.float8_e4m3fn), "Float8"),
        (torch.zeros(N, C, device="meta"), "meta"),
        (LOGITS, "not a .pt of one plain tensor"),
    ],
    ids=["dict", "list", "none", "sparse", "float8", "meta", "numpy"],
)
def test_a_pt_of_anything_else_is_refused(pt: Path, content: object, said: str) -> None:
    """One plain tensor is right; the sentence says what is there."""
    torch.save(content, pt)
    with refused("logits-unreadable", "val_logits.pt", said):
        read_stored(pt, N, C)


@pytest.mark.filterwarnings("ignore")  # quantized tensors are deprecated; files with them are not gone
def test_a_quantized_tensor_is_refused(pt: Path) -> None:
    """Its integers are no logits."""
    torch.save(torch.quantize_per_tensor(torch.zeros(N, C), 0.1, 0, torch.qint8), pt)
    with refused("logits-unreadable", "sparse or quantized"):
        read_stored(pt, N, C)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_compressed_tensor_is_refused(pt: Path, compression: int) -> None:
    """PyTorch would unpack it whole, a thousand times its size, before its shape can be looked at."""
    torch.save(torch.zeros(N, C), pt)
    with zipfile.ZipFile(pt) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(pt, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    if compression == zipfile.ZIP_STORED:
        assert read_stored(pt, N, C).arrays["logits"].shape == (N, C)
    else:
        with refused("logits-unreadable", "it is compressed", "torch.save"):
            read_stored(pt, N, C)


class _Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_nothing_in_a_file_is_run(tmp_path: Path, suffix: str) -> None:
    """Pickled objects are refused before they are looked at, in an array and in place of a tensor."""
    path, trap = tmp_path / f"val_logits{suffix}", tmp_path / "trap"
    if suffix == ".npz":
        np.savez(path, **PLAIN, more=np.array([_Touch(trap)], object))
    else:
        torch.save(_Touch(trap), path)
    with pytest.raises(JobError) as caught:
        read_stored(path, N, C)
    assert caught.value.code == "logits-unreadable"
    assert not trap.exists()


@pytest.mark.parametrize("name", ["logits", "targets", "notes"])
def test_an_object_array_is_refused_by_name(npz: Path, name: str) -> None:
    """Whichever array it is, the sentence names it, and says what was expected."""
    np.savez(npz, **(PLAIN | {name: np.array([{}, None], object)}))
    with refused("logits-unreadable", f"{name} holds Python objects", "numbers are expected"):
        read_stored(npz, N, C)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:0], lambda data: data[:-30], lambda data: data[: len(data) // 2]]
)
@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_a_file_that_is_cut_off_is_refused(
    npz: Path, pt: Path, suffix: str, damage: Callable[[bytes], bytes]
) -> None:
    """Empty, or without its end."""
    np.savez(npz, **PLAIN)
    torch.save(torch.from_numpy(LOGITS), pt)
    path = npz if suffix == ".npz" else pt
    path.write_bytes(damage(path.read_bytes()))
    with refused("logits-unreadable", path.name):
        read_stored(path, N, C)


def test_changed_bytes_are_never_an_error_of_relogits_own(npz: Path, pt: Path) -> None:
    """Whatever three bytes are changed, the file is read or refused: nothing else is raised, for any format."""
    rng = np.random.default_rng(1)
    np.savez(npz, **PLAIN)
    whole = [(npz, npz.read_bytes())]
    for legacy in (False, True):
        torch.save(torch.from_numpy(LOGITS), pt, _use_new_zipfile_serialization=not legacy)
        whole.append((pt, pt.read_bytes()))
    raised = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, data in whole * 200:
            changed = bytearray(data)
            for place in rng.integers(0, 400, size=3):
                changed[place] = rng.integers(256)
            path.write_bytes(changed)
            try:
                read_stored(path, N, C)
            except JobError:
                raised += 1
    assert raised > 300


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.pt", pickle.dumps([1, 2], protocol=2)[:-3] + b"tt."),
        ("a.npz", b"PK"),
        ("a.npz", b"\x93NUMPY"),
        ("a.pt", b"\x80\x02."),
        ("a.pt", b"\x80\x02X\x01"),
        ("a.pt", b"PK\x05\x06" + b"\0" * 18),
    ],
)
def test_bytes_of_another_kind_are_refused(tmp_path: Path, path: str, content: bytes) -> None:
    """A pickle that pops from nothing, half a magic, an empty archive."""
    (tmp_path / path).write_bytes(content)
    with refused("logits-unreadable", path):
        read_stored(tmp_path / path, N, C)


@pytest.mark.parametrize(
    "member",
    [
        b"", b"\x93NUMPY\x01\x00\x10\x00((((((((((((((((", b"\x93NUMPY\x01\x00\x10\x00'''aaaaaaaaaaaaa",
        b"\x93NUMPY\x03\x00\x04\x00\x00\x00{}\n ", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
        declared("<f4", (-1, 3)), declared("<f4", (-6, -3), b"\0" * 72), declared("<f4", (2**62, 2**62)),
        declared("<f4", (0, 2**62)), declared("<f4", (1,) * 70, b"\0" * 4), declared("<f4", (6, 3), b"\0" * 71),
        declared([("a", "|O")], (6,), b"\0" * 48), declared("nonsense", (6, 3), b"\0" * 72),
    ],
)  # fmt: skip
def test_an_array_with_a_wrong_header_is_refused(npz: Path, member: bytes) -> None:
    """No header, one that is no Python, shapes that no array has, too few bytes, objects in a field."""
    zipped(npz, ("logits.npy", member))
    with refused("logits-unreadable", "val_logits.npz"):
        read_stored(npz, N, C)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_compressed_array_is_refused(npz: Path, compression: int) -> None:
    """Each kind of compression has an error of its own."""
    zipped(npz, ("logits.npy", npy(LOGITS)), compression=compression)
    data = bytearray(npz.read_bytes())
    data[50:90] = b"\xff" * 40
    npz.write_bytes(data)
    with refused("logits-unreadable", "val_logits.npz"):
        read_stored(npz, N, C)


@pytest.mark.parametrize("names", [("logits.npy", "logits.npy"), ("logits.npy", "logits")])
def test_an_array_that_is_there_twice_is_refused(npz: Path, names: tuple[str, str]) -> None:
    """Which of them is meant, nobody can know."""
    zipped(npz, *((name, npy(LOGITS + i)) for i, name in enumerate(names)))
    with refused("logits-unreadable", "holds logits twice"):
        read_stored(npz, N, C)


def test_members_of_other_names_are_listed_but_not_read(npz: Path) -> None:
    """A path that leads out of the folder is a name like any other, and no file is made of it."""
    members = [("logits.npy", npy(LOGITS)), ("../../../logits.npy", npy(np.zeros(4))), ("x/y", npy(1.5))]
    zipped(npz, *members)
    stored = read_stored(npz, N, C)
    assert {name: array.shape for name, array in stored.arrays.items()} == {
        "logits": (N, C),
        "../../../logits": (4,),
        "x/y": (),
    }
    assert list(npz.parent.iterdir()) == [npz]


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    """An upload may be deleted meanwhile; a folder or a link in a loop under a file's name cannot be read."""
    with refused("logits-missing", "val_logits.npz no longer exists"):
        read_stored(tmp_path / "gone" / "val_logits.npz", N, C)
    for name in ("folder_logits.npz", "loop_logits.npz"):
        path = tmp_path / name
        path.mkdir() if name[0] == "f" else path.symlink_to(path)
        with refused("logits-unreadable", name):
            read_stored(path, N, C)


def test_a_bfloat16_tensor_is_named_as_what_it_is(pt: Path) -> None:
    """NumPy has no such type, so it cannot be compared; the error says which ones are right."""
    torch.save(torch.from_numpy(LOGITS).bfloat16(), pt)
    with refused("logits-unreadable", "bfloat16", "float16 or float32"):
        read_stored(pt, N, C)
