"""How long Hypothesis searches: `quick` in every run, `--hypothesis-profile=long` for minutes; the same each time."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile(
    "quick", derandomize=True, database=None, deadline=None, max_examples=100, stateful_step_count=40
)
settings.register_profile("long", settings.get_profile("quick"), max_examples=3000, stateful_step_count=80)
settings.load_profile("quick")
