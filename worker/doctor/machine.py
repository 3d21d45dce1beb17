"""Whether memory and cores are enough, and what a container leaves of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.doctor.finding import Finding, amount, ok, warning

WORKER_BYTES = 10**9
"""What a worker takes beside the images, roughly: PyTorch, an expert, a batch's activations."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What this process may use."""

    available_bytes: int | None = None
    """Of memory; the container's limit counts. None where nothing says."""
    cores: int = 1
    """That the worker starts threads for."""
    quota_cores: float | None = None
    """Time on cores that a container may take; None without a limit."""
    base: str = ""
    """The data set and base that is largest when decoded."""
    base_bytes: int = 0
    """Of its pixels; 0 if unknown."""


def check_machine(seen: Machine) -> list[Finding]:
    """Memory, then cores."""
    return [check_memory(seen), check_cores(seen)]


def check_memory(seen: Machine) -> Finding:
    """The largest base is decoded whole into memory."""
    if seen.available_bytes is None:
        return ok("memory", "Nothing says how much memory is available.")
    said = f"{amount(seen.available_bytes)} of memory is available"
    if not seen.base_bytes:
        return ok("memory", f"{said}.")
    needs = f"{seen.base} takes {amount(seen.base_bytes)} decoded, a worker about {amount(WORKER_BYTES)} beside it"
    if seen.available_bytes < seen.base_bytes + WORKER_BYTES:
        return warning("memory", f"{said}; {needs}.", "Close what takes memory, or raise the container's limit.")
    return ok("memory", f"{said}; {needs}.")


def check_cores(seen: Machine) -> Finding:
    """A quota below the cores that are seen makes threads wait for each other. For information."""
    cores = "1 core" if seen.cores == 1 else f"{seen.cores} cores"
    if seen.quota_cores is not None and seen.quota_cores < seen.cores:
        return ok(
            "cores", f"{cores} are seen, but the container may take the time of {seen.quota_cores:g}.",
            "Give it cores of its own (--cpuset-cpus) rather than a share (--cpus): threads then do not wait.",
        )  # fmt: skip
    return ok("cores", f"{cores}.")


def memory_available(meminfo: str, limit: str, used: str, stat: str) -> int | None:
    """Bytes that can still be had.

    Args:
        meminfo: /proc/meminfo.
        limit: the control group's memory.max (v2) or memory.limit_in_bytes (v1); empty where there is none.
        used: its memory.current or memory.usage_in_bytes.
        stat: its memory.stat; pages of files that nobody uses are given back when memory is wanted.
    """
    fields: Mapping[str, str] = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    number = fields.get("MemAvailable", "").split()
    host = int(number[0]) * 1024 if number else None
    if not limit.strip().isdigit() or not used.strip().isdigit():  # `max`: no limit
        return host
    given_back = sum(int(line.split()[1]) for line in stat.splitlines() if line.startswith("inactive_file "))
    room = max(0, int(limit) - int(used) + given_back)
    return room if host is None else min(host, room)


def quota(cpu_max: str) -> float | None:
    """Cores' worth of time out of a control group's cpu.max, such as `200000 100000`; None for no limit."""
    parts = cpu_max.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or int(parts[1]) == 0:
        return None
    return int(parts[0]) / int(parts[1])
