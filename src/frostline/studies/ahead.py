"""Train all stale runs of a study ahead of DVC, in processes that have already started.

Importing the libraries takes fifteen seconds or so, often longer than a short run: so here each process trains many.
`dvc repro` then finds every run finished in its workplace, and only hands it over.
"""

import multiprocessing
import os
import threading
import traceback
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from frostline.config import Config, read
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
    jobs, threads = places([configs[name] for name in todo])
    failed: dict[str, str] = {}
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for the processes to come: torch reads it when it loads
    with (
        processes(jobs) as pool,
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


def places(configs: Collection[Config]) -> tuple[int, int]:
    """How many of these runs are trained at once on this machine, and the threads that each may use.

    One on each GPU, where there are any; else as the cores allow.
    """
    threads = max(config["trainer"]["threads"] or cores() for config in configs)
    jobs = max(1, cores() // threads)
    if any(config["trainer"]["accelerator"] != "cpu" for config in configs):
        import torch

        if torch.cuda.is_available():
            jobs = min(jobs, torch.cuda.device_count())
    return min(jobs, len(configs)), threads


def processes(count: int) -> ProcessPoolExecutor:
    """A pool of processes that end with this one, also where it is killed."""
    # Spawned, because a forked copy of a process with threads can hang.
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Left alone, a process of a pool waits for work that nobody can give it any more, and keeps its memory."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        parent.join()
        os._exit(1)  # the main thread may be anywhere, so nothing is tidied up, as in any kill

    threading.Thread(target=end, daemon=True).start()


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
