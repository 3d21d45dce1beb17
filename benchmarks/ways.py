"""The ways to compute the main job's logits without the service, each run in a process of its own.

    python -m benchmarks.ways WAY FOLDER RESULT

runs one way over the installation in FOLDER and writes its times and logits to RESULT (.npz). Each way has a new
process, because threads, allocator and caches of one way must not affect the next. The start of Python and the import
of libraries do not count, neither here nor for the service.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from benchmarks.bare import bare_loop
from benchmarks.installation import Installation
from benchmarks.machine import REPOSITORY
from benchmarks.old_script import old_script
from benchmarks.onnx_runtime import onnx_runtime
from benchmarks.outcome import FIRST, PREPARE, REST, Outcome
from benchmarks.service import BenchmarkError
from worker.device import prepare


@dataclass(frozen=True)
class Way:
    """One way to compute logits."""

    run: Callable[[Installation], Outcome]
    needs: tuple[str, ...] = ()
    """Optional modules that it imports."""
    tuned: bool = True
    """Whether its process is set up like relogit's worker: threads, exact arithmetic, allocator."""

    def installed(self) -> bool:
        """Tell whether its modules are installed."""
        return all(find_spec(module) is not None for module in self.needs)


OLD, ONNX_RUNTIME = "old script's way", "ONNX Runtime"
BARE = {"torch": "torch: bare loop", "openvino": "openvino: bare loop"}
"""Engine of relogit → the way without the service that does the same arithmetic."""

WAYS = {
    OLD: Way(old_script, tuned=False),
    BARE["torch"]: Way(partial(bare_loop, "torch")),
    BARE["openvino"]: Way(partial(bare_loop, "openvino"), ("openvino",)),
    ONNX_RUNTIME: Way(onnx_runtime, ("onnx", "onnxruntime")),
}


def run_way(name: str, installation: Installation) -> Outcome:
    """Run a way in a new process and wait for it.

    Raises:
        BenchmarkError: the process failed; with the end of its output.
    """
    result = installation.root / "outcome.npz"
    command = [sys.executable, "-m", "benchmarks.ways", name, str(installation.root), str(result)]
    process = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        raise BenchmarkError(f"{name} failed with exit status {process.returncode}:\n{process.stderr[-3000:]}")
    with np.load(result) as arrays:
        seconds = {clock: float(arrays[clock]) for clock in (PREPARE, FIRST, REST)}
        return Outcome(list(arrays["logits"]), seconds, float(arrays["rest_share"]))


def main() -> None:
    """Run the way that the command line names, in this process."""
    name, folder, result = sys.argv[1:]
    way = WAYS[name]
    for module in way.needs:
        import_module(module)
    if way.tuned:
        prepare(torch.device("cpu"), workers=1)
    outcome = way.run(Installation(Path(folder)))
    figures = outcome.seconds | {"rest_share": outcome.rest_share}
    np.savez(result, logits=np.stack(outcome.logits), **figures)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
