"""Array files and sources that several threads read at the same time."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from app.catalog.npz_bases import npz_classes, npz_size
from app.domain.revisions import read_code
from app.domain.syntax_trees import SYNTAX_TREES

ROUNDS, THREADS = 500, 4


SHARED_COUNTER = sys.version_info < (3, 11, 8)


@pytest.fixture
def busy_collector() -> Iterator[None]:
    """Have the garbage collector run all the time, and other threads with it, as on a slow and busy machine."""

    def let_others_run(_phase: str, _info: dict[str, int]) -> None:
        time.sleep(0)

    thresholds = gc.get_threshold()
    gc.callbacks.append(let_others_run)
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(let_others_run)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.npz"
    np.savez(path, images=np.zeros((3, 2, 2, 3), np.uint8), labels=np.arange(3))
    return path


def source_beside(base: Path) -> int:
    """Parse a source file, and return how many statements it has."""
    source = base.with_suffix(".py")
    source.write_text("CLASSES = {name: [1, (2, 3)] for name in ('a', 'b')}\n" * 20)
    return len(read_code(source)[0].splitlines())


@pytest.mark.usefixtures("busy_collector")
def test_threads_may_read_array_files_at_once(base: Path) -> None:
    """Before Python 3.11.8 some of them would meet a SystemError, and a request would be answered with 500."""
    with ThreadPoolExecutor(THREADS) as pool:
        sizes = set(pool.map(lambda _: (npz_size(base), npz_classes(base)), range(ROUNDS)))
    assert sizes == {(3, 3)}


@pytest.mark.skipif(not SHARED_COUNTER, reason="this Python counts the depth of each syntax tree by itself")
@pytest.mark.parametrize("read", [npz_size, npz_classes, source_beside])
def test_a_reader_waits_while_another_thread_parses(base: Path, read: Callable[[Path], int]) -> None:
    """Parsing is never interleaved, however the threads are scheduled."""
    with ThreadPoolExecutor(1) as pool:
        with SYNTAX_TREES:
            reading = pool.submit(read, base)
            with pytest.raises(TimeoutError):
                reading.result(0.2)
        assert reading.result(30) in (3, 20)
