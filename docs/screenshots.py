"""The pictures of the pages in `docs/images`, which `make screenshots` makes.

    .venv/bin/python -m docs.screenshots

starts the service on a free port with the demo's data set and outputs in a temporary folder, goes through the whole
workflow and a comparison, and photographs the pages in Chromium. Run it from the repository root.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image

import relogit
from docs.demo import ROOT, free_port
from tests.integration.browser import CHROMIUM, Browser, chromium

IMAGES = ROOT / "docs" / "images"
DATASET = "digits_lt"
MAX_BYTES = 60_000
"""Of a picture, so that the repository stays small."""
COLOURS = 80
SETTLE_S = 1.0
"""Until a page has drawn itself."""


@dataclass(frozen=True)
class Shot:
    """One picture."""

    name: str
    path: str
    width: int = 1100
    height: int = 900
    """Pixels from the top of the page, at most."""
    scheme: str = "light"


def main() -> int:
    """Make the pictures, and return the exit status."""
    if CHROMIUM is None:
        print("There is no Chromium. On Debian: apt-get install chromium", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _service(Path(folder)) as url:
        shots = _work(url)
        with chromium(Path(folder) / "chromium") as browser:
            for shot in shots:
                _save(browser, url, shot)
    return 0


def _work(url: str) -> list[Shot]:
    """Go through the workflow, and list the pages to show."""
    with relogit.Client(url) as client:
        run = client.run(dataset=DATASET).wait()
        by_kind = {job["kind"]: job["id"] for job in httpx.get(f"{url}/jobs").json()["jobs"]}
        recompute, evaluation = by_kind["recompute"], by_kind["evaluation"]
        comparison = client.compare(recompute).wait()
        print(f"Done: run {run.id}, comparison {comparison.id}")
    for job in (recompute, comparison.id, evaluation):  # their figures are made before they are shown
        _wait_for_report(f"{url}/jobs/{job}/report")
    return [
        Shot("overview", "/"),
        Shot("overview_phone_dark", "/", width=390, scheme="dark"),
        Shot("job", f"/ui/jobs/{recompute}"),
        Shot("report", f"/jobs/{recompute}/report"),
        Shot("comparison", f"/jobs/{comparison.id}/report"),
        Shot("expert", f"/ui/experts/ce_baseline?dataset={DATASET}"),
        Shot("evaluation", f"/jobs/{evaluation}/report"),
    ]


def _wait_for_report(url: str) -> None:
    """Ask for a report until it does not ask to be looked at again."""
    while "Refresh" in httpx.get(url, timeout=60).raise_for_status().headers:
        time.sleep(1)


def _save(browser: Browser, url: str, shot: Shot) -> None:
    """Photograph a page, and reduce the picture to few colours."""
    browser.open(url + shot.path, width=shot.width, scheme=shot.scheme)
    time.sleep(SETTLE_S)
    raw = IMAGES / f"{shot.name}.png"
    browser.picture(raw)
    with Image.open(raw) as whole:
        top = whole.convert("RGB").crop((0, 0, whole.width, min(whole.height, shot.height)))
    stream = io.BytesIO()
    top.quantize(COLOURS, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
    raw.write_bytes(stream.getvalue())
    print(f"{raw.relative_to(ROOT)}: {top.width} x {top.height}, {len(stream.getvalue()):,} bytes")
    if len(stream.getvalue()) > MAX_BYTES:
        raise SystemExit(f"{raw.name} is larger than {MAX_BYTES:,} bytes; show less of the page.")


@contextmanager
def _service(folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "RELOGIT_DATA_DIR": "data",
        "RELOGIT_CHECKPOINTS_DIR": "checkpoints",
        "RELOGIT_OUTPUTS_DIR": str(folder / "outputs"),
        "RELOGIT_HOST": "127.0.0.1",
        "RELOGIT_PORT": str(port),
        "RELOGIT_WORKERS": "1",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        while not _ready(url):
            if process.poll() is not None:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
