"""What the tests of a panel's runs say picture by picture."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from frostline.metrics.resampled import set_metric
from frostline.parallel import in_processes, in_threads
from frostline.report.arms import Arm, Panel
from frostline.runs.tested import PICTURES, read_rows
from frostline.statistics.pictures import Counts, Resampled, resamples

TIMES = 1000  # resamples
FEW = 8  # runs, for which no process is begun
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Of a panel whose runs were all tested on the same pictures.

    ids: of the n pictures. tables: of each arm, by name, a table of `runs.tested.read_rows` for each run.
    """

    ids: list[str]
    tables: dict[str, list[Any]]

    @cached_property
    def resampled(self) -> dict[str, Resampled]:
        """Of each arm the primary metric as a mean over its runs, over all pictures and over TIMES resamples.

        These are the same for all arms, so that differences are of the same pictures.
        """
        work = [rows for tables in self.tables.values() for rows in tables]
        _counts(len(self.ids))  # once, and not in each thread
        # Boxes take a thousand short steps a run, which threads would do one after another.
        share = in_processes if "objects" in work[0].column_names and len(work) > FEW else in_threads
        found = share(_resampled, work, None)
        means = {name: np.mean([next(found) for _ in tables], axis=0) for name, tables in self.tables.items()}
        return {name: Resampled(len(self.ids), float(mean[0]), mean[1:]) for name, mean in means.items()}

    def quality(self, name: str) -> Floats:
        """How good an arm is on each picture (n,), 0..1, as a mean over its runs; NaN where nothing can be found."""
        each = [rows["quality"].to_numpy(zero_copy_only=False).astype(float) for rows in self.tables[name]]
        mean: Floats = np.mean(each, axis=0)
        return mean

    def apart(self, first: str, second: str, most: int) -> list[tuple[str, float]]:
        """The pictures on which two arms differ most, and by how much: first minus second, the farthest first."""
        differences = self.quality(first) - self.quality(second)
        order = np.argsort(-np.abs(np.nan_to_num(differences)), kind="stable")[:most]
        return [
            (self.ids[n], float(differences[n]))
            for n in order
            if differences[n] != 0 and differences[n] == differences[n]
        ]


def pictures_of(panel: Panel) -> Pictures | None:
    """None where a run left no rows, or where runs were tested on other pictures than the first."""
    tables = {arm.name: _tables(arm) for arm in panel.arms}
    every = [rows for tables in tables.values() for rows in tables]
    if any(rows is None for rows in every):
        return None
    ids = every[0].column("id")
    if any(rows.column("id") != ids for rows in every[1:]):
        return None
    return Pictures(ids.to_pylist(), tables)


def _resampled(rows: Any) -> Floats:
    """The primary metric of a run over all its pictures, and over TIMES resamples of them, (1 + TIMES,)."""
    return set_metric(rows)(cast(Any, _counts(len(rows))))


@lru_cache(maxsize=1)
def _counts(pictures: int) -> Counts:
    return np.vstack([np.ones(pictures, np.uint16), resamples(pictures, TIMES)])


def _tables(arm: Arm) -> list[Any]:
    return [read_rows(run.folder / PICTURES) for run in arm.runs]
