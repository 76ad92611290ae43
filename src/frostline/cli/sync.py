"""`frostline sync`: what a tracker missed."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from frostline.cli.common import Commands
from frostline.errors import FrostlineError


def add(commands: Commands) -> None:
    sync = commands.add_parser(
        "sync",
        help="send finished runs to the tracker, where it missed them or parts of them",
        description="Sends each finished run of a study to the tracker that the run names (conf/tracking/), unless "
        "that has it whole: a server that was away, or another store. Sent twice, it is there once.",
        epilog="MLFLOW_TRACKING_URI=http://127.0.0.1:5000 frostline sync quickstart",
    )
    sync.add_argument("study", metavar="STUDY", help="in experiments/, the folder of a study, or one in runs/")
    sync.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from frostline.runs.sync import sync

    with tqdm(sync(_runs(args.study)), unit="run", disable=not sys.stderr.isatty(), leave=False) as synced:
        found = list(synced)
    count = Counter(one.state for one in found)
    untold = f"; {count['untold']} name a tracker that keeps none, or does not say what it has" * (count["untold"] > 0)
    stopped = f"; {count['stopped']} killed by force read KILLED now, no longer RUNNING" * (count["stopped"] > 0)
    sent = f"{count['sent']} {'run' if count['sent'] == 1 else 'runs'} sent"
    print(f"{sent}; {count['there']} were there{untold}{stopped}")
    for one in found:
        if one.error:
            print(f"frostline: {one.run} could not be sent ({one.error}).", file=sys.stderr)
    return 1 if count["failed"] else 0


def _runs(study: str) -> Path:
    """The folder of its runs."""
    from frostline.runs.workplace import RUNS
    from frostline.studies.pipeline import folder_of
    from frostline.studies.study import read_study

    folder = folder_of(study)
    if (folder / "study.yaml").is_file():
        return read_study(folder).runs
    if any((RUNS / study / part).is_dir() for part in ("results", "work")):  # of runs that are no part of a study
        return RUNS / study
    raise FrostlineError(f"There is no study {study}: neither {folder}/study.yaml nor {RUNS / study}/results.")
