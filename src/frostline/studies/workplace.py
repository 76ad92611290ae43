"""The folder of a run under way, and the hand-over of what it finished.

A run works in `runs/<study>/work/<run>/`: checkpoints, journal, and at the end `results/`, which then becomes
`runs/<study>/results/<run>/` in one rename. So results are whole or absent; a killed run goes on from its last epoch;
and a run that was finished ahead (`frostline train --study`) is only handed over when DVC asks for it.
"""

import hashlib
import shutil
from functools import cache
from pathlib import Path

from frostline.config import Config, to_yaml


class Workplace:
    """The folder of one run, good for exactly one configuration, dataset and state of the code.

    What another configuration, dataset or code left in the folder is removed when the workplace is opened.
    """

    def __init__(self, folder: Path, config: Config, data_hash: str) -> None:
        self.folder = folder
        self.results = folder / "results"
        identity = f"{to_yaml(config)}\n{data_hash}\n{code_hash()}\n"
        mark = folder / "identity"
        if not (mark.is_file() and mark.read_text() == identity):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            mark.write_text(identity)

    @property
    def finished(self) -> bool:
        return (self.results / "result.json").is_file()

    def deliver(self, out: Path) -> None:
        """Hand the results over to `out`, in one rename, and clear the folder."""
        assert self.finished
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        self.results.rename(out)
        shutil.rmtree(self.folder)


@cache
def code_hash() -> str:
    """One hash over the package's own source."""
    digest = hashlib.sha256()
    package = Path(__file__).resolve().parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
