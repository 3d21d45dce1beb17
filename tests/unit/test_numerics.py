"""Batches, numerics, and the key that rows are kept under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any, Literal

import pytest

from app.domain.errors import RequestError
from app.domain.numerics import ComputeEnvironment, NumericsKey, RowSource, row_source
from app.domain.requests import BatchSize

ARITHMETIC = ComputeEnvironment(
    device="cpu",
    model="AMD EPYC (family 25, model 17, stepping 1)",
    capability="AVX512",
    engine="torch",
    engine_version="2.13.0",
    revision="r1",
    precisions=("fp32", "bf16"),
)
NUMERICS = ARITHMETIC.numerics("fp32", 64)
SOURCE = RowSource(
    tensors_sha256="ab" * 32,
    network={"kind": "CifarResNetSpec", "architecture": "cifar_resnet32", "widths": (16, 32, 64), "declared": None},
    classes=100,
    pixels_sha256="cd" * 32,
    transform={"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)},
    numerics=NUMERICS,
)
KIND: dict[str, tuple[str, Literal["cpu", "cuda"]]] = {
    "openvino": ("openvino", "cpu"),
    "torch-cpu": ("torch", "cpu"),
    "torch-cuda": ("torch", "cuda"),
}
BATCHES: dict[str, dict[BatchSize, int]] = {
    "openvino": {1: 8, 7: 8, 16: 8, 64: 8, 130: 8, 10000: 8, "auto": 8},
    "torch-cpu": {1: 16, 7: 16, 16: 16, 64: 64, 130: 64, 10000: 64, "auto": 64},
    "torch-cuda": {1: 16, 7: 16, 16: 16, 64: 64, 130: 128, 10000: 256, "auto": 256},
}


def arithmetic(engine: str = "torch", device: Literal["cpu", "cuda"] = "cpu") -> ComputeEnvironment:
    return replace(ARITHMETIC, engine=engine, device=device)


@pytest.mark.parametrize(
    ("kind", "wanted", "batch"),
    [(kind, wanted, batch) for kind, batches in BATCHES.items() for wanted, batch in batches.items()],
)
def test_a_batch_is_the_largest_shape_within_the_bound(kind: str, wanted: BatchSize, batch: int) -> None:
    """The bound is kept wherever a shape is that small; below all shapes the smallest is taken."""
    assert arithmetic(*KIND[kind]).batch(wanted) == batch


def test_a_precision_that_is_not_there_is_refused_by_name() -> None:
    """The refusal says what can be had instead."""
    with pytest.raises(
        RequestError, match=r"'tf32' cannot be had from torch on AMD.*; there is fp32, bf16\."
    ) as told:
        ARITHMETIC.numerics("tf32", 64)
    assert (told.value.code, told.value.details) == ("precision-unavailable", {"available": ["fp32", "bf16"]})


def test_numerics_are_those_of_the_worker() -> None:
    """Everything that a worker says of its arithmetic stands in the numerics of its rows."""
    numerics = asdict(arithmetic("openvino").numerics("bf16", 8))
    said = asdict(arithmetic("openvino"))
    del said["precisions"]
    assert numerics == said | {"precision": "bf16", "batch": 8}


@pytest.mark.parametrize(
    ("engine", "device", "precision", "batch", "free"),
    [
        ("torch", "cpu", "fp32", 16, True),
        ("torch", "cpu", "fp32", 64, True),
        ("torch", "cpu", "fp32", 24, False),
        ("torch", "cpu", "bf16", 64, False),
        ("torch", "cuda", "fp32", 64, False),
        ("openvino", "cpu", "fp32", 16, False),
    ],
)
def test_only_where_it_was_measured_does_the_batch_not_matter(
    engine: str, device: Literal["cpu", "cuda"], precision: Literal["fp32", "bf16"], batch: int, free: bool
) -> None:
    """Exact PyTorch on a CPU gives equal bits at multiples of 16; anywhere else the batch is part of the key."""
    found = arithmetic(engine, device).numerics(precision, batch).batch
    assert found == ("any multiple of 16" if free else batch)


def test_arithmetic_survives_the_store() -> None:
    """What a worker recorded as JSON is the value that it had."""
    assert ComputeEnvironment.from_dict(json.loads(json.dumps(asdict(ARITHMETIC)))) == ARITHMETIC


def test_the_key_is_that_of_equal_values() -> None:
    """Neither the order of a mapping's items nor tuples that became lists, as in about.json, change the key."""
    read: dict[str, Any] = json.loads(json.dumps(SOURCE.to_dict()))
    read["network"] = dict(reversed(read["network"].items()))
    again = RowSource(**{**read, "numerics": NumericsKey(**read["numerics"])})
    assert again.network is not SOURCE.network
    assert again.key == SOURCE.key
    assert len(SOURCE.key) == 64


def test_the_key_is_made_of_canonical_json() -> None:
    """A key is the sha256 of sorted JSON without spaces: rows kept by another process are found again."""
    text = json.dumps(SOURCE.to_dict(), sort_keys=True, separators=(",", ":"))
    assert SOURCE.key == hashlib.sha256(text.encode()).hexdigest()


OTHERS: dict[str, Callable[[], RowSource]] = {
    "tensors_sha256": lambda: replace(SOURCE, tensors_sha256="ac" + "ab" * 31),
    "network: kind": lambda: replace(SOURCE, network={**SOURCE.network, "kind": "TorchvisionResNetSpec"}),
    "network: widths": lambda: replace(SOURCE, network={**SOURCE.network, "widths": (16, 32, 65)}),
    "network: None is no False": lambda: replace(SOURCE, network={**SOURCE.network, "declared": False}),
    "network: one more": lambda: replace(SOURCE, network={**SOURCE.network, "padding": "end"}),
    "classes": lambda: replace(SOURCE, classes=10),
    "pixels_sha256": lambda: replace(SOURCE, pixels_sha256="cd" * 31 + "ce"),
    "transform: mean": lambda: replace(SOURCE, transform={**SOURCE.transform, "mean": (0.5, 0.4, 0.3000000001)}),
    "transform: std": lambda: replace(SOURCE, transform={**SOURCE.transform, "std": (0.2, 0.25, 0.31)}),
    "transform: order": lambda: replace(SOURCE, transform={**SOURCE.transform, "mean": (0.3, 0.4, 0.5)}),
    "numerics: precision": lambda: replace(SOURCE, numerics=replace(NUMERICS, precision="tf32")),
    "numerics: device": lambda: replace(SOURCE, numerics=replace(NUMERICS, device="cuda")),
    "numerics: model": lambda: replace(SOURCE, numerics=replace(NUMERICS, model="NVIDIA H200")),
    "numerics: capability": lambda: replace(SOURCE, numerics=replace(NUMERICS, capability="AVX2")),
    "numerics: engine": lambda: replace(SOURCE, numerics=replace(NUMERICS, engine="openvino")),
    "numerics: engine_version": lambda: replace(SOURCE, numerics=replace(NUMERICS, engine_version="2.13.1")),
    "numerics: revision": lambda: replace(SOURCE, numerics=replace(NUMERICS, revision="r2")),
    "numerics: batch": lambda: replace(SOURCE, numerics=replace(NUMERICS, batch=64)),
}


def test_every_ingredient_makes_another_key() -> None:
    """Whatever rows depend on, a change of it alone gives a key of its own."""
    keys = {name: make().key for name, make in OTHERS.items()} | {"none": SOURCE.key}
    assert len(set(keys.values())) == len(keys)
    named = {name.split(":")[0] for name in OTHERS}
    assert named == {field.name for field in fields(RowSource)}
    numerics = {name.removeprefix("numerics: ") for name in OTHERS if name.startswith("numerics: ")}
    assert numerics == {field.name for field in fields(NumericsKey)}


def test_a_worker_and_a_plan_name_the_same_rows() -> None:
    """A passport that has been through the store gives the key that the fresh one gave."""
    passport = SOURCE.to_dict() | {"file": "best_ce.pth", "sha256": "ef" * 32}
    read = json.loads(json.dumps({"passport": passport, "transform": SOURCE.transform}))
    assert row_source(passport, SOURCE.pixels_sha256, SOURCE.transform, NUMERICS) == SOURCE
    assert row_source(read["passport"], SOURCE.pixels_sha256, read["transform"], NUMERICS).key == SOURCE.key


def test_a_number_that_json_does_not_know_is_no_ingredient() -> None:
    """NaN would make a key that nobody else could make; it is an error at once."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = replace(SOURCE, transform={"mean": float("nan")}).key
