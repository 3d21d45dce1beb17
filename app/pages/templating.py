"""Templates of the live page, which share macros and styles with the reports."""

from __future__ import annotations

from pathlib import Path

from app import VERSION
from app.report.templating import STATIC, TEMPLATES, environment

STATIC_FOLDERS = (Path(__file__).parent / "static", STATIC)
"""Whose files are served below `/static`."""

_TEMPLATES = environment(Path(__file__).parent / "templates", TEMPLATES)


def render(template: str, **values: object) -> str:
    """Fill a template of a page or of a part of one."""
    return _TEMPLATES.get_template(template).render(version=VERSION, **values)
