"""Train all stale runs of a study ahead of DVC, which finds each finished in its workplace, and only takes it over.

DVC would start a process for each run, one after the other.
"""

from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, wait

from frostline.config import Config, read
from frostline.errors import FrostlineError
from frostline.launch.local import Local
from frostline.launch.planned import Job
from frostline.launch.progress import Progress
from frostline.studies.stale import stale
from frostline.studies.study import Study

LOOK = 1.0  # seconds between two looks at how far the runs are


def train_ahead(study: Study, launch: Callable[[list[Config]], Local] = Local) -> None:
    """Train every planned run that is stale, several at once.

    launch: makes what trains jobs of these configurations. A run that fails does not stop the others, nor one whose
    process is killed. Raises FrostlineError at the end, naming those that failed.
    """
    plans = {path.stem: path for path in sorted((study.runs / "plan").glob("*.yaml"))}
    if not plans:
        raise FrostlineError(f"{study.runs / 'plan'} plans no run: run `frostline plan {study.folder}` first.")
    configs = {name: read(path) for name, path in plans.items()}
    reasons = stale(study, configs)
    jobs = [Job(plans[name], config) for name, config in configs.items() if name in reasons]
    if not jobs:
        print(f"{study.name}: all {len(configs)} runs are up to date.")
        return
    failed = _train(study.name, jobs, launch([job.config for job in jobs]))
    if failed:
        lines = [f"  {name}: {reason}" for name, reason in failed.items()]
        head = f"{len(failed)} of {len(jobs)} runs failed; the others are done. Mend and run again:"
        raise FrostlineError("\n".join([head, *lines]))


def _train(study: str, jobs: Collection[Job], launcher: Local) -> dict[str, str]:
    """What each job failed by that did."""
    failed: dict[str, str] = {}
    with Progress(f"{study}, {launcher.at_once} at a time", jobs) as progress:
        try:
            pending = {launcher.submit(job): job for job in jobs}
            while pending:
                wait(pending, timeout=LOOK, return_when=FIRST_COMPLETED)
                progress.look()
                for future in [future for future in pending if future.done()]:
                    job, error = pending.pop(future), future.exception()
                    if error is not None:
                        failed[job.name] = str(error).strip().splitlines()[0] if str(error) else repr(error)
                    progress.end(job, f"{job.name} failed" if error is not None else future.result())
        except BaseException:  # such as Ctrl+C
            launcher.stop()
            raise
    launcher.close()
    return failed
