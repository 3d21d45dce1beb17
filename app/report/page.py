"""The report page as HTML: one file with its style and charts in it, without scripts."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app import VERSION
from app.report.view import Sources, page

# Names of experts, splits and folders may hold anything, so all is escaped; charts are Markup, escaped already.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(sources: Sources) -> str:
    """Render the report page, for a job in any state."""
    return _TEMPLATES.get_template("report.html").render(page=page(sources), version=VERSION)
