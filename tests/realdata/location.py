"""Where the real data lie: beside the repository, or where $RELOGIT_REALDATA says. They are never committed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REALDATA = Path(os.environ.get("RELOGIT_REALDATA", Path(__file__).parents[3] / "shared" / "realdata"))

needs_realdata = pytest.mark.skipif(not REALDATA.is_dir(), reason=f"there are no real data in {REALDATA}")
