"""Jobs over new splits of known rows, which are gathered, verified and written without a forward pass."""

from __future__ import annotations

from statistics import median

from benchmarks.installation import EXPERTS, RESNET32, SHARES, Installation, draw_splits
from benchmarks.plan import Plan
from benchmarks.report import Cell, Column, Report, Table, Target
from benchmarks.service import BenchmarkError, rows, serving

JOBS = 12
LIMIT_S = 0.3


def run(plan: Plan) -> Report:
    """Compute the main job, then send jobs over new splits in two shapes."""
    installation = Installation.make(plan.folder, RESNET32, plan.images)
    shapes = {
        "one split": (plan.images,),
        "three splits": (plan.images // 10, plan.images * 8 // 10, plan.images // 10),
    }
    times: dict[str, list[float]] = {}
    computed = 0
    with serving(installation, installation.root / "outputs") as service:
        plan.say("computing the rows")
        computed_s, _ = service.run(tuple(SHARES), reuse=True)
        for number in range(JOBS):
            plan.say(f"{number + 1} of {JOBS} jobs of each shape")
            for shape, parts in shapes.items():
                names = [f"part{i}" for i in range(len(parts))]
                for name, indices in zip(names, draw_splits(plan.images, parts, seed=number), strict=True):
                    installation.save_split(name, indices)
                seconds, job = service.run(names, reuse=True)
                times.setdefault(shape, []).append(seconds)
                computed += rows(job, "computed")
                if rows(job, "total") != len(EXPERTS) * sum(parts):
                    raise BenchmarkError(f"The job had {rows(job, 'total')} rows.")
    columns = (
        Column("a job of new splits"),
        Column("rows", ",d"),
        Column("median, s", ".3f"),
        Column("slowest, s", ".3f"),
        Column("times faster than computed", ".0f"),
    )
    table_rows: list[tuple[Cell, ...]] = [
        (shape, len(EXPERTS) * sum(shapes[shape]), median(seconds), max(seconds), computed_s / median(seconds))
        for shape, seconds in times.items()
    ]
    title = f"{len(EXPERTS)} experts, {JOBS} jobs of each shape, from the POST until seen succeeded"
    slowest = max(max(seconds) for seconds in times.values())
    targets = (
        Target(
            "new splits of known images, the slowest job", slowest, LIMIT_S, at_least=False, form=".3f", unit=" s"
        ),
        Target("rows computed for them", computed, 1, at_least=False, form="d"),
    )
    notes = (
        f"Computing the {len(EXPERTS) * plan.images:,} rows took {computed_s:.1f} s. The new splits are random, "
        "shuffled, and overlap the old ones and each other.",
    )
    return Report("reuse", (Table(title, columns, tuple(table_rows)),), targets, notes)
