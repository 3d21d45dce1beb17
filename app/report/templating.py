"""Pages as HTML, one file each without scripts."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app import VERSION

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"


def environment(*folders: Path) -> Environment:
    """Build the templates of these folders.

    Names of experts, splits and folders may hold anything, so all is escaped; charts are Markup, escaped already.
    """
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


_TEMPLATES = environment(TEMPLATES, STATIC)


def render_page(template: str, page: object) -> str:
    """Fill a template with all that it shows."""
    return _TEMPLATES.get_template(template).render(page=page, version=VERSION)
