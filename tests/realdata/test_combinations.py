"""Combining, rejecting and evaluating real long-tailed experts, through the service.

The expected values come from a prototype that was written apart from relogit, over the splits of seed 42.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relogit
from app.catalog.bases import Bases
from app.catalog.catalog import Catalog
from app.catalog.labels import read_labels
from app.catalog.split_draw import class_counts, part_balanced
from app.settings import Settings
from tests.integration.workspace import Service, Workspace
from tests.realdata.location import REALDATA, needs_realdata
from tests.realdata.requests import await_end, post

pytestmark = [needs_realdata, pytest.mark.slow, pytest.mark.timeout(600)]

DATASETS = """
[cifar100_lt]
kind = "cifar100"
root = "."
splits = "splits"
experts = "cifar100_lt"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[cifar100_lt.bases]
train = "train"
"""
EXPERTS = ["head_best", "tail_best", "balanced_best"]
"""Trained with cross-entropy, logit adjustment and balanced softmax: the order of the old gate."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The real data linked into an installation, with the test base's parts of seed 42 and the train counts."""
    root = tmp_path_factory.mktemp("combined")
    data = root / "data"
    (data / "splits").mkdir(parents=True)
    (data / "datasets.toml").write_text(DATASETS)
    (data / "cifar-100-python").symlink_to((REALDATA / "cifar-100-python").resolve())
    (root / "checkpoints").mkdir()
    (root / "checkpoints" / "cifar100_lt").symlink_to((REALDATA / "checkpoints" / "cifar100_lt").resolve())
    dataset = Catalog(Settings(data_dir=data, _env_file=None)).dataset("cifar100_lt")
    labels = read_labels(Bases(data), dataset, "test")
    for name, part in zip(("test", "val", "tunev"), part_balanced(labels, 100, (8, 1, 1), 42), strict=True):
        (data / "splits" / f"{name}_indices.json").write_text(json.dumps(part.tolist()))
    counts = class_counts(np.full(100, 500), "exponential", 100.0)
    (data / "splits" / "train_class_counts.json").write_text(json.dumps(counts.tolist()))
    return Workspace(root)


@pytest.fixture(scope="module")
def logits(service: Service) -> str:
    """Id of the job that recomputes all experts' logits."""
    with relogit.Client(service.url) as client:
        job = client.submit(dataset="cifar100_lt", checkpoint_prefix="expert_", splits=["val", "test", "tunev"])
        job.wait(timeout=600)
        assert job.state == "succeeded", job.data
        return str(job.id)


@pytest.fixture(scope="module")
def gating(service: Service, logits: str) -> dict[str, Any]:
    """The combination that all others are compared with."""
    return await_end(service, "gatings", post(service, "gatings", logits=logits, experts=EXPERTS))


@pytest.fixture(scope="module")
def evaluation(service: Service, gating: dict[str, Any]) -> dict[str, Any]:
    """All methods on the test rows."""
    rejectors = [
        await_end(service, "rejectors", post(service, "rejectors", gating=gating["id"], objective=objective))["id"]
        for objective in ("balanced", "worst")
    ]
    request = {"gatings": [gating["id"]], "rejectors": rejectors}
    return await_end(service, "evaluations", post(service, "evaluations", **request))


def _figures(evaluation: dict[str, Any], method: str) -> dict[str, float]:
    methods = {item["name"]: item["figures"] for item in evaluation["result"]["evaluation"]["methods"]}
    return dict(methods[method])


def test_the_log_linear_combination_has_the_prototypes_parameters(gating: dict[str, Any]) -> None:
    """a = (.20106, .18247, .21240) and b = −.62073: the convex problem has one solution."""
    [candidate] = [item for item in gating["result"]["candidates"] if item["method"] == "log-linear"]
    assert candidate["parameters"]["exponents"] == pytest.approx((0.20106, 0.18247, 0.21240), abs=5e-5)
    assert candidate["parameters"]["prior_exponent"] == pytest.approx(-0.62073, abs=5e-5)


def test_pretraining_chooses_the_log_linear_combination(gating: dict[str, Any]) -> None:
    """It has the lowest validate NLL, and 1,000 rows tell it from the simpler ones."""
    assert gating["result"]["method"] == "log-linear"
    assert gating["result"]["checks"][0]["measured"] == {"rows": 1000, "effective": 1000.0}


def test_test_figures_are_the_prototypes(evaluation: dict[str, Any]) -> None:
    """Accuracy and NLL of each combination, within the prototype's tolerances."""
    log_linear, uniform = (_figures(evaluation, f"{name} + msp") for name in ("log-linear", "uniform"))
    assert log_linear["accuracy"] == pytest.approx(0.4889, abs=0.002)
    assert log_linear["nll"] == pytest.approx(1.989, abs=0.003)
    assert uniform["accuracy"] == pytest.approx(0.4261, abs=0.0002)
    assert uniform["nll"] == pytest.approx(2.641, abs=0.001)
    assert _figures(evaluation, "linear + msp")["accuracy"] == pytest.approx(0.4521, abs=0.0005)
    assert _figures(evaluation, "net + msp")["accuracy"] == pytest.approx(0.445, abs=0.006)


def test_figures_are_those_of_the_published_files(
    service: Service, workspace: Workspace, evaluation: dict[str, Any]
) -> None:
    """The mixture's and the rejector's files give the accuracies and coverages that the evaluation shows."""
    outputs = workspace.root / "outputs"
    with np.load(outputs / "gating" / "pretrained" / "test_mixture.npz") as mixture:
        accuracy = float((mixture["predictions"] == mixture["targets"]).mean())
        np.testing.assert_allclose(mixture["probs"].sum(axis=1), 1, atol=1e-5)
        targets = mixture["targets"]
    assert accuracy == pytest.approx(_figures(evaluation, "log-linear + msp")["accuracy"], abs=2.5e-4)
    methods = {item["name"]: item for item in evaluation["result"]["evaluation"]["methods"]}
    for name in ("group-balanced", "group-worst"):
        points = methods[f"log-linear + {name}"]["at_threshold"]
        with np.load(outputs / "argse" / name / "test_decisions.npz") as decisions:
            accepted, predictions = decisions["accepted"], decisions["predictions"]
        for point, rows, classes in zip(points, accepted, predictions, strict=True):
            assert point["coverage"] == pytest.approx(rows.mean(), abs=1e-12)
            assert point["overall"] == pytest.approx((classes != targets)[rows].mean(), abs=1e-12)
        assert accepted[-1].all()


def test_the_group_rule_lowers_the_group_error(evaluation: dict[str, Any]) -> None:
    """What it was fitted for holds on test rows: the worst group's error is below that of the uniform average."""
    methods = {item["name"]: item for item in evaluation["result"]["evaluation"]["methods"]}
    difference = methods["log-linear + group-worst"]["differences"]["worst_aurc_grid"]
    assert difference["high"] < 0


def test_the_commands_give_equal_bytes(
    service: Service, workspace: Workspace, logits: str, evaluation: dict[str, Any]
) -> None:
    """The whole chain typed: all parameters, rules, decisions, curves and figures are those of the requests."""
    folders = [workspace.root / "outputs" / name for name in ("gating", "argse")]
    folders += [workspace.root / "checkpoints" / name for name in ("gating_pretrained", "argse")]
    before = _digests(folders)
    gating = _typed(service, "gating", "--mode", "pretrain", "--logits", logits, "--experts", *EXPERTS)
    for objective in ("balanced", "worst"):
        _typed(service, "argse", "--objective", objective, "--gating", gating["id"])
    assert _typed(service, "evaluate", "--gatings", gating["id"])["result"] == evaluation["result"]
    assert _digests(folders) == before
    assert len(before) > 15


def _typed(service: Service, *words: str) -> dict[str, Any]:
    """Run a command of the client, which has to succeed; return its JSON."""
    command = [str(Path(sys.executable).with_name("relogit")), *words, "--json", "--server", service.url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


def _digests(folders: list[Path]) -> dict[str, str]:
    """Digest all files but manifests, which name their job and time."""
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [path for path in paths if not path.name.endswith("_logits.json")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}
