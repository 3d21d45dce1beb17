"""Combining verified logits: from which files, what is refused, what is published and repeated."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp, softmax

from app.domain.checks import ResultReport
from app.domain.combining import LinearParameters, Method
from app.domain.errors import Refused
from app.files.uploads import Uploads
from app.store.database import Database
from tests.fakes import Home
from tests.unit.expert_jobs import (
    CLASSES,
    EXPERTS,
    ExpertJobs,
    expert_logits,
    npz,
    outcome_of,
    verdicts_of,
)
from worker.tasks.expert_logits import ExpertLogits


@pytest.fixture
def site(home: Home, database: Database) -> ExpertJobs:
    return ExpertJobs.make(home, database)


def failed(report: ResultReport) -> set[str]:
    return {check.id for check in report.checks if check.verdict == "failed"}


def torch_bytes(values: Any) -> bytes:
    file = io.BytesIO()
    torch.save(torch.from_numpy(values), file)
    return file.getvalue()


def fill(site: ExpertJobs, folder: str, suffix: str = "npz", divisor: float = 1.0, experts: Any = EXPERTS) -> None:
    """Write a folder of logits, as others make them; `.pt` are bare fp16 tensors."""
    for expert in experts:
        for split in ("tunev", "val", "test"):
            path = site.outputs / folder / expert / f"{split}_logits.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            labels = np.asarray(site.indices(split)) % CLASSES
            logits = expert_logits(expert, labels) / np.float32(divisor)
            content = torch_bytes(logits.astype(np.float16)) if suffix == "pt" else site.content(expert, split)
            path.write_bytes(content)


def test_the_mixture_is_the_mean_of_the_experts_probabilities(site: ExpertJobs) -> None:
    """`uniform` by its definition: file, mixture, manifest and record all say so."""
    site.recomputed()
    job = site.fitted()
    labels = np.asarray(site.indices("test")) % CLASSES
    expected = np.mean([softmax(expert_logits(e, labels).astype(float), axis=1) for e in EXPERTS], axis=0)
    folder = site.outputs / "gating" / "pretrained"
    with np.load(folder / "test_logits.npz") as stored, np.load(folder / "test_mixture.npz") as mixture:
        np.testing.assert_allclose(stored["logits"], np.log(expected), atol=1e-6)
        np.testing.assert_allclose(mixture["probs"], expected, atol=1e-6)
        np.testing.assert_allclose(mixture["weights"], 1 / 3, atol=1e-7)
        assert (mixture["probs"].dtype, mixture["weights"].dtype) == (np.float32, np.float32)
        np.testing.assert_array_equal(stored["targets"], labels)
        np.testing.assert_array_equal(mixture["predictions"], expected.argmax(axis=1))
    unit = job.unit("pretrained", "test")
    assert unit is not None
    assert unit.artifact is not None
    assert unit.artifact.sha256 == sha256((folder / "test_logits.npz").read_bytes()).hexdigest()
    assert unit.accuracy == pytest.approx(np.mean(expected.argmax(axis=1) == labels), abs=1e-12)


def test_the_manifest_names_every_file_and_digest(site: ExpertJobs) -> None:
    """Inputs, lists, parameters, network and mixture; digests are those of the files."""
    site.recomputed()
    job = site.fitted()
    folder = site.outputs / "gating" / "pretrained"
    manifest = json.loads((folder / "val_logits.json").read_text())
    inputs = {(item["expert"], item["split"]): item["sha256"] for item in manifest["derived_from"]}
    assert inputs == {(e, "val"): sha256(site.content(e, "val")).hexdigest() for e in EXPERTS}
    assert manifest["mixture"] == {
        "file": "val_mixture.npz", "sha256": sha256((folder / "val_mixture.npz").read_bytes()).hexdigest()
    }  # fmt: skip
    parameters = site.home.settings.checkpoints_dir / "gating_pretrained" / "digits" / "gating_pretrained.json"
    assert manifest["checkpoint"]["sha256"] == sha256(parameters.read_bytes()).hexdigest()
    assert parameters.read_bytes() == (folder / "gating_pretrained.json").read_bytes()
    assert [item["split"] for item in manifest["combination"]["fitted_on"]] == ["tunev", "val"]
    document = json.loads(parameters.read_text())
    assert {item["sha256"] for item in document["inputs"]} == {
        sha256(site.content(e, s)).hexdigest() for e in EXPERTS for s in ("tunev", "val")
    }
    assert document["fit"]["list"]["sha256"] == sha256(site.list_path("tunev").read_bytes()).hexdigest()
    assert {"relogit", "numpy", "scipy", "torch"} <= document["versions"].keys()
    assert all(unit.report is not None and "raw-logits" not in failed(unit.report) for unit in job.units)


def test_files_in_place_and_of_an_upload_combine_like_a_jobs(site: ExpertJobs) -> None:
    """A verified folder, a verified upload and a recompute job of equal bytes give equal bytes."""
    sources = [site.recomputed()]
    fill(site, "theirs")
    sources.append(site.verification(path="theirs").id)
    place = Uploads(site.home.settings.uploads_dir)
    upload = place.create()
    for expert in EXPERTS:
        for split in ("tunev", "val", "test"):
            with place.receiving(upload, f"{expert}/{split}_logits.npz") as stream:
                stream.write(site.content(expert, split))
    sources.append(site.verification(upload=upload).id)
    for number, source in enumerate(sources):
        site.fitted(logits=source, experts=list(EXPERTS), method="linear", output_dir=f"g{number}")
    for name in ("test_logits.npz", "test_mixture.npz", "val_logits.npz"):
        contents = {(site.outputs / f"g{n}" / "pretrained" / name).read_bytes() for n in range(3)}
        assert len(contents) == 1, name


def test_divided_half_precision_files_give_the_raw_logits_back(site: ExpertJobs) -> None:
    """T times what is stored, and the check `divided-logits` says what was declared."""
    fill(site, "old", "pt", divisor=2.5)
    source = site.verification(path="old").id
    job = site.fitted(logits=source, experts=list(EXPERTS), divided_by=dict.fromkeys(EXPERTS, 2.5))
    assert verdicts_of(job)["divided-logits"] == "skipped"
    request = job.request
    rows = ExpertLogits(request, site.context).split("test").rows  # type: ignore[arg-type]
    labels = np.asarray(site.indices("test")) % CLASSES
    for expert, logits in zip(EXPERTS, rows.logits, strict=True):
        stored = (expert_logits(expert, labels) / np.float32(2.5)).astype(np.float16)
        np.testing.assert_allclose(logits, 2.5 * stored.astype(float), rtol=1e-6)
        np.testing.assert_allclose(logits, expert_logits(expert, labels), atol=0.01)
    undeclared = site.fitted(logits=source, experts=list(EXPERTS), output_dir="undeclared")
    assert "divided-logits" not in verdicts_of(undeclared)
    other = ExpertLogits(undeclared.request, site.context).split("test").rows.logits  # type: ignore[arg-type]
    np.testing.assert_allclose(other[0] * 2.5, rows.logits[0], rtol=1e-6)


def test_a_divisor_beyond_float32_fails_the_job(site: ExpertJobs) -> None:
    """Infinite logits would be combined to nothing."""
    huge = {}
    for split in ("tunev", "val", "test"):
        logits = 1e36 * np.eye(3)[np.asarray(site.indices(split)) % 3]
        huge[f"ce_{split}"] = site.content("ce", split, logits=logits.astype(np.float32))
    job = site.gating(logits=site.recomputed(contents=huge), divided_by={"ce": 1000.0})
    assert site.failure(job) == "divisor-too-large"


def test_probabilities_are_refused(site: ExpertJobs) -> None:
    """Their softmax would be a wrong number; such files pass their own verification with a warning."""
    fill(site, "soft")
    for split in ("tunev", "val", "test"):
        labels = np.asarray(site.indices(split)) % CLASSES
        probabilities = softmax(expert_logits("ce", labels), axis=1)
        (site.outputs / "soft" / "ce" / f"{split}_logits.npz").write_bytes(
            site.content("ce", split, logits=probabilities, predictions=probabilities.argmax(axis=1))
        )
    source = site.verification(path="soft")
    assert source.verification is not None
    assert source.verification.verdict == "passed"
    job = site.gating(logits=source.id)
    assert site.failure(job) == "not-logits"
    assert not (site.outputs / "gating").exists()


def test_a_file_that_failed_its_verification_is_not_combined(site: ExpertJobs) -> None:
    """Its split is missing, then; a whole expert of failed files is, too."""
    fill(site, "some")
    (site.outputs / "some" / "bal" / "test_logits.npz").write_bytes(b"broken")
    source = site.verification(path="some").id
    assert site.plan(logits=source).splits == ("tunev", "val")
    for split in ("tunev", "val"):
        (site.outputs / "some" / "bal" / f"{split}_logits.npz").write_bytes(b"broken")
    source = site.verification(path="some").id
    with pytest.raises(Refused, match="no verified logits of bal"):
        site.plan(logits=source, experts=["ce", "bal"])


def _change_list(site: ExpertJobs) -> None:
    site.home.write_split("val", list(range(151, 307)))


def _change_counts(site: ExpertJobs) -> None:
    site.write_counts([1, 2, 3])


def _change_file(site: ExpertJobs) -> None:
    (site.outputs / "theirs" / "ce" / "val_logits.npz").write_bytes(site.content("bal", "val"))


def _remove_file(site: ExpertJobs) -> None:
    (site.outputs / "theirs" / "ce" / "val_logits.npz").unlink()


def _change_labels(site: ExpertJobs) -> None:
    path = site.home.data / "digits" / "test.npz"
    np.savez(path, images=np.zeros((600, 2, 2, 3), np.uint8), labels=(np.arange(600) + 1) % 3)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_change_list, "split-changed"),
        (_change_counts, "train-counts-changed"),
        (_change_file, "logits-changed"),
        (_remove_file, "logits-missing"),
        (_change_labels, "logits-changed"),
    ],
)
def test_what_changes_while_a_job_waits_fails_it(site: ExpertJobs, change: Any, code: str) -> None:
    """With the reason, and nothing is published."""
    fill(site, "theirs")
    job = site.gating(logits=site.verification(path="theirs").id, method="linear")
    change(site)
    assert site.failure(job) == code
    assert not (site.outputs / "gating").exists()
    assert not (site.home.settings.checkpoints_dir / "gating_pretrained").exists()


def test_an_old_network_that_was_replaced_fails_the_job(site: ExpertJobs) -> None:
    """The identity names the bytes that were accepted."""
    site.recomputed()
    path = site.home.settings.checkpoints_dir / "old.ckpt"
    path.write_bytes(b"one")
    job = site.gating(net_file="old.ckpt")
    path.write_bytes(b"two")
    assert site.failure(job) == "net-changed"


def test_counts_of_another_number_of_classes_fail_the_job(site: ExpertJobs) -> None:
    """No group and no prior could be told."""
    site.recomputed()
    site.write_counts([5, 5])
    assert site.failure(site.gating(method="uniform")) == "train-counts-unusable"


@pytest.mark.parametrize("experts", [["ce"], ["ce", "bal"]])
@pytest.mark.parametrize("counts", [[60, 50, 40], [3, 2, 1], [200, 30, 3]])
@pytest.mark.parametrize("groups", ["head-tail", "many-medium-few"])
def test_any_groups_of_classes_can_be_combined(
    site: ExpertJobs, experts: list[str], counts: list[int], groups: str
) -> None:
    """All head, all tail, or a class each; an empty group's accuracy is unknown, and every rule is fitted."""
    site.write_counts(counts)
    site.recomputed()
    body = {"experts": experts, "groups": groups, "mode": "selective", "coverages": [0.5, 1.0]}
    outcome = outcome_of(site.fitted(method="linear", **body))
    assert sorted(sum(outcome.groups.values(), ())) == [0, 1, 2]
    for name, classes in outcome.groups.items():
        assert (outcome.candidate.validate.group_accuracy[name] is None) == (not classes)
    assert outcome.rules is not None
    assert [rule.coverage for rule in outcome.rules.rules] == [0.5, 1.0]
    assert outcome.rules.rules[-1].fitted_coverage == 1.0
    if len(experts) == 1:
        assert isinstance(outcome.candidate.parameters, LinearParameters)
        assert outcome.candidate.parameters.weights == (1.0,)


def test_lists_of_a_row_per_class_can_be_combined(home: Home, database: Database) -> None:
    """As few as there may be: parameters are finite, and a warning says what they are worth."""
    site = ExpertJobs.make(home, database, {"tunev": [0, 1, 2], "val": [3, 4, 5], "test": range(6, 100)})
    site.recomputed()
    for method in ("linear", "log-linear", "net"):
        job = site.fitted(method=method, prior="train", epochs=2, output_dir=method)
        assert verdicts_of(job)["effective-rows"] == "failed"
        assert np.isfinite(outcome_of(job).candidate.validate.nll)


def test_fitted_methods_include_the_chosen_one(site: ExpertJobs) -> None:
    """`pretrain` fits four, the simplest first; the files hold the chosen one."""
    site.recomputed()
    outcome = outcome_of(site.done(site.gating(epochs=2)))
    methods: list[Method] = [candidate.method for candidate in outcome.candidates]
    assert methods == ["uniform", "linear", "log-linear", "net"]
    labels = np.asarray(site.indices("val")) % CLASSES
    with np.load(site.outputs / "gating" / "pretrained" / "val_logits.npz") as stored:
        logits = stored["logits"].astype(float)
    np.testing.assert_allclose(logsumexp(logits, axis=1), 0, atol=1e-5)
    nll = -log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean()
    assert nll == pytest.approx(outcome.candidate.validate.nll, abs=1e-6)


def test_fit_rows_that_experts_were_trained_on_are_warned_of(site: ExpertJobs) -> None:
    """Only where the list points into train, and the experts are better there than on validate."""
    text = (site.home.data / "datasets.toml").read_text()
    site.home.declare(text + 'tunev = "train"\n')
    site.home.write_npz("train", 200)
    site.home.write_split("tunev", list(range(150)))
    labels = np.arange(150) % 3
    sure = npz(logits=9 * np.eye(3, dtype=np.float32)[labels] + np.float32(0.1), targets=labels)
    source = site.recomputed(contents={f"{expert}_tunev": sure for expert in EXPERTS})
    with site.store._database.transaction() as db:
        db.execute("UPDATE units SET artifact = json_set(artifact, '$.base', 'train') WHERE split = 'tunev'")
    assert verdicts_of(site.fitted(logits=source))["fit-rows"] == "failed"


def test_a_gating_warns_of_other_lists_that_share_its_samples(site: ExpertJobs) -> None:
    """Before an evaluation refuses them: 20 samples of `test` stand in `val` too."""
    site.list_path("test").write_text(json.dumps([*range(306, 540), *range(150, 170)]))
    site.recomputed()
    outcome = outcome_of(site.fitted(method="uniform"))
    [warned] = [check for check in outcome.checks if check.id == "fitted-samples" and check.verdict == "failed"]
    assert warned.measured == {"val": 20}
    assert "'test' shares 20 samples with 'val'" in warned.message
