"""Pages as HTML, one file each without scripts."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app import VERSION

# Names of experts, splits and folders may hold anything, so all is escaped; charts are Markup, escaped already.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_page(template: str, page: object) -> str:
    """Fill a template with all that it shows."""
    return _TEMPLATES.get_template(template).render(page=page, version=VERSION)
