"""What an element of a job array does: it has one run trained, tells it to stop in time, and writes down how it ended.

It trains nothing itself, so that it lives to tell where the run is killed; and so it loads nothing large.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from types import FrameType
from typing import IO

from frostline.errors import FrostlineError
from frostline.launch import slurm
from frostline.launch.arrays import Array
from frostline.launch.cells import Cell, Outcome

STOPPED = {128 + signal.SIGTERM, 128 + signal.SIGUSR1}  # how a run ends that was told to, in its batch or before
SAID = re.compile(r"srun: |slurmstepd|\*\*\* |\s*$")  # by others than the run


class Told:
    """What this process is told by signals, and tells the run at once: SIGUSR1, that its time is over; SIGTERM."""

    def __init__(self) -> None:
        self.signals: set[int] = set()
        self._process: subprocess.Popen[str] | None = None
        self._cell: Cell | None = None
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, self._hear)

    def pass_on_to(self, process: "subprocess.Popen[str]", cell: Cell) -> None:
        self._process, self._cell = process, cell
        if self.signals:
            self._pass_on()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        first = not self.signals
        self.signals.add(number)
        if first and self._process is not None:
            self._pass_on()

    def _pass_on(self) -> None:
        assert self._process is not None and self._cell is not None
        self._process.send_signal(signal.SIGUSR1)  # which srun hands to the run; SIGTERM ends srun itself
        limit = signal.SIGUSR1 in self.signals
        what = "before its time limit" if limit else "(SIGTERM)"
        more = ": it needs a larger launcher.signal" if limit else ""
        self._cell.note(f"told to stop {what}, and killed before it had{more}")


def main(folder: Path) -> int:
    """Train the run that this element is for. folder: of its array. The status says how it went."""
    told = Told()
    array = Array.read(folder)
    job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    run = array.runs[int(os.environ["SLURM_ARRAY_TASK_ID"])]
    runs = folder.parent.parent
    plan = runs / "plan" / f"{run}.yaml"
    cell = Cell(plan)
    cell.begin(job)
    before = _epochs(runs, run)
    print(f"{run}: job {job} on {cell.attempts[-1].host}", flush=True)
    cpus = os.environ.get("SLURM_CPUS_PER_TASK", "1")
    process = subprocess.Popen(
        _command(array, plan, cpus),
        env={**os.environ, "OMP_NUM_THREADS": cpus},  # as was asked for here, whatever the submitting shell had
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    told.pass_on_to(process, cell)
    assert process.stderr is not None
    lines: deque[str] = deque(maxlen=50)
    reader = threading.Thread(target=_read, args=(process.stderr, lines), daemon=True)
    reader.start()
    status = process.wait()
    reader.join(10)
    status = 128 - status if status < 0 else status
    outcome, reason = _judged(status, told.signals, list(lines), _epochs(runs, run) > before)
    if outcome == "waiting" and (folder / "cancelled").exists():
        outcome, reason = "cancelled", "by `frostline cancel`"
    elif outcome == "waiting" and slurm.state_of(job) not in ("RUNNING", ""):
        outcome, reason = "cancelled", "taken out of the queue while it ran"
    cell.end(outcome, status, reason)
    print(f"{run}: {outcome}, exit {status}{f': {reason}' if reason else ''}", flush=True)
    if outcome == "waiting":
        try:
            slurm.requeue(job)
        except FrostlineError as error:
            cell.end("failed", status, f"{reason}, and could not be requeued ({error}): submit again, and it goes on")
    return status


def _command(array: Array, plan: Path, cpus: str) -> list[str]:
    """What starts the run's processes, each by the same command. cpus: of each; srun does not take the job's."""
    started = [f"--ntasks={array.tasks}", f"--nodes={array.nodes}", f"--cpus-per-task={cpus}", "--kill-on-bad-exit=1"]
    return ["srun", *started, sys.executable, "-m", "frostline", "train", "--ahead", "--plan", str(plan)]


def _judged(status: int, signals: set[int], lines: list[str], further: bool) -> tuple[Outcome, str]:
    """How a run has ended. further: whether it has trained an epoch since."""
    if status == 0:
        return "done", ""
    if signals or status in STOPPED:
        limit = signal.SIGUSR1 in signals
        if limit and not further:
            return "failed", "no epoch ended within the time limit, so none would the next time: raise launcher.time"
        return "waiting", "stopped before its time limit" if limit else "told to stop (SIGTERM)"
    if status == 128 + signal.SIGKILL:
        return "failed", "its process was killed (-9), perhaps for want of memory: submit again, and it goes on"
    said = [line.strip() for line in lines if not SAID.match(line)]
    own = [line.removeprefix("frostline: ") for line in said if line.startswith("frostline: ")]
    return "failed", (own or said or [f"its process ended with status {status}"])[-1]


def _read(stream: IO[str], lines: "deque[str]") -> None:
    for line in stream:
        sys.stderr.write(line)
        sys.stderr.flush()
        lines.append(line)


def _epochs(runs: Path, run: str) -> int:
    try:
        return (runs / "work" / run / "epochs.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
