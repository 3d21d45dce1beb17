"""`relogit splits diff`: compare two sets of splits."""

from __future__ import annotations

from typing import Annotated

import typer

from relogit.cli.argv import below
from relogit.cli.command import command
from relogit.cli.options import DatasetOption, PrefixOption
from relogit.cli.session import ExitCode, Session
from relogit.render.plan import plan_problem_lines
from relogit.render.splits import difference_lines
from relogit.render.tables import Record
from relogit.split_diff import Difference, Sample, difference


@command
def diff(
    run: Session,
    first: Annotated[str, typer.Argument(metavar="A", parser=below("data"), help="Folder below the server's data")],
    second: Annotated[str, typer.Argument(metavar="B", parser=below("data"), help="Folder to compare with A")],
    dataset: DatasetOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Show what B changes, and the cost of a job over B.

    B may add, remove, move, repeat and reorder samples.

    A list that cannot be read is named and compared in neither set; the exit code is 1 then.
    """
    (old, old_problems), (new, new_problems) = (_read_lists(run, name, dataset) for name in (first, second))
    unreadable: list[Record] = [
        {"set": name, "list": list_name, "problem": problem}
        for name, problems in ((first, old_problems), (second, new_problems))
        for list_name, problem in problems.items()
    ]
    plan: Record = {"ok": False, "problems": []}
    if new:
        plan = run.client.plan(dataset=dataset, splits=sorted(new), splits_dir=second, checkpoint_prefix=prefix)
    cost = plan["totals"] if plan["ok"] else None
    # A list that one set does not show would look added or removed.
    hidden = {item["list"] for item in unreadable}
    changes = difference(_without(old, hidden), _without(new, hidden))
    document = {**_document(changes), "unreadable": unreadable, "cost": cost, "problems": plan["problems"]}
    run.show(document, lambda: difference_lines((first, second), changes, unreadable, cost))
    if plan["problems"] and not run.json:
        run.err.print("The cost of a job over it is not known:", style="yellow")
        for line in plan_problem_lines(plan):
            run.err.print(line)
    if unreadable:
        raise typer.Exit(ExitCode.FAILED)


def _read_lists(run: Session, name: str, dataset: str | None) -> tuple[dict[str, list[Sample]], dict[str, Record]]:
    """Return readable lists' samples, and the other lists' problems."""
    rows: dict[str, list[Sample]] = {}
    problems: dict[str, Record] = {}
    for entry in run.client.split_set(name, dataset=dataset)["splits"]:
        split = entry["name"]
        if entry["problem"]:
            problems[split] = entry["problem"]
            continue
        answer = run.client.split(name, split, dataset=dataset)
        if "indices" in answer:
            rows[split] = [(answer["base"], index) for index in answer["indices"]]
        else:  # a list called `audit`, whose address is that of the set's audit
            message = f"the server has something else at {name}/{split}. Give its file another name."
            problems[split] = {"code": "not-a-list", "message": message, "details": {}}
    return rows, problems


def _without(rows: dict[str, list[Sample]], hidden: set[str]) -> dict[str, list[Sample]]:
    return {name: samples for name, samples in rows.items() if name not in hidden}


def _document(changes: Difference) -> Record:
    return {
        "added": changes.added,
        "removed": changes.removed,
        "moved": [{"from": a, "to": b, "samples": number} for (a, b), number in changes.moved.items()],
        "same": changes.same,
        "order": changes.order,
        "repeats": {name: {"before": before, "now": now} for name, (before, now) in changes.repeats.items()},
    }
