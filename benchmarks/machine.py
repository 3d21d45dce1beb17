"""The machine of the figures: hardware, software, load, and peak speed of multiply-adds."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from worker.device import cores

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("torch", "openvino", "onnxruntime", "numpy")
COMPILERS = ("cc", "gcc", "clang")
PEAK_TRIES = 5
MATRIX = 2048
TOLERABLE = 0.05
"""Share of the cores' time that other programs may take before figures become doubtful."""


@dataclass(frozen=True)
class Machine:
    """The hardware and software that figures depend on."""

    date: str
    commit: str
    processor: str
    cores: int
    """Cores that this process may use."""
    caps: str
    memory_gib: float
    system: str
    versions: dict[str, str]
    load: tuple[float, float, float]
    """Mean number of runnable processes over 1, 5 and 15 minutes before the run."""

    def lines(self) -> list[str]:
        """Format the machine for people."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [
            f"{self.date}, relogit {self.commit}",
            f"{self.processor}, {self.cores} cores ({self.caps}), {self.memory_gib:.0f} GiB, {self.system}",
            versions,
            f"load average before the run: {' '.join(f'{load:.2f}' for load in self.load)}",
        ]


@dataclass(frozen=True)
class Peak:
    """The peak rate of float32 multiply-adds on all cores."""

    gflops: float
    """Billions of floating-point operations a second; a multiply-add counts as two."""
    how: str


def describe() -> Machine:
    """Describe the machine in its present state."""
    versions = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return Machine(
        date=time.strftime("%Y-%m-%d %H:%M %Z"),
        commit=_commit(),
        processor=_value_of(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine(),
        cores=cores(),
        caps=_caps(),
        memory_gib=_memory_bytes() / 2**30,
        system=f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        versions=versions,
        load=os.getloadavg(),
    )


def measure_peak() -> Peak:
    """Measure the peak rate of multiply-adds on all cores.

    It runs a loop of multiply-adds in registers or, without a C compiler, torch.mm. The best of several tries counts,
    because disturbances only slow a try down.
    """
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is not None:
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "fma"
            source = Path(__file__).with_name("fma.c")
            command = [compiler, "-O3", "-march=native", "-pthread", "-o", str(program), str(source)]
            if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                outputs = [subprocess.check_output([program, str(cores())], text=True) for _ in range(PEAK_TRIES)]
                best, bits = max((float(gflops), bits) for gflops, bits in map(str.split, outputs))
                return Peak(best, f"{bits}-bit multiply-adds in registers, all cores at once")
    return Peak(_matrix_gflops(), f"torch.mm of {MATRIX}x{MATRIX}, without a C compiler: a lower bound")


@dataclass(frozen=True)
class CoreTime:
    """Seconds of all the machine's cores together, until now."""

    passed: float
    busy: float
    """Seconds taken by all programs, or by the host of a virtual machine."""
    own: float
    """Seconds taken by this process and by its children that have ended."""

    @classmethod
    def now(cls) -> CoreTime:
        """Read the times from Linux; all are 0 on other systems."""
        stat = Path("/proc/stat")
        if not stat.exists():
            return cls(0, 0, 0)
        # user, nice, system, idle, iowait, irq, softirq, steal
        seconds = [int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in stat.read_text().split()[1:9]]
        return cls(sum(seconds), sum(seconds) - seconds[3] - seconds[4], sum(os.times()[:4]))

    def others_since(self) -> str:
        """Report the share of the cores' time that other programs took.

        Figures are worth little if the share is large.
        """
        now = CoreTime.now()
        if now.passed == self.passed:
            return "This system does not report how busy it was during the run."
        other_s = (now.busy - self.busy) - (now.own - self.own)
        share = max(0.0, other_s) / (now.passed - self.passed)
        advice = " That is too much: measure again when it is quiet." if share > TOLERABLE else ""
        return f"Other programs and the host took {share:.0%} of the cores' time meanwhile.{advice}"


def _matrix_gflops() -> float:
    import torch

    a, b = torch.rand(2, MATRIX, MATRIX)
    times = []
    for _ in range(PEAK_TRIES):
        started = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - started)
    return 2 * MATRIX**3 / min(times) / 1e9


def _commit() -> str:
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    try:
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):
        return importlib.metadata.version("relogit")


def _caps() -> str:
    """Format the limits of this process's control group, of either version."""
    limits = []
    quota = [*_numbers("cpu.max"), *_numbers("cpu/cpu.cfs_quota_us"), *_numbers("cpu/cpu.cfs_period_us")]
    if len(quota) == 2 and 0 < quota[0] < quota[1] * cores():
        limits.append(f"capped at {quota[0] / quota[1]:g}")
    for limit in [*_numbers("memory.max"), *_numbers("memory/memory.limit_in_bytes")]:
        if limit < _memory_bytes():
            limits.append(f"memory capped at {limit / 2**30:.1f} GiB")
    return ", ".join(limits) or "no caps"


def _numbers(name: str) -> list[int]:
    """Read the numbers in a control group's file.

    There are none if the file is absent or contains `max`.
    """
    path = Path("/sys/fs/cgroup") / name
    words = path.read_text().split() if path.exists() else []
    return [int(word) for word in words] if "max" not in words else []


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _value_of(path: Path, key: str) -> str:
    """Read the value of `key:` in a file of /proc, else an empty text."""
    if sys.platform != "linux":
        return ""
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
