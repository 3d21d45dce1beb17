"""Bodies of the requests to compare logits."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from app.submission.bodies import JobBody, Names


class SideBody(BaseModel):
    """One expert of a job, or all of its experts."""

    model_config = ConfigDict(extra="forbid")

    job: str = Field(description="Id of a job with logits: a recompute job, a verification of files, or a gating.")
    expert: str | None = Field(None, description="As the job calls it; all of its experts, if left out.")


class ComparisonBody(JobBody):
    """The body of `POST /comparisons`. Differences are B − A."""

    a: SideBody
    b: SideBody | None = Field(
        None, description="Compared with `a`, equal names with each other; all pairs of `a`, if left out."
    )
    splits: Names | None = Field(
        None, description="The splits to compare on; all that two compared experts share, if left out."
    )
    name: str | None = Field(None, description="Of its folder; by experts and content, if left out.")
    output_dir: str = Field("comparisons", description="A folder name below the outputs directory.")
