"""The command line: a file a command, each with its arguments and what it does.

Everything heavy (torch, Lightning, MLflow: ten seconds on a cold start) is imported by the command that needs it, once
it does, so that `--help`, a misspelt key and a finished run are answered at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from frostline.cli import (
    annotate,
    cache,
    cancel,
    champion,
    compare,
    doctor,
    evaluate,
    export,
    lecture,
    models,
    plan,
    predict,
    prepare,
    preview,
    schedule,
    screen,
    serve,
    status,
    study,
    submit,
    sync,
    train,
)
from frostline.cli.stopping import Stopped, stoppable
from frostline.errors import FrostlineError
from frostline.files import room_wanted

COMMANDS = (
    *(study, plan, prepare, doctor, annotate, preview, screen, train, submit, status, cancel, compare),
    *(sync, champion, predict, evaluate, export, serve, schedule, models, cache, lecture),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    0 where it worked, 1 where a part of what was asked for could not be done, 2 where the user can mend what is wrong;
    130 where it was interrupted and 143 where it was told to stop, as a shell gives them.
    """
    args = _parsed(argv)
    try:
        with stoppable(), room_wanted(Path.cwd()):
            return int(args.command(args) or 0)
    except FrostlineError as error:
        print(f"frostline: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(f"\nfrostline: {stopped}; the same command goes on from what there is.", file=sys.stderr)
        return stopped.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; overrides may stand behind options, before them, and on both sides, where argparse stops."""
    parser = _parser()
    args, left = parser.parse_known_args(argv)
    taken = next((key for key in ("overrides", "what") if hasattr(args, key)), None)
    paths = taken == "what"  # which takes these as well
    if strange := [each for each in left if taken is None or each.startswith("-") or not (paths or "=" in each)]:
        hint = "" if taken != "overrides" else " (values are KEY=VALUE, such as trainer.epochs=2)"
        parser.error(f"unrecognized arguments: {' '.join(strange)}{hint}")
    if left and taken:
        getattr(args, taken).extend(left)
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="frostline",
        description="Which pretrained architecture, how deep frozen, for how long? Answered on your own pictures.",
        epilog="`dvc repro` runs a study: plan, prepare, train each run, compare. `frostline train` is one run alone. "
        "Slow are `train`, `screen`, `plan --dry-run`, which times steps of each model, and `schedule show`, which "
        "builds one; the others answer in a second or two, or as fast as pictures are read.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
