"""The cost of two guards: rectifiers that keep NaN, and a sample of rows compared with a plain forward pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that every PyTorch reader knows
from torch import fx

from app.catalog.catalog import Catalog
from app.files.row_store import RowStore
from app.settings import Settings
from app.store.database import Database
from app.store.inspections import InspectionStore
from app.store.jobs import JobStore
from app.store.rates import RateStore
from benchmarks.installation import EXPERTS, RESNET32, SHARES, TRANSFORM, Installation
from benchmarks.plan import Plan
from benchmarks.report import Cell, Column, Report, Table, Target
from worker.compute.engines.choice import choose_engine, make_engine
from worker.compute.engines.folding import fold
from worker.compute.engines.openvino_engine import compile_model
from worker.compute.engines.openvino_model import ModelBuilder
from worker.compute.engines.overflow import leaky
from worker.compute.engines.pixels import normalise
from worker.compute.environment import arithmetic
from worker.compute.logit_source import ExpertFile, LogitSource
from worker.compute.model_cache import ModelCache
from worker.context import Context
from worker.datasets.pools import Pool, Pools
from worker.device import prepare
from worker.evidence.plain_sample import PlainSample
from worker.experts.loading import Assumptions, load_expert
from worker.heartbeat import Heartbeat
from worker.inspections.normalisation import NormalisationInspector
from worker.normalisation import patch_statistics

TIMED = 512
"""Images in each timed loop."""
TURNS = 9
"""Measurements of each loop, in turn."""
CPU = torch.device("cpu")


def run(plan: Plan) -> Report:
    """Time rectifiers that keep NaN, and the plain sample of a job."""
    installation = Installation.make(plan.folder, RESNET32, plan.images)
    prepare(CPU, workers=1)
    rows: list[tuple[Cell, ...]] = []
    ratios = []
    for engine, loops in {"torch": _torch_loops, "openvino": _openvino_loops}.items():
        plan.say(f"rectifiers in {engine}")
        hiding, keeping = _in_turn(*loops(installation))
        ratios.append(keeping / hiding)
        rows.append((f"rectifiers that keep NaN, {engine}, {TIMED} images", hiding, keeping, keeping / hiding - 1))
    sample_s, computing_s, recalled_s = _sample(installation, plan)
    job, more = f"plain sample of a job of {len(EXPERTS) * plan.images:,} rows", sample_s / computing_s
    rows.append((job, computing_s, computing_s + sample_s, more))
    plan.say("statistics of the images")
    started = time.perf_counter()
    patch_statistics(installation.pool()[0])
    statistics_s = time.perf_counter() - started
    rows.append((f"statistics of {plan.images:,} images for mean and std, once a base", None, statistics_s, None))
    columns = (Column("what"), Column("without, s", ".4f"), Column("with, s", ".4f"), Column("more", ".2%"))
    targets = (
        Target("plain sample, share of a job that computes", more, 0.01, at_least=False, form=".2%"),
        Target(f"plain sample, {len(EXPERTS) * len(SHARES)} units of known rows", recalled_s, 0.02, at_least=False,
               form=".4f", unit=" s"),
        Target("rectifiers that keep NaN, time of the slower engine's ratio", max(ratios), 1.01, at_least=False,
               form=".3f"),
    )  # fmt: skip
    title = f"ResNet-32, medians of {TURNS} turns; the sample once for each of {len(EXPERTS)} experts"
    return Report(name="guards", tables=(Table(title, columns, tuple(rows)),), targets=targets, notes=())


def _in_turn(hiding: Callable[[], None], keeping: Callable[[], None]) -> tuple[float, float]:
    """Time two loops in turn, and return their median seconds.

    In turn, because other programs then disturb both alike.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for loop in (hiding, keeping):
        loop()
    for _ in range(TURNS):
        for loop, seconds in zip((hiding, keeping), times, strict=True):
            started = time.perf_counter()
            loop()
            seconds.append(time.perf_counter() - started)
    return median(times[0]), median(times[1])


def _torch_loops(installation: Installation) -> tuple[Callable[[], None], Callable[[], None]]:
    network = load_expert(installation.expert_files()[0]).network
    images, _ = installation.pool()
    pixels = normalise(torch.from_numpy(images[:TIMED]), TRANSFORM)

    def loop(folded: fx.GraphModule) -> Callable[[], None]:
        ready = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        def run_all() -> None:
            with torch.inference_mode():
                for part in torch.split(pixels, 64):
                    ready(part)

        return run_all

    return loop(fold(network)), loop(leaky(fold(network)))


def _openvino_loops(installation: Installation) -> tuple[Callable[[], None], Callable[[], None]]:
    import openvino

    network = load_expert(installation.expert_files()[0]).network
    images, _ = installation.pool()
    pixels = normalise(torch.from_numpy(images[:TIMED]), TRANSFORM).permute(0, 2, 3, 1).numpy()  # [N, H, W, 3]

    class Hiding(ModelBuilder):
        def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return self.ops.relu(args[0]) if target is F.relu else super().call_function(target, args, kwargs)

    def loop(builder: ModelBuilder) -> Callable[[], None]:
        batch = builder.ops.parameter([8, *pixels.shape[1:]], openvino.Type.f32)
        planes = builder.ops.transpose(batch, np.array([0, 3, 1, 2]))
        logits = builder.ops.result(builder.run(planes, enable_io_processing=False))
        compiled = compile_model(openvino.Model([logits], [batch], "expert"), "fp32", torch.get_num_threads())
        queue = openvino.AsyncInferQueue(compiled, 2 * torch.get_num_threads())

        def run_all() -> None:
            for start in range(0, TIMED, 8):
                queue.start_async({0: pixels[start : start + 8]})
            queue.wait_all()

        return run_all

    return loop(Hiding(fold(network))), loop(ModelBuilder(leaky(fold(network))))


def _sample(installation: Installation, plan: Plan) -> tuple[float, float, float]:
    """Measure the plain sample.

    Returns:
        Seconds of the sample, of its job's computing, and of the sample over known rows.
    """
    sample_s = computing_s = recalled_s = 0.0
    settings = Settings(data_dir=installation.data, outputs_dir=installation.root / "outputs", _env_file=None)
    images, labels = installation.pool()
    pool = Pool("test", images, labels, int(labels.max()) + 1, "s" * 64, "p" * 64)
    splits = [installation.split(name) for name in SHARES]
    with closing(Database(settings.store_path)) as database:
        context = _context(settings, database)
        for path in installation.expert_files():
            plan.say(f"computing {path.stem}")
            file = ExpertFile(path, Assumptions(), load_expert(path).passport, TRANSFORM, {"expert": path.stem})
            supply = LogitSource(file, "auto", "fp32", True, context)
            supply.prepare(pool)  # loading is no part of the job's computing here
            for again in (False, True):
                sample = PlainSample(file, context, reuse=True)
                if again:
                    supply = LogitSource(file, "auto", "fp32", True, context)
                for split in splits:
                    started = time.perf_counter()
                    [*_, (_, computed)] = supply.fill(pool, split)
                    computing_s += 0 if again else time.perf_counter() - started
                    started = time.perf_counter()
                    check = sample.check(supply, pool, split, computed, "fp32")
                    seconds = time.perf_counter() - started
                    if again:
                        recalled_s += seconds
                    else:
                        sample_s += seconds
                    if check.verdict != "passed":
                        raise RuntimeError(check.message)
    return sample_s, computing_s, recalled_s


def _context(settings: Settings, database: Database) -> Context:
    catalog, engine = Catalog(settings), choose_engine("auto", CPU)
    return Context(
        settings=settings,
        jobs=JobStore(database),
        inspections=InspectionStore(database),
        rates=RateStore(database),
        catalog=catalog,
        pools=Pools(catalog.bases),
        model_cache=ModelCache(lambda network, setup: make_engine(engine, network, setup)),
        kept=RowStore(settings.rows_dir),
        arithmetic=arithmetic(CPU, engine),
        device=CPU,
        normalisation=NormalisationInspector(settings.patches_dir),
        heartbeat=Heartbeat(settings.store_path),
        stopping=lambda: False,
    )
