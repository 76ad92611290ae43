"""Train all stale runs of a study ahead of DVC, in processes that have already started.

Importing the libraries takes fifteen seconds or so, often longer than a short run: so here each process trains many.
`dvc repro` then finds every run finished in its workplace, and only hands it over.
"""

import os
import queue
import traceback
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from frostline.config import Config, read
from frostline.errors import FrostlineError
from frostline.launch.worker import Worker
from frostline.runs.beforehand import check_beforehand
from frostline.runs.provenance import cores
from frostline.runs.workplace import Workplace
from frostline.scenes.dataset import Dataset
from frostline.studies.stale import stale
from frostline.studies.study import Study


def train_ahead(study: Study) -> None:
    """Train every planned run that is stale; as many at once as trainer.threads leaves room for on this machine.

    A run that fails does not stop the others, nor one whose process is killed. Raises FrostlineError at the end, naming
    those that failed.
    """
    plans = {path.stem: path for path in sorted((study.runs / "plan").glob("*.yaml"))}
    if not plans:
        raise FrostlineError(f"{study.runs / 'plan'} plans no run: run `frostline plan {study.folder}` first.")
    configs = {name: read(path) for name, path in plans.items()}
    reasons = stale(study, configs)
    todo = [name for name in configs if name in reasons]
    if not todo:
        return
    jobs, threads, gpus = places([configs[name] for name in todo])
    failed: dict[str, str] = {}
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for the processes to come: torch reads it when it loads
    workers = [Worker(gpus[number] if gpus else None) for number in range(jobs)]
    free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in workers:
        free.put(worker)

    def train(name: str) -> str:
        worker = free.get()
        try:
            return worker.do(_train, plans[name])
        finally:
            free.put(worker)

    with (
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=len(todo), desc=f"{study.name}: {jobs} at a time", unit="run") as bar,
    ):
        try:
            futures = {pool.submit(train, name): name for name in todo}
            for future in as_completed(futures):
                error = future.exception()
                if error is None:
                    bar.write(future.result())
                else:
                    failed[futures[future]] = str(error).strip().splitlines()[0] if str(error) else repr(error)
                bar.update()
        except BaseException:  # such as Ctrl+C
            for worker in workers:
                worker.stop()
            raise
    for worker in workers:
        worker.close()
    if failed:
        raise FrostlineError(_summary(failed, len(todo)))


def places(configs: Collection[Config]) -> tuple[int, int, list[str]]:
    """How many of these runs are trained at once on this machine, the threads of each, and the GPUs, one for each.

    The GPUs are named as CUDA_VISIBLE_DEVICES names them; none where the runs are trained on the processor, as many at
    once as its cores allow. A run that states no threads has every core, or its share of them beside its GPU.
    """
    gpus = _gpus() if any(config["trainer"]["accelerator"] != "cpu" for config in configs) else []
    share = max(1, cores() // max(1, len(gpus)))
    threads = max(config["trainer"]["threads"] or share for config in configs)
    jobs = max(1, cores() // threads)
    return min(jobs, len(gpus) or jobs, len(configs)), threads, gpus


def _gpus() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return []
    chosen, count = os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count()
    return chosen.split(",")[:count] if chosen else [str(number) for number in range(count)]


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
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc())
        raise RuntimeError(f"{traceback.format_exc(0).strip().splitlines()[-1]} (all of it in {log})") from None


def _finish(plan: Path) -> tuple[Workplace, str]:
    config = read(plan)
    runs = plan.parent.parent
    dataset = Dataset.open(runs / "data" / config["dataset"]["name"])
    workplace = Workplace(runs / "work" / plan.stem, config, dataset.data_hash)
    if workplace.finished:
        return workplace, f"{plan.stem}: finished before"
    check_beforehand(config)
    from frostline.runs.build import build_run  # imports torch
    from frostline.runs.train import train

    built = build_run(config, dataset, plan.stem)
    return workplace, train(built, workplace, f"frostline train --plan {plan}").summary


def _summary(failed: dict[str, str], total: int) -> str:
    lines: Sequence[str] = [f"  {name}: {reason}" for name, reason in failed.items()]
    return "\n".join([f"{len(failed)} of {total} runs failed; the others are done. Mend and run again:", *lines])
