"""Train all stale runs of a study ahead of DVC, in processes that have already started.

Importing the libraries takes fifteen seconds or so, often longer than a short run: so here each process trains many.
`dvc repro` then finds every run finished in its workplace, and only hands it over.
"""

import multiprocessing
import os
import queue
import threading
import traceback
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from frostline.config import Config, read
from frostline.data.dataset import Dataset
from frostline.errors import FrostlineError
from frostline.studies.plan import Study, stale
from frostline.studies.provenance import cores
from frostline.studies.workplace import Workplace


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
    free: queue.SimpleQueue[Place] = queue.SimpleQueue()

    def train(name: str) -> str:
        place = free.get()
        try:
            return place.do(_train, plans[name])
        finally:
            free.put(place)

    with (
        ExitStack() as stack,
        ThreadPoolExecutor(jobs) as pool,
        tqdm(total=len(todo), desc=f"{study.name}: {jobs} at a time", unit="run") as bar,
    ):
        for number in range(jobs):
            free.put(stack.enter_context(closing(Place(gpus[number] if gpus else None))))
        futures = {pool.submit(train, name): name for name in todo}
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error is None:
                    bar.write(future.result())
                else:
                    failed[futures[future]] = str(error).strip().splitlines()[0] if str(error) else repr(error)
                bar.update()
        except BaseException:  # such as Ctrl+C: what has not begun is not begun any more
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failed:
        raise FrostlineError(_summary(failed, len(todo)))


def places(configs: Collection[Config]) -> tuple[int, int, list[str]]:
    """How many of these runs are trained at once on this machine, the threads of each, and the GPUs, one for each.

    The GPUs are named as CUDA_VISIBLE_DEVICES names them; none where the runs are trained on the processor, as many at
    once as the cores allow.
    """
    gpus: list[str] = []
    threads = max(config["trainer"]["threads"] or cores() for config in configs)
    jobs = max(1, cores() // threads)
    if any(config["trainer"]["accelerator"] != "cpu" for config in configs):
        import torch

        if torch.cuda.is_available():
            chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
            count = torch.cuda.device_count()
            gpus = chosen.split(",")[:count] if chosen else [str(number) for number in range(count)]
            jobs = min(jobs, count)
    return min(jobs, len(configs)), threads, gpus


class Place:
    """One process that trains run after run. It ends with this one, also where that is killed.

    gpu: the one that it alone uses, as CUDA_VISIBLE_DEVICES names it.
    """

    def __init__(self, gpu: str | None = None) -> None:
        self.gpu = gpu
        self._process = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # Spawned, because a forked copy of a process with threads can hang.
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(self.gpu,))

    def do(self, work: Callable[..., str], *args: Any) -> str:
        """What the process answers. Raises what `work` raises, and FrostlineError where the process was killed."""
        try:
            return self._process.submit(work, *args).result()
        except BrokenProcessPool:
            self.close()
            self._process = self._start()
            raise FrostlineError(
                "its process was killed, perhaps for want of memory: with a higher trainer.threads fewer run at once."
            ) from None

    def close(self) -> None:
        self._process.shutdown()


def _begin(gpu: str | None) -> None:
    """Left alone, a process waits for work that nobody can give it any more, and keeps its memory."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # Lightning takes the first that it sees
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
    from frostline.studies.run import summary, train  # imports torch

    return workplace, summary(train(config, dataset, workplace, plan.stem, f"frostline train --plan {plan}"))


def _summary(failed: dict[str, str], total: int) -> str:
    lines: Sequence[str] = [f"  {name}: {reason}" for name, reason in failed.items()]
    return "\n".join([f"{len(failed)} of {total} runs failed; the others are done. Mend and run again:", *lines])
