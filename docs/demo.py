"""The demo of the main job on real images, which `make demo` runs.

    .venv/bin/python -m docs.demo

starts the service on a free port, recomputes and verifies the logits of three experts through the command line,
combines the experts, fits a rejector, evaluates both, and stops the service. The files lie in `outputs/demo` and
`outputs/demo_combined`. Run it from the repository root. It shows each command as a user would type it. The exit
status is 0 only if everything worked.
"""

from __future__ import annotations

import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

from app.store.liveness import is_held

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SHOWN_BIN = BIN.relative_to(ROOT) if BIN.is_relative_to(ROOT) else BIN
OUTPUTS = Path(os.environ.get("RELOGIT_OUTPUTS_DIR", "outputs"))
FOLDER = OUTPUTS / "demo"
COMBINED = OUTPUTS / "demo_combined"

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
LOG_LINES = 30

LOOK = """\
import numpy as np
file = np.load("{path}")
{{name: (file[name].dtype.name, file[name].shape) for name in file}}
file["logits"][0].round(2)
correct = file["predictions"] == file["targets"]
f"{{correct.sum()}} of {{len(correct)}} correct: {{correct.mean():.2%}}\""""


class DemoFailed(Exception):
    """A step of the demo failed."""


def main() -> int:
    """Run the demo, and return the exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # an exception, so that the service is stopped
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            _show(log)
        except DemoFailed as failure:
            print(f"\nThe demo failed: {failure}", file=sys.stderr)
            _print_tail(log)
            return 1
        except KeyboardInterrupt:
            print("\nStopped, and the service with it.", file=sys.stderr)
            return 130
    return 0


def _show(log: IO[str]) -> None:
    if is_held(OUTPUTS / ".relogit" / "service.lock"):
        raise DemoFailed(
            f"another relogit service already uses {OUTPUTS}. Stop it, or give the demo a folder of its own: "
            "RELOGIT_OUTPUTS_DIR=/tmp/relogit-demo make demo"
        )
    started = time.monotonic()
    port = free_port()
    _say("Start the service (here on a free port; it listens on port 8000 by default)")
    print(f"$ RELOGIT_PORT={port} {SHOWN_BIN / 'python'} -m app &")
    with _service(port, log):
        _say("Tell the relogit command where the service is")
        print(f"$ export RELOGIT_SERVER=http://127.0.0.1:{port}")
        _say("Three ResNet-20 experts, trained on a long-tailed part of scikit-learn's handwritten digits")
        _relogit(port, "experts", "--dataset", "digits_lt")
        _say("Recompute their logits for the splits val, test and tunev")
        _relogit(port, "recompute", "--dataset", "digits_lt", "--output-dir", "outputs/demo")
        _say("Verify these files (--full adds 95 % intervals and more figures)")
        _relogit(port, "verify", str(FOLDER), "--dataset", "digits_lt")
        _say("Combine the experts: fit on tunev, choose the method on val. It rightly warns of their 60 rows:")
        print("# from here on, the figures show the workflow, and are no result")
        _relogit(port, "gating", "--dataset", "digits_lt", "--output-dir", "outputs/demo_combined")
        _say("Fit a rule that rejects, for the worst class group")
        _relogit(port, "argse")
        _say("Evaluate experts, combinations and rule on test (`relogit run` goes through all these steps at once)")
        _relogit(port, "evaluate", "--output-dir", "outputs/demo_combined")
    _say(f"The files in {FOLDER}: for each expert and split the logits, and a manifest of their origin")
    _print_tree(FOLDER)
    _say(f"The files in {COMBINED}: combined logits and probabilities, parameters, decisions, figures")
    _print_tree(COMBINED)
    _say("The files are plain NumPy")
    _print_session(LOOK.format(path=FOLDER / "ce_baseline" / "test_logits.npz"))
    seconds = time.monotonic() - started
    print(f"\nAll verified, in {seconds:.0f} s. The service is stopped; the files stay in {FOLDER} and {COMBINED}.")
    print("To start your own service: make serve")


@contextmanager
def _service(port: int, log: IO[str]) -> Iterator[None]:
    # The demo needs the project's own folders, and a user's .env may set others.
    environment = os.environ | {
        "RELOGIT_DATA_DIR": "data",
        "RELOGIT_CHECKPOINTS_DIR": "checkpoints",
        "RELOGIT_OUTPUTS_DIR": str(OUTPUTS),
        "RELOGIT_HOST": "127.0.0.1",
        "RELOGIT_PORT": str(port),
        "RELOGIT_WORKERS": "auto",
    }
    command = [sys.executable, "-m", "app"]
    # In its own process group, Ctrl-C does not reach the service; the demo stops it.
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, process_group=0
    )
    try:
        _wait_until_ready(process, port)
        yield
        if process.poll() is not None:
            raise DemoFailed(f"the service ended by itself, with exit status {process.returncode}.")
    finally:
        _stop(process)
    if process.returncode not in (0, -signal.SIGTERM):
        raise DemoFailed(f"the service did not stop cleanly: exit status {process.returncode}.")


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    print("Waiting for the service ...", end="", flush=True)
    started = time.monotonic()
    while not _ready(port):
        if process.poll() is not None:
            print()
            raise DemoFailed(f"the service ended with exit status {process.returncode} before it was ready.")
        if time.monotonic() - started > START_TIMEOUT_S:
            print()
            raise DemoFailed(f"the service was not ready after {START_TIMEOUT_S:.0f} s.")
        time.sleep(0.1)
    print(f" ready after {time.monotonic() - started:.1f} s")


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)  # http.client uses no proxy
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _relogit(port: int, *words: str) -> None:
    print(f"$ {shlex.join([str(SHOWN_BIN / 'relogit'), *words])}", flush=True)
    environment = os.environ | {"RELOGIT_SERVER": f"http://127.0.0.1:{port}"}
    status = subprocess.run([BIN / "relogit", *words], env=environment, check=False).returncode
    if status != 0:
        raise DemoFailed(f"`relogit {words[0]}` ended with exit status {status}.")


def _print_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            print(f"  {path.relative_to(folder.parent)!s:<56} {path.stat().st_size:>9,} bytes")


def _print_session(source: str) -> None:
    print(f"$ {SHOWN_BIN / 'python'}")
    names: dict[str, object] = {}
    for line in source.splitlines():
        print(f">>> {line}")
        exec(compile(line, "<demo>", "single"), names)  # runs the shown line; "single" prints its value


def _print_tail(log: IO[str]) -> None:
    log.flush()
    log.seek(0)
    lines = log.read().splitlines()
    if lines:
        print("\nThe end of the service's log:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in lines[-LOG_LINES:]), file=sys.stderr)


def _say(text: str) -> None:
    print(f"\n# {text}")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 — `signal` sets the signature
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
