"""`python -m worker.doctor --json`: looks at this installation; `relogit doctor` runs it and shows what it says."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from worker.doctor import gather, gather_data
from worker.doctor.computing import Wanted, check_computing
from worker.doctor.datasets import check_datasets
from worker.doctor.finding import Finding, problem
from worker.doctor.folders import check_folders
from worker.doctor.machine import check_machine
from worker.doctor.packages import INSTALL, check_packages
from worker.doctor.store import check_store
from worker.doctor.variables import check_variables

if TYPE_CHECKING:
    from app.settings import Settings


def main() -> int:
    """Print the findings as JSON. Returns 0 whatever they are."""
    parser = argparse.ArgumentParser(prog="python -m worker.doctor", description="For people: relogit doctor")
    parser.add_argument("--json", action="store_true", required=True, help="print the findings as JSON")
    parser.parse_args()
    print(json.dumps({"findings": [finding.to_dict() for finding in findings()]}))
    return 0


def findings() -> list[Finding]:
    """Everything that can be found out here, in the order in which one thing needs another."""
    found = _guarded("packages", lambda: check_packages(gather.packages()))
    try:
        use, variables = gather.settings()
    except Exception as error:  # noqa: BLE001 — a broken installation comes up with anything
        said = f"The settings cannot be read, so folders and data are not looked at: {type(error).__name__}: {error}."
        wanted = Wanted()
        return [*found, problem("settings", said, INSTALL), *_guarded("computing", lambda: _computing(wanted))]
    found += check_variables(variables)
    found += _guarded("computing", lambda: _computing(gather.wanted(use)))
    folders = gather.folders(use)
    found += _guarded("folders", lambda: check_folders(folders, gather.outputs(use)))
    found += _guarded("store", lambda: check_store(gather.store(use)))
    if folders[0].state == "there":
        found += _guarded("datasets", lambda: _data(use))
    else:
        found += check_machine(gather_data.machine())
    return found


def _computing(wanted: Wanted) -> list[Finding]:
    return check_computing(gather.computing(wanted), gather.nvidia(), wanted)


def _data(use: Settings) -> list[Finding]:
    seen, error, machine = gather_data.datasets(use)
    return [*check_datasets(seen, error), *check_machine(machine)]


def _guarded(check: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What a check finds; that it broke down itself is a finding, and stops no other."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 — one check's bug or a machine's oddity must not hide the others
        traceback.print_exc(file=sys.stderr)
        said = f"This could not be looked at: {type(error).__name__}: {error}."
        return [problem(check, said, "If nothing else here explains it, report it with the output of "
                        "python -m worker.doctor --json")]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
