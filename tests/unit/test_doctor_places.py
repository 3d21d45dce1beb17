"""The doctor's judgement of settings, folders, disks, the store, data sets and memory, out of what was seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from worker.doctor.datasets import Base, DataSet, check_dataset, check_datasets
from worker.doctor.finding import Finding
from worker.doctor.folders import (
    Disk,
    Folder,
    Outputs,
    check_file_system,
    check_folders,
    check_space,
    check_writing,
    file_system_of,
)
from worker.doctor.machine import Machine, check_cores, check_memory, memory_available, quota
from worker.doctor.store import Store, check_store
from worker.doctor.variables import Variables, check_variables

KNOWN = ("RELOGIT_DATA_DIR", "RELOGIT_OUTPUTS_DIR", "RELOGIT_PORT")
ROOMY = Disk("ext4", 10**11, 10**12, free_inodes=900, total_inodes=1000, least_bytes=10**9)
OUTPUTS = Outputs("outputs", disk=ROOMY)
FOLDERS = [
    Folder("RELOGIT_DATA_DIR", "data", "there"),
    Folder("RELOGIT_CHECKPOINTS_DIR", "checkpoints", "there"),
    Folder("RELOGIT_OUTPUTS_DIR", "outputs", "there"),
]
STORE = Store("jobs.sqlite3", version=4, newest=4, oldest=2)
TINY = DataSet(
    name="tiny",
    root="data/tiny",
    bases={"test": Base(images=60), "train": Base(images=80)},
    splits_folder="data/tiny_splits",
    splits=["test", "val"],
    experts_folder="checkpoints/tiny",
    experts=["best_a", "best_b", "final_a"],
)


def bad(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.level != "ok"]


def variables(**names: str) -> Variables:
    return Variables({**names}, KNOWN, env_file=True, folder="here")


def test_known_variables_are_fine() -> None:
    """So are those of the client and the tests."""
    assert not bad(check_variables(variables(RELOGIT_PORT="the environment", RELOGIT_SERVER="the environment")))


def test_a_misspelt_variable_is_told_with_its_neighbour() -> None:
    """And where it stands; one like no other is told with the list."""
    near, far = check_variables(variables(RELOGIT_OUTPUT_DIR=".env", RELOGIT_XYZZY="the environment"))
    assert (near.level, near.do) == ("warning", "RELOGIT_OUTPUTS_DIR may be meant.")
    assert "RELOGIT_OUTPUT_DIR in .env" in near.found
    assert "RELOGIT_PORT" in far.do


def test_a_value_that_cannot_be_is_a_problem() -> None:
    """In the words of the service itself."""
    seen = replace(variables(), wrong="RELOGIT_PORT cannot be 'http'.")
    assert [(one.level, one.found) for one in check_variables(seen)] == [("problem", seen.wrong)]


def test_folders_that_are_there_are_fine() -> None:
    """On a local disk with room."""
    assert not bad(check_folders(FOLDERS, OUTPUTS))


@pytest.mark.parametrize("state", ["missing", "no-folder", "unreadable"])
@pytest.mark.parametrize("index", [0, 1])
def test_data_and_checkpoints_have_to_be_there(state: str, index: int) -> None:
    """The problem names folder and variable."""
    folders = [replace(one, state=state) if i == index else one for i, one in enumerate(FOLDERS)]
    (found,) = bad(check_folders(folders, OUTPUTS))
    assert found.level == "problem"
    assert folders[index].path in found.found
    assert folders[index].variable in found.do


@pytest.mark.parametrize(("makeable", "level"), [(True, "warning"), (False, "problem")])
def test_outputs_may_be_made_by_the_service(makeable: bool, level: str) -> None:
    """Where it may; but they may also be elsewhere, so it is told."""
    folders = [*FOLDERS[:2], replace(FOLDERS[2], state="missing")]
    (found,) = bad(check_folders(folders, replace(OUTPUTS, makeable=makeable)))
    assert found.level == level


def test_outputs_have_to_take_files_and_locks() -> None:
    """Whatever cannot be written is named."""
    seen = replace(OUTPUTS, unwritable=["outputs/.relogit is closed"], lock_error="No locks available")
    assert [one.level for one in check_writing(seen)] == ["problem", "problem"]
    assert not bad(check_writing(OUTPUTS))


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("ext4", "ok"), ("xfs", "ok"), ("btrfs", "ok"), ("fuseblk", "ok"), ("", "ok"),
        ("nfs4", "warning"), ("9p", "warning"), ("fuse.sshfs", "warning"),
        ("overlay", "warning"), ("tmpfs", "warning"),
    ],
)  # fmt: skip
def test_a_job_store_wants_a_disk_of_its_own_host(kind: str, level: str) -> None:
    """Network file systems, a container's layer and memory are warned of."""
    found = check_file_system(replace(OUTPUTS, disk=replace(ROOMY, kind=kind)))
    assert found.level == level
    assert bool(found.do) == (level == "warning")


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [(5e9, 1e11, "ok"), (4.9e9, 1e11, "warning"), (1e9, 1e11, "warning"), (0.9e9, 1e11, "problem"),
     (9e9, 1e12, "warning"), (0, 0, "problem")],
)  # fmt: skip
def test_room_on_the_disk(free: float, total: float, level: str) -> None:
    """A warning below 5 GB or 1 %, a problem below 1 GB."""
    assert check_space("o", replace(ROOMY, free_bytes=int(free), total_bytes=int(total)))[0].level == level


@pytest.mark.parametrize(
    ("free", "total", "levels"),
    [(50, 1000, []), (49, 1000, ["warning"]), (9, 1000, ["problem"]), (0, 0, [])],
)
def test_inodes_run_out_too(free: int, total: int, levels: list[str]) -> None:
    """Where they are counted."""
    assert [
        one.level for one in bad(check_space("o", replace(ROOMY, free_inodes=free, total_inodes=total)))
    ] == levels


def test_the_file_system_is_that_of_the_longest_mount() -> None:
    """By whole names; the later of two mounts on one point is the one that shows."""
    mounts = [
        "/dev/a / ext4 rw",
        "srv:/x /data nfs4 rw",
        "none /data/o tmpfs rw",
        "/dev/b /data/o xfs rw",
        "d /my\\040disk 9p",
    ]
    for path, kind in [("/data/o/x", "xfs"), ("/data/other", "nfs4"), ("/database", "ext4"), ("/my disk/o", "9p")]:
        assert file_system_of(path, mounts) == kind
    assert file_system_of("/data", []) == ""


@pytest.mark.parametrize(
    ("seen", "level", "said"),
    [
        (STORE, "ok", "schema 4"),
        (replace(STORE, there=False), "ok", "no job store yet"),
        (replace(STORE, version=3), "ok", "next start makes it 4"),
        (replace(STORE, version=5), "problem", "newer relogit"),
        (replace(STORE, version=1), "problem", "cannot read"),
        (replace(STORE, version=0), "problem", "cannot read"),
        (replace(STORE, integrity="row 3 missing from index"), "problem", "row 3 missing"),
        (replace(STORE, error="file is not a database"), "problem", "not a database"),
    ],
)
def test_the_store(seen: Store, level: str, said: str) -> None:
    """Whole and of a schema that this relogit knows, or a problem."""
    found = check_store(seen)[0]
    assert (found.check, found.level) == ("store", level)
    assert said in found.found


@pytest.mark.parametrize(
    ("service", "workers", "level"), [(False, 0, "ok"), (True, 1, "ok"), (True, 0, "warning"), (False, 2, "warning")]
)
def test_who_lives(service: bool, workers: int, level: str) -> None:
    """Both or none; one without the other is told."""
    assert check_store(replace(STORE, service=service, workers=workers))[1].level == level


def test_a_sound_data_set_is_one_line() -> None:
    """With what there is of it."""
    (found,) = check_dataset(TINY)
    assert found.level == "ok"
    assert "test 60, train 80; 2 sound index lists; 3 checkpoints, 2 of them with best_" in found.found


def test_a_data_set_that_is_not_there_is_one_line() -> None:
    """With where its files go, whatever else of it is missing."""
    bases = {"test": Base(missing="data/tiny/test.npz"), "train": Base(missing="data/tiny/train.npz")}
    (found,) = check_dataset(replace(TINY, bases=bases, splits=None, experts=None, default=True))
    assert found.level == "warning"
    assert "the default data set" in found.found
    for place in ("data/tiny/test.npz", "data/tiny/train.npz", "data/tiny_splits", "checkpoints/tiny"):
        assert place in found.do


@pytest.mark.parametrize(
    ("seen", "level", "said"),
    [
        (replace(TINY, bases={**TINY.bases, "train": Base(missing="train.npz")}), "warning", "train.npz"),
        (replace(TINY, bases={**TINY.bases, "train": Base(wrong="its md5 is 1")}), "problem", "md5"),
        (replace(TINY, splits=None), "warning", "data/tiny_splits is not there"),
        (replace(TINY, splits=[]), "warning", "no index list"),
        (replace(TINY, wrong_splits={"val": "val_indices.json is not JSON"}), "problem", "list val"),
        (replace(TINY, experts=None), "warning", "checkpoints/tiny is not there"),
        (replace(TINY, experts=[]), "warning", "holds no checkpoint"),
        (replace(TINY, experts=["final_a"]), "warning", "begins with best_"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_named(seen: DataSet, level: str, said: str) -> None:
    """What makes jobs fail is a problem; what is not there may not be wanted."""
    (found,) = check_dataset(seen)
    assert (found.check, found.level) == ("dataset-tiny", level)
    assert said in found.found
    assert found.do


def test_a_declaration_that_cannot_be_read_is_a_problem() -> None:
    """An empty one is a warning."""
    assert [one.level for one in check_datasets([], "datasets.toml is wrong.")] == ["problem"]
    assert [one.level for one in check_datasets([], None)] == ["warning"]


def test_memory_has_to_hold_the_largest_base() -> None:
    """And a worker beside it."""
    seen = Machine(available_bytes=4 * 10**9, base="base 'train' of big", base_bytes=3 * 10**9)
    assert check_memory(seen).level == "ok"
    found = check_memory(replace(seen, available_bytes=4 * 10**9 - 1))
    assert found.level == "warning"
    assert "base 'train' of big takes 3.0 GB" in found.found
    assert check_memory(replace(seen, available_bytes=None)).level == "ok"


def test_a_quota_of_cores_is_told() -> None:
    """For information: jobs are slower than the cores that are seen."""
    assert check_cores(Machine(cores=16, quota_cores=2.0)).do
    assert not check_cores(Machine(cores=2, quota_cores=2.0)).do
    assert not check_cores(Machine(cores=16)).do


@pytest.mark.parametrize(
    ("text", "cores"), [("200000 100000", 2.0), ("max 100000", None), ("-1 100000", None), ("", None), ("5", None)]
)
def test_quotas_are_read(text: str, cores: float | None) -> None:
    """As version 2 of control groups writes them."""
    assert quota(text) == cores


@pytest.mark.parametrize(
    ("limit", "used", "stat", "available"),
    [
        ("max\n", "5\n", "", 8_192_000),
        ("", "", "", 8_192_000),
        ("1000000\n", "400000\n", "", 600_000),
        ("1000000\n", "900000\n", "anon 1\ninactive_file 500000\n", 600_000),
        ("1000000\n", "2000000\n", "", 0),
        ("9223372036854771712\n", "5\n", "", 8_192_000),
    ],
)
def test_a_containers_limit_counts(limit: str, used: str, stat: str, available: int) -> None:
    """But not the pages of files that are given back on demand."""
    assert memory_available("MemTotal: 9 kB\nMemAvailable:    8000 kB\n", limit, used, stat) == available
