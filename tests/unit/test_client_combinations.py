"""The client's handles of gatings, rejectors and evaluations."""

from __future__ import annotations

import hashlib

import httpx
import pytest

import relogit
from tests.unit.fake_combinations import (
    EVALUATION_ID,
    GATING_ID,
    REJECTOR_ID,
    WARNING,
    combining,
    evaluation,
    gating,
    gating_result,
    planned,
    refused,
    rejector,
)
from tests.unit.fake_server import LOGITS, FakeServer, answering, npz, problem


def connect(server: FakeServer) -> relogit.Client:
    """A client of that server."""
    return relogit.Client("http://relogit.test", transport=server.transport)


def test_a_gating_sends_what_is_not_none_and_waits_for_its_result() -> None:
    """Options that are None are the server's business; `wait` asks the gating until it has a result."""
    server = combining(gating("queued"))
    work = connect(server).gating(mode="selective", experts=["ce"], prior=None)
    assert server.submitted == {"mode": "selective", "experts": ["ce"]}
    assert (work.result, work.warnings) == (None, [])
    server.answers[f"GET /gatings/{GATING_ID}"] = httpx.Response(
        200, json=gating(result=gating_result(checks=[WARNING]))
    )
    assert work.wait() is work
    assert work.result is not None
    assert (work.result["method"], work.warnings) == ("log-linear", [WARNING["message"]])


def test_the_logits_of_a_gating_are_those_of_its_job() -> None:
    """Artifacts of a gating are fetched like those of a job, from below `/jobs`."""
    server = combining(gating())
    digest = hashlib.sha256(npz()).hexdigest()
    artifact = {"expert": "pretrained", "split": "val", "path": "gating/pretrained/val_logits.npz", "sha256": digest}
    here = f"GET /jobs/{GATING_ID}/artifacts"
    server.answers[here] = httpx.Response(200, json={"artifacts": [artifact]})
    server.answers[f"{here}/pretrained/val"] = httpx.Response(200, content=npz())
    assert (connect(server).get_gating(GATING_ID).logits("pretrained", "val").logits == LOGITS).all()


def test_rejectors_and_evaluations_have_results() -> None:
    """Each kind is submitted, fetched and listed at its own address."""
    server = combining(rejector(), evaluation())
    client = connect(server)
    fitted = client.rejector(gating=GATING_ID, objective="worst").wait()
    assert fitted.result is not None
    assert server.submitted == {"gating": GATING_ID, "objective": "worst"}
    assert fitted.result["rules"]["rules"][0]["coverage"] == 0.5
    measured = client.evaluate(rejectors=[REJECTOR_ID])
    assert server.submitted == {"rejectors": [REJECTOR_ID]}
    assert measured.result == client.get_evaluation(EVALUATION_ID).result
    assert client.get_rejector(REJECTOR_ID).data == fitted.data
    assert [work.id for work in (*client.rejectors(limit=1), *client.evaluations())] == [REJECTOR_ID, EVALUATION_ID]
    assert server.asked[-2:] == ["GET /rejectors", "GET /evaluations"]


def test_plans_are_the_servers_documents() -> None:
    """Plans take the options of the requests, None left out, and queue nothing; problems are no exception."""
    plans = {f"{kind}s": planned(kind) for kind in ("gating", "rejector")}
    plans["evaluations"] = refused(("overlap", "Shared."), request=None, kept=None)
    server = answering(**{f"POST_{name}__plan": plan for name, plan in plans.items()})
    client = connect(server)
    assert client.plan_gating(method="linear", prior=None) == plans["gatings"]
    assert server.submitted == {"method": "linear"}
    assert client.plan_rejector(gating=GATING_ID) == plans["rejectors"]
    assert server.submitted == {"gating": GATING_ID}
    assert client.plan_evaluation(test="final", gatings=None) == plans["evaluations"]
    assert server.submitted == {"test": "final"}
    assert server.asked == ["POST /gatings/plan", "POST /rejectors/plan", "POST /evaluations/plan"]
    server.answers["POST /gatings/plan"] = problem(422, "invalid-value", "Bad.")
    with pytest.raises(relogit.Problem):
        client.plan_gating()


@pytest.mark.parametrize("view", [gating("running"), rejector("running"), evaluation("running")])
def test_cancelling_keeps_the_resource(view: dict[str, object]) -> None:
    """The answer of `POST /jobs/{id}/cancel` lacks the result, so the handle is fetched anew."""
    server = combining(view)
    client = connect(server)
    kind = str(view["kind"])
    work = {"gating": client.get_gating, "rejector": client.get_rejector, "evaluation": client.get_evaluation}[kind](
        str(view["id"])
    )
    assert "result" in work.cancel().data
    assert server.asked[-2:] == [f"POST /jobs/{work.id}/cancel", f"GET /{kind}s/{work.id}"]


def test_no_gating_is_a_problem_with_a_code() -> None:
    """A refusal keeps the server's code, which scripts may rely on."""
    server = FakeServer()
    server.answers["POST /rejectors"] = problem(422, "no-gating", "No gating has succeeded yet.")
    with pytest.raises(relogit.Problem) as error:
        connect(server).rejector()
    assert error.value.code == "no-gating"
    server.answers["GET /gatings"] = httpx.Response(200, json={"gatings": []})
    assert connect(server).gatings() == []
