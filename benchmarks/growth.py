"""Growth of time, memory and disk with the number of rows, with a tiny network so that overheads dominate."""

from __future__ import annotations

import shutil

from benchmarks.installation import EXPERTS, TINY, Installation, draw_splits
from benchmarks.plan import Plan
from benchmarks.report import Cell, Column, Report, Table
from benchmarks.service import BenchmarkError, disk_bytes, peak_memory_bytes, rows, serving

MIB = 2**20


def run(plan: Plan) -> Report:
    """Run a computing job and a reusing job for three sizes.

    The sizes are a tenth, once and ten times the images of the main job.
    """
    table_rows: list[tuple[Cell, ...]] = []
    for images in (plan.images // 10, plan.images, plan.images * 10):
        plan.say(f"{images:,} rows an expert")
        installation = Installation.make(plan.folder / str(images), TINY, images)
        (indices,) = draw_splits(images, [images], seed=0)
        installation.save_split("all", indices)
        installation.save_split("again", indices[::-1])
        outputs = installation.root / "outputs"
        with serving(installation, outputs) as service:  # a new service each, because peaks only rise
            pids = (service.worker_pid(), service.process.pid)
            idle = [peak_memory_bytes(pid) / MIB for pid in pids]
            computed_s, _ = service.run(["all"], reuse=True)
            on_disk = disk_bytes(outputs) / MIB
            reused_s, job = service.run(["again"], reuse=True)
            if rows(job, "computed"):
                raise BenchmarkError("Known rows were computed again.")
            peaks = [peak_memory_bytes(pid) / MIB for pid in pids]
        shutil.rmtree(installation.root)
        grown = [peak - before for peak, before in zip(peaks, idle, strict=True)]
        us_per_row = 1e6 / (len(EXPERTS) * images)  # for a job of one second
        table_rows.append(
            (
                f"{images:,}",
                computed_s,
                computed_s * us_per_row,
                reused_s,
                reused_s * us_per_row,
                *peaks,
                *grown,
                on_disk,
            )
        )
    columns = (
        Column("rows an expert"),
        Column("computed, s", ".2f"),
        Column("µs/row", ".0f"),
        Column("reused, s", ".2f"),
        Column("µs/row", ".0f"),
        Column("worker, MiB", ".0f"),
        Column("API, MiB", ".0f"),
        Column("worker grew by", ".0f"),
        Column("API grew by", ".0f"),
        Column("disk, MiB", ".1f"),
    )
    title = f"{len(EXPERTS)} experts of a tiny network, images of {TINY.size}x{TINY.size}, 100 classes"
    notes = (
        "Each size has a service of its own. MiB are a process's peak memory, and by how much it grew with the two "
        "jobs; disk is the size of the outputs after the first job.",
    )
    return Report("growth", (Table(title, columns, tuple(table_rows)),), (), notes)
