"""The names of timm's models."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def timm_names() -> set[str]:
    """The models of the timm that is installed, as its source names them: to load it takes four seconds."""
    timm = find_spec("timm")
    names: set[str] = set()
    for folder in (timm and timm.submodule_search_locations) or []:
        for path in (Path(folder) / "models").glob("*.py"):
            text = path.read_text(encoding="utf-8")
            names.update(re.findall(r"^@register_model\s+def (\w+)\(", text, re.MULTILINE))
            for old in re.findall(
                r"^register_model_deprecations\(__name__, \{(.*?)^\}", text, re.MULTILINE | re.DOTALL
            ):
                names.update(re.findall(r"^\s*['\"]([\w.]+)['\"]\s*:", old, re.MULTILINE))
    return names
