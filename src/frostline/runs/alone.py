"""A run that is no part of a study: prepared, trained and delivered by one call, as `frostline train` does it."""

import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from frostline.config import Config, build, compose, to_yaml
from frostline.environment import importing
from frostline.runs.finish import finish, member_of
from frostline.runs.identity import MARK, beside
from frostline.runs.preflight import check_beforehand
from frostline.runs.result import RunResult
from frostline.runs.workplace import RUNS, identity, run_name
from frostline.scenes.dataset import Dataset


def prepare(*overrides: str) -> Dataset:
    """Check, split and store the pictures that `frostline prepare` with these overrides would; once, in runs/data/."""
    return prepared(compose(overrides))


def train(*overrides: str) -> RunResult:
    """Do what `frostline train` with these overrides does, such as "task=detection", "schedule=thaw".

    The dataset is prepared where it is not yet; results lie in runs/STUDY/results/, in the result's `folder`, and a run
    that is done is not trained again. Raises FrostlineError where something is wrong with them.
    """
    return train_alone(compose(overrides), ["train", *overrides])[0]


def prepared(config: Config, for_training: bool = True) -> Dataset:
    """The dataset of a configuration, prepared once and kept in runs/data/.

    for_training: as `examine` takes it. Raises FrostlineError as `prepare`.
    """
    from frostline.checking.prepare import prepare_from_config

    return prepare_from_config(config["dataset"], data_of(config), for_training=for_training)


def data_of(config: Config) -> Path:
    """The folder of that dataset."""
    return RUNS / "data" / f"{config['dataset']['name']}-{_digest(config['dataset'], 10)}"


def train_alone(config: Config, arguments: Sequence[str]) -> tuple[RunResult, bool]:
    """Train a run of its own, unless it is done; its result, and whether it was trained now.

    arguments: of `frostline`, that train it again. A process that was started to help another one ends here.
    Raises FrostlineError where something is wrong with it, before anything is prepared wherever that can be known.
    """
    check_beforehand(config)
    build(config["tracking"]).check()
    if config["backbone"].get("weights") is not None:
        with importing():  # torch
            from frostline.runs.build import build_backbone

        build_backbone(config)  # so that weights that do not fit are told before pictures are prepared
    dataset, name = prepared(config), run_name(config)
    # Runs that differ in what the name does not tell (a rate, a size) lie side by side.
    folder, runs = f"{name}-{_digest(config, 6)}", RUNS / config["study"]
    done = runs / "results" / folder
    mark, this = done / MARK, identity(config, dataset.data_hash)
    if mark.is_file() and mark.read_text() == this:
        return RunResult.read(done / "result.json"), False
    work = runs / "work" / folder
    if not work.exists() and member_of(config) is None and (told := beside(work, this)):
        print(f"frostline: {told}.", file=sys.stderr)
    finished = finish(config, dataset, name, work, arguments)
    if finished is None:
        sys.exit(0)
    (finished.workplace.results / mark.name).write_text(this)  # so that it is known as done
    finished.workplace.deliver(done)
    return RunResult.read(done / "result.json"), True


def _digest(config: Config, letters: int) -> str:
    return sha256(to_yaml(config).encode()).hexdigest()[:letters]
