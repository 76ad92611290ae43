"""Train all stale runs of a study ahead of DVC, in processes that have already started.

Importing the libraries takes fifteen seconds or so, often longer than a short run: so here each process trains many.
`dvc repro` then finds every run finished in its workplace, and only hands it over.
"""

import multiprocessing
import os
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from frostline.config import read
from frostline.data.dataset import Dataset
from frostline.errors import FrostlineError
from frostline.studies.plan import Study, stale
from frostline.studies.provenance import cores
from frostline.studies.workplace import Workplace


def train_ahead(study: Study) -> None:
    """Train every planned run that is stale; as many at once as trainer.threads leaves room for on this machine.

    A run that fails does not stop the others. Raises FrostlineError at the end, naming those that failed.
    """
    plans = {path.stem: path for path in sorted((study.runs / "plan").glob("*.yaml"))}
    if not plans:
        raise FrostlineError(f"{study.runs / 'plan'} plans no run: run `frostline plan {study.folder}` first.")
    configs = {name: read(path) for name, path in plans.items()}
    reasons = stale(study, configs)
    todo = [name for name in configs if name in reasons]
    if not todo:
        return
    threads = max(configs[name]["trainer"]["threads"] or cores() for name in todo)
    jobs = min(len(todo), _places(threads, any(configs[name]["trainer"]["accelerator"] != "cpu" for name in todo)))
    failed: dict[str, str] = {}
    # Spawned, because a forked copy of a process with threads can hang; the environment must be set before torch loads.
    context = multiprocessing.get_context("spawn")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with (
        ProcessPoolExecutor(jobs, context) as pool,
        tqdm(total=len(todo), desc=f"{study.name}: {jobs} at a time", unit="run") as bar,
    ):
        futures = {pool.submit(_train, plans[name]): name for name in todo}
        for future in as_completed(futures):
            error = future.exception()
            if error is None:
                bar.write(future.result())
            else:
                failed[futures[future]] = str(error).strip().splitlines()[0] if str(error) else repr(error)
            bar.update()
    if failed:
        raise FrostlineError(_summary(failed, len(todo)))


def _places(threads: int, may_use_gpu: bool) -> int:
    """How many runs this machine takes at once: one on each GPU, where there are any; else as its cores allow."""
    places = max(1, cores() // threads)
    if may_use_gpu:
        import torch

        if torch.cuda.is_available():
            return min(places, torch.cuda.device_count())
    return places


def train_planned(plan: Path) -> str:
    """Train the run of a plan file unless it is finished already, hand its results over, and say how it went."""
    runs = plan.parent.parent
    workplace, line = _finish(plan)
    workplace.deliver(runs / "results" / plan.stem)
    return line


def _train(plan: Path) -> str:
    try:
        return _finish(plan)[1]
    except FrostlineError:
        raise
    except Exception:
        log = plan.parent.parent / "work" / plan.stem / "error.txt"
        log.write_text(traceback.format_exc())
        raise RuntimeError(f"{traceback.format_exc(0).strip().splitlines()[-1]} (all of it in {log})") from None


def _finish(plan: Path) -> tuple[Workplace, str]:
    config = read(plan)
    runs = plan.parent.parent
    dataset = Dataset.open(runs / "data" / config["dataset"]["name"])
    workplace = Workplace(runs / "work" / plan.stem, config, dataset.data_hash)
    if workplace.finished:
        return workplace, f"{plan.stem}: finished before"
    from frostline.studies.run import summary, train  # imports torch

    return workplace, summary(train(config, dataset, workplace, plan.stem, f"frostline train --plan {plan}"))


def _summary(failed: dict[str, str], total: int) -> str:
    lines: Sequence[str] = [f"  {name}: {reason}" for name, reason in failed.items()]
    return "\n".join([f"{len(failed)} of {total} runs failed; the others are done. Mend and run again:", *lines])
