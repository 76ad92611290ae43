"""Which state of this package's own code made a result."""

import hashlib
from functools import cache
from pathlib import Path


@cache
def code_hash(*parts: str) -> str:
    """One sha256 over these files and folders of the package, such as `data` or `studies/run.py`."""
    digest = hashlib.sha256()
    package = Path(__file__).resolve().parent
    for part in parts:
        path = package / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(package)).encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
