"""`frostline predict`: what a model says of pictures."""

import argparse
import sys
from collections.abc import Iterator
from itertools import repeat, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frostline.cli.common import Commands
from frostline.environment import keep_memory
from frostline.errors import FrostlineError

if TYPE_CHECKING:
    from frostline.predict.model import Answer

EXAMPLES = """\
MODEL is a run (runs/STUDY/results/RUN), the folder of a model, an exported file, or models:/NAME@champion.

  frostline predict runs/default/results/RUN meadow.jpg
  frostline predict MODEL pictures/ --format csv --out found.csv
  frostline predict MODEL 'scans/**/*.tif' --draw drawn/ --window 640
  find . -name '*.jpg' | frostline predict MODEL - --format json
"""


def add(commands: Commands) -> None:
    predict = commands.add_parser(
        "predict",
        help="say what a model sees in pictures: a table, a file for other tools, or drawn",
        description="Say what a model sees in pictures. A picture that cannot be read is named, and the rest is "
        "delivered; the exit status is 1 then. It takes some seconds to begin, but of an exported file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.add_argument("model", metavar="MODEL", help="see below")
    what = "a file, a folder, a 'pattern', or - for a list on standard input"
    predict.add_argument("pictures", nargs="+", metavar="PICTURE", help=what)
    predict.add_argument(
        "--format",
        choices=("table", "json", "csv", "coco", "yolo", "masks"),
        default="table",
        help="table (by default): a line a picture; coco and yolo: boxes; masks: a PNG of class numbers a picture",
    )
    predict.add_argument("--out", type=Path, metavar="PATH", help="a file, or a folder for yolo and masks")
    predict.add_argument("--draw", type=Path, metavar="FOLDER", help="each picture with what was found drawn over it")
    explain = "classification: each picture beside what its class was decided by"
    predict.add_argument("--explain", type=Path, metavar="FOLDER", help=explain)
    predict.add_argument("--threshold", type=float, metavar="SCORE", help="of detected boxes, at least (0.3)")
    predict.add_argument(
        "--top", type=int, default=3, metavar="N", help="classes of a picture that are told, in table and csv (3)"
    )
    window = "look at larger pictures in overlapping windows of this side as well: as much as training showed at once"
    predict.add_argument("--window", type=int, metavar="PX", help=window)
    predict.add_argument("--batch-size", type=int, default=16, metavar="N", help="pictures at once (16)")
    predict.add_argument("--device", metavar="NAME", help="cpu, cuda, …; by default the fastest that there is")
    predict.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from frostline.predict.drawn import opened
    from frostline.predict.gathered import count_of, gathered
    from frostline.predict.heat import explanation_picture
    from frostline.predict.kinds import SURE, Classified, Detected
    from frostline.predict.windows import check_window
    from frostline.predict.written import check_format, check_free, free, save, written
    from frostline.runs.load import load

    for name, number in (("--top", args.top), ("--batch-size", args.batch_size)):
        if number < 1:
            raise FrostlineError(f"{name} is {number}; it is 1 at least.")
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise FrostlineError(f"--threshold is {args.threshold}; scores lie between 0 and 1.")
    for option, folder in (("--draw", args.draw), ("--explain", args.explain)):
        if folder is not None:
            check_free(option, folder)
    total = count_of(args.pictures)
    keep_memory()  # a batch wants as much again as the one before
    model = load(args.model, args.device)
    check_format(args.format, model.info.task, args.out)
    if args.window is not None:
        check_window(model.info.task, args.window)
    if args.threshold is not None and model.info.task != "detection":
        raise FrostlineError(f"--threshold is for detection, and this model is of {model.info.task}: leave it out.")
    least = SURE if args.threshold is None else args.threshold
    named, seen = tee(gathered(args.pictures))
    answers: Iterator[tuple[Answer, Any]]
    if args.explain is None:
        stream = model.stream(_paths(seen), batch_size=args.batch_size, window=args.window)
        answers = zip(stream, repeat(None))
    else:
        from frostline.runs.explain import explained

        answers = explained(model, _paths(seen), batch_size=args.batch_size)
    done = failed = 0
    with written(args.format, args.out, sys.stdout, model.classes, args.top) as write:
        quiet = not sys.stderr.isatty() or (args.out is None and sys.stdout.isatty())  # lines tell how far it is
        bar = tqdm(answers, total=total, unit=" pictures", desc="predicting", leave=False, disable=quiet)
        for (path, name), (found, heat) in zip(named, bar, strict=True):
            if isinstance(found, FrostlineError):
                failed += 1
                bar.clear()
                print(f"frostline: {found}", file=sys.stderr)
            elif isinstance(found, Detected):
                found = found.sure(least)
            write(path, name, found)
            if args.draw is not None and not isinstance(found, FrostlineError):
                save(found.draw(path), free(args.draw, name, ".jpg"))
            if heat is not None and isinstance(found, Classified):
                save(explanation_picture(opened(path), found, heat), free(args.explain, name, ".jpg"))
            done += 1
    if failed == done:
        print("frostline: no picture could be read.", file=sys.stderr)
        return 2
    if failed:
        print(f"frostline: {failed} of {done} pictures could not be read; the others are delivered.", file=sys.stderr)
    return 1 if failed else 0


def _paths(found: Iterator[tuple[str, str]]) -> Iterator[str]:
    for path, _ in found:
        yield path
