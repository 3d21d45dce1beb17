"""The machine that the figures are of: what it is, what it runs, how busy it was, and how fast it can multiply."""

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
"""Share of the cores' time that may go to others before figures become doubtful."""


@dataclass(frozen=True)
class Machine:
    """What the figures depend on."""

    date: str
    commit: str
    processor: str
    cores: int
    """That this process may use."""
    caps: str
    memory_gib: float
    system: str
    versions: dict[str, str]
    load: tuple[float, float, float]
    """Processes that ran or wanted to, on average over 1, 5 and 15 minutes before the run."""

    def lines(self) -> list[str]:
        """For people."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [
            f"{self.date}, relogit {self.commit}",
            f"{self.processor}, {self.cores} cores ({self.caps}), {self.memory_gib:.0f} GiB, {self.system}",
            versions,
            f"load average before the run: {' '.join(f'{load:.2f}' for load in self.load)}",
        ]


@dataclass(frozen=True)
class Peak:
    """The most float32 multiply-adds that all cores do at once."""

    gflops: float
    """Billions of floating-point operations a second; a multiply-add counts as two."""
    how: str


def describe() -> Machine:
    """The machine as it is now."""
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
    """The peak of all cores at once: of a loop of multiply-adds in registers, or, without a C compiler, of torch.mm.

    The best of several tries: whatever disturbs one makes it slower.
    """
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is not None:
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "fma"
            source = Path(__file__).with_name("fma.c")
            command = [compiler, "-O3", "-march=native", "-pthread", "-o", str(program), str(source)]
            if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                said = [subprocess.check_output([program, str(cores())], text=True) for _ in range(PEAK_TRIES)]
                best, bits = max((float(gflops), bits) for gflops, bits in map(str.split, said))
                return Peak(best, f"{bits}-bit multiply-adds in registers, all cores at once")
    return Peak(_matrix_gflops(), f"torch.mm of {MATRIX}x{MATRIX}, for want of a C compiler: a lower bound")


@dataclass(frozen=True)
class CoreTime:
    """Seconds of all the machine's cores together, until now."""

    passed: float
    used: float
    """By anybody, or withheld by the host of a virtual machine."""
    own: float
    """By this process and those that it started and that have ended."""

    @classmethod
    def now(cls) -> CoreTime:
        """What Linux tells; nothing passes elsewhere."""
        stat = Path("/proc/stat")
        if not stat.exists():
            return cls(0, 0, 0)
        # user, nice, system, idle, iowait, irq, softirq, steal
        every = [int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in stat.read_text().split()[1:9]]
        return cls(sum(every), sum(every) - every[3] - every[4], sum(os.times()[:4]))

    def others_since(self) -> str:
        """What was not this program's to use since then, for people: where it is much, figures are worth little."""
        now = CoreTime.now()
        if now.passed == self.passed:
            return "This system does not tell how busy it was meanwhile."
        others = (now.used - self.used) - (now.own - self.own)
        share = max(0.0, others) / (now.passed - self.passed)
        advice = " That is too much: measure again when it is quiet." if share > TOLERABLE else ""
        return f"Other programs and the host took {share:.0%} of the cores' time meanwhile.{advice}"


def _matrix_gflops() -> float:
    import torch

    a, b = torch.rand(2, MATRIX, MATRIX)
    took = []
    for _ in range(PEAK_TRIES):
        started = time.perf_counter()
        torch.mm(a, b)
        took.append(time.perf_counter() - started)
    return 2 * MATRIX**3 / min(took) / 1e9


def _commit() -> str:
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    try:
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):
        return importlib.metadata.version("relogit")


def _caps() -> str:
    """What a control group of either version keeps from this process, for people."""
    said = []
    quota = [*_numbers("cpu.max"), *_numbers("cpu/cpu.cfs_quota_us"), *_numbers("cpu/cpu.cfs_period_us")]
    if len(quota) == 2 and 0 < quota[0] < quota[1] * cores():
        said.append(f"capped at {quota[0] / quota[1]:g}")
    for limit in [*_numbers("memory.max"), *_numbers("memory/memory.limit_in_bytes")]:
        if limit < _memory_bytes():
            said.append(f"memory capped at {limit / 2**30:.1f} GiB")
    return ", ".join(said) or "no caps"


def _numbers(name: str) -> list[int]:
    """The numbers in a control group's file; none where it says `max` or is not there."""
    path = Path("/sys/fs/cgroup") / name
    words = path.read_text().split() if path.exists() else []
    return [int(word) for word in words] if "max" not in words else []


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _value_of(path: Path, key: str) -> str:
    """The value behind `key:` in a file of the /proc kind; empty where there is none."""
    if sys.platform != "linux":
        return ""
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
