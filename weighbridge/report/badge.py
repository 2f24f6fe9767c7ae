"""The badge: an SVG that says what is claimed, for a README. It loads nothing and needs no font of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

#: Widths in 1/10 px of Verdana at 11 px, which badges are drawn in; a letter that is not here is as wide as an em.
_NARROW, _WIDE, _USUAL = "ijl|.,:;'!()[]ftr ", "mwMW%@", 68
_WORST = ("non_conformant", "incomplete", "partial", "conformant")
_COLOURS = {
    "conformant": "#1a7f37",
    "non_conformant": "#b3201e",
    "incomplete": "#8a5300",
    "partial": "#3c5a82",
}
_WORDS = {"non_conformant": "not conformant"}


def _width(text: str) -> int:
    tenths = sum(42 if letter in _NARROW else 102 if letter in _WIDE else _USUAL for letter in text)
    return round(tenths / 10) + 12


def worst(statuses: Sequence[str]) -> str:
    """The status that speaks for several claims: the worst."""
    return next((status for status in _WORST if status in statuses), "incomplete")


def render(document: Mapping[str, Any]) -> str:
    """The badge of a report: its profile or number of profiles, the claim and the edition."""
    claims = document["claims"]
    status = worst([claim["status"] for claim in claims])
    label = claims[0]["profile"] if len(claims) == 1 else f"{len(claims)} profiles"
    left, right = f"weighbridge {label}", f"{_WORDS.get(status, status)} {document['edition']}"
    a, b = _width(left), _width(right)
    title = f"{left}: {right}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{a + b}" height="20" role="img" aria-label={quoteattr(title)}>'
        f"<title>{escape(title)}</title>"
        f'<clipPath id="r"><rect width="{a + b}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{a}" height="20" fill="#3d444d"/>'
        f'<rect x="{a}" width="{b}" height="20" fill="{_COLOURS[status]}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11">'
        f'<text x="{a / 2:g}" y="14">{escape(left)}</text>'
        f'<text x="{a + b / 2:g}" y="14">{escape(right)}</text></g></svg>\n'
    )
