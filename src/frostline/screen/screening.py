"""A screen: every backbone's heads trained in warm processes, as far as they are not there, and what is then known."""

import os
import shutil
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from frostline.config import Config, build
from frostline.errors import FrostlineError
from frostline.launch.local import WarmProcesses, places
from frostline.models.hub import weights_there
from frostline.runs.alone import prepared
from frostline.runs.preflight import check_beforehand
from frostline.screen.candidates import Candidate, chosen
from frostline.screen.cells import ASIDE, Candidacy, Cell, Facts, Parcel
from frostline.screen.entry import work
from frostline.screen.recipe import base, folder_of, with_backbone
from frostline.screen.verdict import Looked, mean_draws
from frostline.words import one_line

LOOK = 0.5  # seconds between two looks at what is there


@dataclass(frozen=True)
class Asked:
    """What is to be looked at. backbones: None for all whose weights are here. overrides: as for `frostline train`,
    without task and backbone. seeds: how many, from 0. command: that asks it again."""

    tasks: Sequence[str]
    backbones: Sequence[str] | None
    overrides: Sequence[str]
    seeds: int
    command: str

    @property
    def pretrained(self) -> bool:
        return not any(one.replace(" ", "") == "backbone.pretrained=false" for one in self.overrides)


@dataclass(frozen=True, eq=False)
class Screen:
    """What was found. primary: by task, the name of the metric. looked: by task, in the order of the candidates.
    refused: by task, backbone -> why. absent: backbones that nobody named and that have no weights here. configs: by
    task, of the probes but for backbone and seed. facts: by task and backbone. trained: probes that this call
    trained. candidates: by name."""

    folder: Path
    primary: Mapping[str, str]
    looked: Mapping[str, Sequence[Looked]]
    refused: Mapping[str, Mapping[str, str]]
    absent: Sequence[str]
    configs: Mapping[str, Config]
    facts: Mapping[str, Mapping[str, Facts]]
    trained: int
    candidates: Mapping[str, Candidate]


def screen(asked: Asked) -> Screen:
    """Look at what is asked for; what is there already is read.

    A backbone that cannot be looked at is told with its reason, and the others go on. Raises FrostlineError where
    nothing can be looked at, or another process screens the same dataset.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # of weights that are here
    configs = {task: base(task, asked.overrides) for task in asked.tasks}
    candidates, absent = chosen(asked.backbones, asked.pretrained)
    if not candidates:
        raise FrostlineError(
            f"No backbone of conf/backbone/ has its weights here (not {', '.join(absent)}): name some, as in "
            "backbones=[resnet18], or begin at random with backbone.pretrained=false."
        )
    for config in configs.values():
        build(config["tracking"]).check()
    config = next(iter(configs.values()))
    dataset, runs = prepared(config), Path(folder_of(config))
    refused: dict[str, dict[str, str]] = {task: {} for task in configs}
    cells: dict[str, dict[str, list[Cell]]] = {task: {} for task in configs}
    for task, config in configs.items():
        for one in candidates:
            own = [with_backbone(config, one.node, seed) for seed in range(asked.seeds)]
            try:
                if one.lacking:
                    raise FrostlineError(one.lacking)
                check_beforehand(own[0])
            except FrostlineError as error:
                refused[task][one.name] = _sentence(error)
                continue
            cells[task][one.name] = [Cell(task, one.name, n, c, runs, dataset.data_hash) for n, c in enumerate(own)]
    runs.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(runs / ".screen.lock").acquire(timeout=0):
            for left in runs.glob(f"{ASIDE}*"):
                shutil.rmtree(left, ignore_errors=True)
            trained, failed = _train(cells, candidates, dataset.path, runs, asked.command)
    except Timeout:
        raise FrostlineError(f"Another process screens this dataset ({runs}): wait for it, or stop it.") from None
    return _found(cells, refused, failed, configs, absent, runs, trained, {one.name: one for one in candidates})


def _todo(cells: Mapping[str, Mapping[str, Sequence[Cell]]], weights: str) -> dict[str, list[Cell]]:
    """By backbone, the probes to be trained. A backbone that is known to be refused has none."""
    todo: dict[str, list[Cell]] = {}
    for by_backbone in cells.values():
        for name, own in by_backbone.items():
            facts = Candidacy(own[0]).read(weights)
            if facts is None or not facts.refused:
                lacking = [cell for cell in own if not cell.done]
                todo.setdefault(name, []).extend(lacking or ([own[0]] if facts is None else []))
    return {name: own for name, own in todo.items() if own}


def _train(
    cells: Mapping[str, Mapping[str, Sequence[Cell]]],
    candidates: Sequence[Candidate],
    dataset: Path,
    runs: Path,
    command: str,
) -> tuple[int, dict[str, dict[str, str]]]:
    """How many probes were trained, and by backbone and task what ended a look at it this time."""
    todo = _todo(cells, weights_there())
    if not todo:
        return 0, {}
    configs = [cell.config for own in todo.values() for cell in own]
    at_once = min(places(configs)[0], len(todo))
    known = {one.name: one for one in candidates}
    # The largest first, so that none is left over for one process at the end.
    order = sorted(todo, key=lambda name: -known[name].parameters)
    jobs = [Parcel(known[name], tuple(todo[name]), dataset, runs, at_once, command) for name in order]
    launcher = WarmProcesses(configs, work=work, most=at_once)
    waiting = [cell for own in todo.values() for cell in own]
    failed: dict[str, dict[str, str]] = {}
    with _Progress(len(waiting)) as progress:
        try:
            pending = {launcher.submit(job): job for job in jobs}
            while pending:
                wait(pending, timeout=LOOK, return_when=FIRST_COMPLETED)
                waiting = progress.look(waiting)
                for future in [future for future in pending if future.done()]:
                    job, error = pending.pop(future), future.exception()
                    if error is not None:
                        failed[job.candidate.name] = {cell.task: _sentence(error) for cell in job.cells}
                    else:
                        failed[job.candidate.name] = future.result()
                    waiting = progress.look(waiting)
                    waiting = progress.end([cell for cell in waiting if cell.backbone == job.candidate.name], waiting)
        except BaseException:  # such as Ctrl+C
            launcher.stop()
            raise
    launcher.close()
    return sum(cell.done for own in todo.values() for cell in own), failed


class _Progress:
    """Heads that are done, of all that are to be trained, and the time left: a bar in a terminal, lines elsewhere."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._bar = tqdm(total=total, desc="screen", unit=" heads", smoothing=0, disable=None)
        self._bar.refresh()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def look(self, waiting: Sequence[Cell]) -> list[Cell]:
        """Tell of those that are done since; which are left."""
        left = [cell for cell in waiting if not cell.done]
        for cell in waiting:
            if cell not in left:
                self._done += 1
                self._bar.update()
                if self._bar.disable:
                    result = cell.result
                    print(
                        f"screen, {self._done} of {self._total} heads: {cell.task} {cell.backbone} seed {cell.seed} "
                        f"{result.primary} {result.metrics[result.primary]:.4f}",
                        flush=True,
                    )
        return left

    def end(self, gone: Sequence[Cell], waiting: Sequence[Cell]) -> list[Cell]:
        """Of a backbone that has ended, those that will not come any more."""
        self._done += len(gone)
        self._bar.update(len(gone))
        return [cell for cell in waiting if cell not in gone]


def _found(
    cells: Mapping[str, Mapping[str, Sequence[Cell]]],
    refused: dict[str, dict[str, str]],
    failed: Mapping[str, Mapping[str, str]],
    configs: Mapping[str, Config],
    absent: Sequence[str],
    runs: Path,
    trained: int,
    candidates: Mapping[str, Candidate],
) -> Screen:
    weights = weights_there()
    looked: dict[str, list[Looked]] = {task: [] for task in cells}
    facts: dict[str, dict[str, Facts]] = {task: {} for task in cells}
    primary: dict[str, str] = {}
    for task, by_backbone in cells.items():
        for name, own in by_backbone.items():
            known = Candidacy(own[0]).read(weights)
            if known is None or known.refused or not all(cell.done for cell in own):
                ended = failed.get(name, {}).get(task, "it was not finished")
                why = known.refused if known is not None and known.refused else ended
                refused[task][name] = why
                continue
            facts[task][name] = known
            looked[task].append(_looked(own, known))
            primary[task] = own[0].result.primary
    return Screen(runs, primary, looked, refused, absent, configs, facts, trained, candidates)


def _looked(cells: Sequence[Cell], facts: Facts) -> Looked:
    results = [cell.result for cell in cells]
    values: dict[Hashable, float] = {result.seed: result.quality for result in results}
    draws = [draw for cell in cells if (draw := cell.resamples) is not None]
    pictures = results[0].scenes.get("test", 0)
    resampled = mean_draws(draws, [*values.values()], pictures) if len(draws) == len(cells) else None
    return Looked(
        cells[0].backbone, values, resampled, results[0].predict_ms, facts.parameters, facts.memory, facts.estimates
    )


def _sentence(error: BaseException) -> str:
    return one_line(str(error)).rstrip(".") or type(error).__name__


Say = Callable[[str], None]


def tell_tracker(folder: Path, say: Say = print) -> None:
    """Have the tracker hear of the probes that it lacks, by what `frostline sync` does; nothing of it ends a screen."""
    from frostline.runs.sync import sync

    try:
        states = list(sync(folder))
    except FrostlineError as error:
        say(f"frostline: {error}")
        return
    if failed := [one for one in states if one.state == "failed"]:
        say(
            f"frostline: {len(failed)} probes are not with the tracker ({failed[0].error.rstrip('.')}); "
            f"`frostline sync {folder.relative_to('runs')}` sends them later."
        )
