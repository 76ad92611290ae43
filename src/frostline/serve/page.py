"""The page for people: one file that needs nothing else, and asks /predict."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """policy: the Content-Security-Policy under which it works: its own script and style, and nothing else's."""

    html: str
    policy: str


def page(about: Mapping[str, Any], threshold: float, max_mb: int) -> Page:
    """about: what /health tells. threshold: the least score of a box that is shown at first. max_mb: of one picture.

    Names of models and classes are a stranger's: they are escaped here, and texts, never markup, in the script.
    """
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (HERE / "page.html.j2").read_text(encoding="utf-8")
    )
    told = {**about, "threshold": threshold, "max_mb": max_mb}
    html = template.render(about=about, told=told, style=style, script=script)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html, policy)


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
