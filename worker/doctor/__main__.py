"""`python -m worker.doctor --json`: check this installation. For people: `relogit doctor`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import traceback
from collections.abc import Iterator

from app.settings import Settings
from worker.doctor import Finding
from worker.doctor.datasets import check_datasets
from worker.doctor.installation import check_folders, check_outputs, check_settings, check_store

COMPUTING_TIMEOUT_S = 180


def main() -> int:
    """Print the findings as JSON; always return 0."""
    parser = argparse.ArgumentParser(prog="python -m worker.doctor", description="For people: relogit doctor")
    parser.add_argument("--json", action="store_true", required=True, help="print the findings as JSON")
    parser.parse_args()
    print(json.dumps({"findings": [finding.to_dict() for finding in check_installation()]}))
    return 0


def check_installation() -> Iterator[Finding]:
    """Yield the findings of all checks, dependencies first."""
    settings, findings = check_settings()
    yield from findings
    checks = {
        "torch": check_computing,
        "folders": check_folders,
        "outputs": check_outputs,
        "store": check_store,
        "datasets": check_datasets,
    }
    for subject, check in checks.items():
        try:
            yield from check(settings)
        except Exception as error:  # noqa: BLE001 — a bug of one check, or an odd file system, must not hide the others
            traceback.print_exc(file=sys.stderr)
            message = f"This check failed: {type(error).__name__}: {error}."
            yield Finding("problem", subject, message, "Report it with the output of python -m worker.doctor --json.")


def check_computing(settings: Settings) -> Iterator[Finding]:
    """Run the computing checks in a process that may die or hang."""
    command = [sys.executable, "-m", "worker.doctor.computing", settings.device, settings.engine]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=COMPUTING_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        reason = f"it did not answer within {COMPUTING_TIMEOUT_S} s; does a driver hang?"
    else:
        lines = [line for line in done.stdout.splitlines() if line.startswith('{"level": ')]  # libraries print, too
        yield from (Finding(**json.loads(line)) for line in lines)
        if not done.returncode:
            return
        reason = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
    remedy = "pip install --force-reinstall torch torchvision, both from one index"
    yield Finding("problem", "torch", f"PyTorch cannot be used: {reason}", remedy)


if __name__ == "__main__":
    sys.exit(main())
