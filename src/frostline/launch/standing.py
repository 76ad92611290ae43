"""Where each run of a study stands: by its results, by the queue, and by what its cell has written. Without torch."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from frostline.code import RESULTS, code_hash
from frostline.config import read
from frostline.errors import FrostlineError
from frostline.launch import slurm
from frostline.launch.arrays import Sent, folders, where
from frostline.launch.cells import Attempt, Cell
from frostline.launch.planned import Job, plans_of
from frostline.launch.progress import epochs_of, journal_of, seconds_left, told
from frostline.runs.identity import MARK
from frostline.scenes.layout import INFO, read_info
from frostline.studies.stale import code_changed, of_other_code
from frostline.studies.study import Study
from frostline.words import duration

State = Literal["done", "running", "queued", "waiting", "failed", "cancelled", "stale", "not begun"]
ALIVE: tuple[State, ...] = ("running", "queued", "waiting")  # what is not sent once more
GONE = "its process is gone without a word (kill -9, or its node went down): submit again, and it goes on"


@dataclass(frozen=True)
class Standing:
    """state: done, also where `dvc repro` has yet to take it over; waiting: it was stopped, and the queue begins it
    again. told: what else is known, for people."""

    run: str
    state: State
    told: str = ""


def current_plans_of(study: Study) -> dict[str, Path]:
    """As `plans_of`. Raises FrostlineError also where the study is not planned as it is today."""
    plans = plans_of(study)
    if plans.keys() != study.cells().keys():
        raise FrostlineError(
            f"{study.folder}/study.yaml has other runs than {study.runs / 'plan'}: run `frostline plan {study.folder}` "
            "again."
        )
    return plans


def standings(study: Study, plans: Mapping[str, Path], sent: Mapping[str, Sent]) -> list[Standing]:
    """Of each planned run. sent: as `arrays.where` gives it, asked for before."""
    datasets = _datasets(study.runs / "data")
    edited = set(plans) if code_changed(study) else of_other_code(study)
    return [_standing(study, name, plan, sent.get(name), datasets, name in edited) for name, plan in plans.items()]


def sent_of(study: Study) -> dict[str, Sent]:
    """Where each run was sent last; the queue is asked where any was. Raises FrostlineError as `slurm.call`."""
    return where(study.runs, slurm.queue()) if folders(study.runs) else {}


def _standing(
    study: Study, name: str, plan: Path, sent: Sent | None, datasets: Collection[str], edited: bool
) -> Standing:
    element = None if sent is None else sent.element
    delivered = _delivered(study, name, plan)
    # Where it is on its way, its results are of before: `submit` would send it once more.
    if delivered and not edited and not (element is not None and element.alive):
        return Standing(name, "done")
    if _finished_ahead(study, name, plan, datasets):
        return Standing(name, "done", "`dvc repro` takes it over")
    last = Cell(plan).last  # after the queue was asked: what has ended since, has said so
    if last is not None and last.outcome in ("failed", "cancelled"):
        newer = element is not None and element.alive and element.id != last.job
        if not newer:
            return Standing(name, last.outcome, _ended(last))
    if element is not None and element.alive:
        if not element.waits:
            # Not failed: where the queue begins it again by itself, its new process may not have written yet.
            gone = "; its process is gone, and the queue has not noticed" if last is not None and last.gone else ""
            return Standing(name, "running", _running(plan, last, f"job {element.id}") + gone)
        begun = last is not None and last.job == element.id
        return Standing(name, "waiting" if begun else "queued", f"job {element.id}, {element.reason}{_stopped(last)}")
    if last is not None and last.outcome is None:
        if last.job is None and not last.gone:
            return Standing(name, "running", _running(plan, last, f"process {last.pid}"))
        if sent is not None and sent.cancelled:
            return Standing(name, "cancelled", f"job {sent.job}, by `frostline cancel`")
        if last.reason:  # it was told to stop
            return Standing(name, "failed", _ended(last))
        state = "" if element is None else f", {element.state}"
        return Standing(name, "failed", f"job {last.job or last.pid} on {last.host}{state}: {GONE}")
    if sent is not None and sent.cancelled:
        return Standing(name, "cancelled", "by `frostline cancel`, before it began")
    if last is not None and last.outcome == "waiting":
        return Standing(name, "failed", f"job {last.job} was to begin again, and the queue has it no longer")
    if sent is not None and last is None:
        state = "" if element is None else f" ({element.state})"
        return Standing(name, "failed", f"job {sent.job} never began, and has left the queue{state}")
    if delivered:
        return Standing(name, "stale", "its results are of other code than today's")
    return Standing(name, "not begun")


def _finished_ahead(study: Study, name: str, plan: Path, datasets: Collection[str]) -> bool:
    """Whether a run is finished in its workplace, by today's plan, code and data, for `dvc repro` to take over."""
    work = study.runs / "work" / name
    try:
        if not (work / "results" / "result.json").is_file():
            return False
        mark, text = (work / MARK).read_text(encoding="utf-8"), plan.read_text(encoding="utf-8")
    except OSError:
        return False
    # As `workplace.identity` writes it. Its dataset is one of the study's: to tell which, the plan would be parsed.
    if not mark.startswith(text + "\n"):
        return False
    data, *code = mark[len(text) + 1 :].split("\n")
    return code[:1] == [code_hash(*RESULTS)] and data in datasets


def _running(plan: Path, last: Attempt | None, what: str) -> str:
    """How far a run is, and how long it will take."""
    where_ = f"{what}{f' on {last.host}' if last is not None else ''}"
    try:
        job = Job(plan, read(plan))
        lines, epochs = journal_of(job), epochs_of(job)
    except FrostlineError:  # no plan or dataset any more
        return where_
    if last is None or not lines:
        return f"{where_}, no epoch yet"
    left = seconds_left(lines, last.started, epochs)
    return f"{where_}, {told(job, lines[-1], epochs)}{'' if left is None else f', about {duration(left)} left'}"


def _ended(last: Attempt) -> str:
    exit_ = "" if last.exit is None else f"exit {last.exit}"
    at = f"{f'job {last.job}' if last.job else f'process {last.pid}'} on {last.host}"
    return ", ".join(part for part in (at, exit_) if part) + (f": {last.reason}" if last.reason else "")


def _stopped(last: Attempt | None) -> str:
    return f"; {last.reason}" if last is not None and last.outcome == "waiting" else ""


def _delivered(study: Study, name: str, plan: Path) -> bool:
    """Whether it has results by today's plan."""
    folder = study.runs / "results" / name
    try:
        return (folder / "result.json").is_file() and (folder / "config.yaml").read_bytes() == plan.read_bytes()
    except OSError:
        return False


def _datasets(folder: Path) -> set[str]:
    """The hashes of a study's prepared datasets."""
    return {str(read_info(path.parent)["data_hash"]) for path in folder.glob(f"*/{INFO}")}
