"""Pages as HTML, one file each without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app import VERSION


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """Something on a page that can be taken away."""

    title: str
    links: Sequence[tuple[str, str]]
    """Format and address, relative to the page."""


@dataclass(frozen=True, slots=True)
class PageFiles:
    """The files of a page."""

    figures: list[LinkedFile]
    tables: list[LinkedFile]
    whole: str | None
    """Address of all in one archive."""


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


def render_page(template: str, page: object, files: PageFiles | None = None) -> str:
    """Fill a template with all that it shows; `files` are linked at its end."""
    return _TEMPLATES.get_template(template).render(page=page, files=files, version=VERSION)
