"""Old half-precision logits, divided by a temperature, are combined; figures are those of an independent computation.

The verified rows of `val_lt` are cut by sample into three lists of the test's own, so that no sample is shared. The
rows of `tuneV` are an accident that verification finds: no combination may be fitted on them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, log_loss, recall_score

from app.catalog.bases import Bases
from app.catalog.catalog import Catalog
from app.catalog.labels import read_labels
from app.catalog.split_draw import class_counts
from app.settings import Settings
from tests.integration.workspace import Service, Workspace
from tests.realdata.location import REALDATA, needs_realdata
from tests.realdata.requests import await_end, post
from tests.realdata.test_verification import DATASETS

pytestmark = [needs_realdata, pytest.mark.timeout(300)]

EXPERTS = ["ce_baseline", "logitadjust_baseline", "balsoftmax_baseline"]
"""In the order of the old scripts, which is that of a gating's parameters."""
DIVISORS = {"ce_baseline": 1.6, "logitadjust_baseline": 1.3, "balsoftmax_baseline": 1.45}
"""Declared; the files do not say by what they were divided."""
LISTS = ("own_fit", "own_validate", "own_test")
COUNTS = class_counts(np.full(100, 500), "exponential", 100.0)

Floats = NDArray[np.float64]


def _stored(expert: str, split: str) -> NDArray[np.float16]:
    path = REALDATA / "legacy" / "logits" / expert / f"{split}_logits.pt"
    values: NDArray[np.float16] = torch.load(path, weights_only=True).numpy()
    return values


def _parts() -> dict[str, NDArray[np.int64]]:
    """List → rows of `val_lt`; all rows of a sample are in one list."""
    indices = np.asarray(json.loads((REALDATA / "legacy" / "splits" / "val_lt_indices.json").read_text()))
    samples = np.random.default_rng(0).permutation(np.unique(indices))
    return {
        name: np.flatnonzero(np.isin(indices, part))
        for name, part in zip(LISTS, np.array_split(samples, 3), strict=True)
    }


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The labels, the lists cut from `val_lt` beside `tuneV`, and the old tensors cut alike, under outputs."""
    root = tmp_path_factory.mktemp("combined-legacy")
    folder = root / "data" / "legacy"
    folder.mkdir(parents=True)
    (root / "data" / "datasets.toml").write_text(DATASETS)
    (root / "data" / "cifar-100-python").symlink_to((REALDATA / "cifar-100-python").resolve())
    legacy = REALDATA / "legacy" / "splits"
    (folder / "tuneV_indices.json").symlink_to((legacy / "tuneV_indices.json").resolve())
    (folder / "train_class_counts.json").write_text(json.dumps(COUNTS.tolist()))
    indices = np.asarray(json.loads((legacy / "val_lt_indices.json").read_text()))
    for name, rows in _parts().items():
        (folder / f"{name}_indices.json").write_text(json.dumps(indices[rows].tolist()))
        for expert in EXPERTS:
            path = root / "outputs" / "old" / expert / f"{name}_logits.pt"
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(torch.from_numpy(_stored(expert, "val_lt")[rows]), path)
    for expert in EXPERTS:
        target = root / "outputs" / "old" / expert / "tuneV_logits.pt"
        torch.save(torch.from_numpy(_stored(expert, "tuneV")), target)
    return Workspace(root)


@pytest.fixture(scope="module")
def verification(service: Service) -> dict[str, Any]:
    return await_end(service, "verifications", post(service, "verifications", dataset="legacy", path="old"))


@pytest.fixture(scope="module")
def gating(service: Service, verification: dict[str, Any]) -> dict[str, Any]:
    """All methods, fitted on the test's own lists."""
    request = {"fit": LISTS[0], "validate": LISTS[1], "divided_by": DIVISORS, "epochs": 3}
    return await_end(service, "gatings", post(service, "gatings", logits=verification["id"], **request))


@pytest.fixture(scope="module")
def figures(service: Service, gating: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Method → its figures on the third list."""
    request = {"gatings": [gating["id"]], "rejectors": [], "test": LISTS[2]}
    evaluation = await_end(service, "evaluations", post(service, "evaluations", **request))
    return {item["name"]: item["figures"] for item in evaluation["result"]["evaluation"]["methods"]}


def _labels(workspace: Workspace, name: str) -> NDArray[np.int64]:
    dataset = Catalog(Settings(data_dir=workspace.root / "data", _env_file=None)).dataset("legacy")
    labels = read_labels(Bases(workspace.root / "data"), dataset, "test")
    path: Path = workspace.root / "data" / "legacy" / f"{name}_indices.json"
    own: NDArray[np.int64] = labels[json.loads(path.read_text())]
    return own


def _raw(name: str) -> Floats:
    """z [N, E, 100]: the stored values times the declared divisors."""
    rows = _parts()[name]
    return np.stack([DIVISORS[e] * _stored(e, "val_lt")[rows].astype(np.float64) for e in EXPERTS], axis=1)


def _log_linear(parameters: Floats, logits: Floats) -> Floats:
    """log η of Σ a_e z_e + b·log π."""
    log_prior = np.log(COUNTS / COUNTS.sum())
    mixed: Floats = log_softmax(np.einsum("e,nec->nc", parameters[:3], logits) + parameters[3] * log_prior, axis=1)
    return mixed


def test_rows_that_failed_their_verification_are_refused(service: Service, verification: dict[str, Any]) -> None:
    """`tuneV` cannot be named: only the verified lists are there."""
    assert verification["verdict"] == "failed"
    body = {"logits": verification["id"], "fit": "tuneV", "validate": LISTS[1]}
    answer = httpx.post(f"{service.url}/gatings", json=body, timeout=60)
    assert answer.status_code == 422
    [problem] = answer.json()["errors"]
    assert (problem["code"], problem["pointer"]) == ("split-without-logits", "#/fit")


def test_what_was_declared_is_repeated(gating: dict[str, Any]) -> None:
    """The divisors in the result; the check says that no file proves them, and the experts come in the old order."""
    assert gating["result"]["divided_by"] == DIVISORS
    assert gating["result"]["experts"] == EXPERTS
    verdicts = {check["id"]: check["verdict"] for check in gating["result"]["checks"]}
    assert verdicts["divided-logits"] == "skipped"
    assert verdicts["fitted-samples"] == "passed"


def test_the_log_linear_combination_is_that_of_another_optimiser(
    workspace: Workspace, gating: dict[str, Any]
) -> None:
    """BFGS with numerical gradients on the plain definition ends at the same parameters."""
    logits, labels = _raw(LISTS[0]), _labels(workspace, LISTS[0])

    def nll(parameters: Floats) -> float:
        return float(-_log_linear(parameters, logits)[np.arange(len(labels)), labels].mean())

    best = minimize(nll, np.array([1 / 3, 1 / 3, 1 / 3, 0.0]), method="BFGS", options={"gtol": 1e-6})
    [candidate] = [item for item in gating["result"]["candidates"] if item["method"] == "log-linear"]
    parameters = [*candidate["parameters"]["exponents"], candidate["parameters"]["prior_exponent"]]
    assert parameters == pytest.approx(best.x, abs=2e-4)
    assert candidate["fit_nll"] == pytest.approx(best.fun, abs=1e-7)


def test_figures_are_those_of_scikit_learn(
    workspace: Workspace, gating: dict[str, Any], figures: dict[str, dict[str, float]]
) -> None:
    """Accuracy, balanced accuracy and NLL on the third list, of each expert, the average and the log-linear one."""
    logits, labels = _raw(LISTS[2]), _labels(workspace, LISTS[2])
    [candidate] = [item for item in gating["result"]["candidates"] if item["method"] == "log-linear"]
    parameters = np.array([*candidate["parameters"]["exponents"], candidate["parameters"]["prior_exponent"]])
    distributions = {expert: softmax(logits[:, e], axis=1) for e, expert in enumerate(EXPERTS)}
    distributions["uniform"] = softmax(logits, axis=2).mean(axis=1)
    distributions["log-linear"] = np.exp(_log_linear(parameters, logits))
    for name, probabilities in distributions.items():
        predictions = probabilities.argmax(axis=1)
        shown = figures[f"{name} + msp"]
        assert shown["accuracy"] == pytest.approx(accuracy_score(labels, predictions), abs=1e-12), name
        recall = recall_score(labels, predictions, labels=np.unique(labels), average="macro", zero_division=0)
        assert shown["balanced_accuracy"] == pytest.approx(recall, abs=1e-12), name
        assert shown["nll"] == pytest.approx(log_loss(labels, probabilities, labels=range(100)), abs=1e-5), name


def test_the_declared_temperature_changes_likelihoods_alone(
    service: Service, verification: dict[str, Any], figures: dict[str, dict[str, float]]
) -> None:
    """An expert's accuracy needs no divisor; its NLL does, so an undeclared one shows."""
    request = {"fit": LISTS[0], "validate": LISTS[1], "method": "uniform", "name": "undeclared"}
    gating = await_end(service, "gatings", post(service, "gatings", logits=verification["id"], **request))
    asked = {"gatings": [gating["id"]], "rejectors": [], "test": LISTS[2]}
    evaluation = await_end(service, "evaluations", post(service, "evaluations", **asked))
    methods = {item["name"]: item["figures"] for item in evaluation["result"]["evaluation"]["methods"]}
    for expert in EXPERTS:
        own, declared = methods[f"{expert} + msp"], figures[f"{expert} + msp"]
        assert own["accuracy"] == declared["accuracy"]
        assert abs(own["nll"] - declared["nll"]) > 0.01
