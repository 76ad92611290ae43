"""`frostline evaluate`: a model measured on a dataset."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frostline.cli.common import Commands, check_of_dataset, show, with_paths
from frostline.errors import FrostlineError, check_number
from frostline.words import listed, score

if TYPE_CHECKING:
    from rich.table import Table

    from frostline.config import Config
    from frostline.runs.evaluate import Evaluation
    from frostline.scenes.dataset import Dataset

SPLITS = ("test", "val", "train", "all")
DEFAULT = (
    "by default test, the part that a training on the same dataset leaves aside, so that figures compare with the "
    "study's; pictures without splits are split as for a training. all: every scene, as of pictures that are all new"
)
MOST = 40  # classes that are listed


def add(commands: Commands) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="measure a trained run, or a model, on any dataset",
        description="Measure a model on a dataset with the metrics of its study: a table, and in a folder "
        "evaluation.json, pictures.parquet (a row for each picture) and drawn errors. Classes are the same where their "
        "names are: what is of a class that the model lacks counts as not found, and is told. On the test split of its "
        "own study, a model gives the figures of its run.",
    )
    evaluate.add_argument("model", metavar="MODEL", help="a run's folder, a model's, or an exported file")
    evaluate.add_argument(
        "what",
        nargs="*",  # and not +, as argparse would only say that something is required
        metavar="PATH | KEY=VALUE",
        help="annotated pictures, or a prepared dataset's folder; or dataset=NAME; and settings as for prepare",
    )
    evaluate.add_argument("--split", choices=SPLITS, default="test", help=DEFAULT)
    evaluate.add_argument("--out", type=Path, metavar="FOLDER", help="by default one in runs/evaluated/")
    evaluate.add_argument("--batch-size", type=int, metavar="N", help="by default that of the run")
    evaluate.add_argument("--device", metavar="NAME", help="cpu, cuda, …; by default the fastest that there is")
    evaluate.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    from frostline.runs.evaluated import check_free, default_folder

    # What can be told without torch comes first.
    if args.batch_size is not None:
        check_number("--batch-size", args.batch_size, 1, whole=True)
    check_of_dataset(args.what, "the model brings that with it")
    _check_given(args.model, args.what)
    if args.out is not None:
        check_free(args.out)
    there = _there(args.what)
    from frostline.runs.load import load

    model = load(args.model, args.device)
    from frostline.runs.evaluate import evaluate, write_evaluation

    dataset = _prepared(there)
    folder = args.out or default_folder(args.model, dataset, args.split, model.name)
    check_free(folder)
    evaluation = evaluate(model, dataset, args.split, args.batch_size)
    write_evaluation(evaluation, folder)
    print(_head(evaluation))
    show(*tables(evaluation))
    for line in remarks(evaluation):
        print(line)
    print(folder)


def _check_given(model: str, words: Sequence[str]) -> None:
    """Raise FrostlineError where nothing says what to measure on: the default dataset is seldom meant."""
    if not any("=" not in word or word.partition("=")[0].lstrip("+") in ("dataset", "dataset.root") for word in words):
        raise FrostlineError(
            "On which pictures? Give the path of annotated ones, or dataset=NAME, behind the model, as in "
            f"`{shlex.join(['frostline', 'evaluate', model])} path/to/pictures`."
        )


def _there(words: Sequence[str]) -> "Dataset | Config":
    """The prepared dataset that is named, or how pictures become one. Raises FrostlineError where nothing is there."""
    from frostline.config import compose
    from frostline.scenes.dataset import Dataset
    from frostline.scenes.layout import INFO

    first, *more = words
    if not more and "=" not in first and (Path(first) / INFO).is_file():
        return Dataset.open(first)
    config = compose(with_paths(words))
    root = config["dataset"].get("root")
    if root is not None and not Path(root).expanduser().exists():
        raise FrostlineError(f"{root} is not there: give the path of annotated pictures.")
    return config


def _prepared(there: "Dataset | Config") -> "Dataset":
    from frostline.runs.alone import prepared
    from frostline.scenes.dataset import Dataset

    return there if isinstance(there, Dataset) else prepared(there, for_training=False)


def _head(evaluation: "Evaluation") -> str:
    from frostline.runs.judged import ALL

    info, dataset = evaluation.model.info, evaluation.dataset
    own = dataset.data_hash == info.origin.get("data_hash")
    where = f"dataset '{dataset.name}'" + (", that of its study" if own else "")
    split = "all splits" if evaluation.split == ALL else f"the {evaluation.split} split"
    return f"{info.name} ({info.task}): {len(evaluation.items):,} scenes of {split} of {where}"


def tables(evaluation: "Evaluation") -> "list[Table]":
    """The figures, beside those that the model's run had; and those of each class."""
    from rich.table import Table

    task, then = evaluation.task, evaluation.model.info.origin.get("metrics") or {}
    figures = Table("metric", title=None)
    for column in ("value", "95 % over pictures", *(["in its study"] if then else [])):
        figures.add_column(column, justify="right")
    names = [task.primary, *(name for name in evaluation.metrics if name != task.primary)]
    for name in names:
        interval = evaluation.interval if name == task.primary else None
        between = "" if interval is None else f"{score(interval.low)} to {score(interval.high)}"
        before = [score(then[name]) if then.get(name) is not None else ""] if then else []
        figures.add_row(name, score(evaluation.metrics[name]), between, *before)
    by_class = evaluation.tested.by_class
    if not by_class or len(task.classes) > MOST:
        return [figures]
    classes = Table("class")
    for metric in by_class:
        classes.add_column(metric, justify="right")
    for name in task.classes:
        classes.add_row(name, *(score(values[name]) for values in by_class.values()))
    return [figures, classes]


def remarks(evaluation: "Evaluation") -> list[str]:
    """What one has to know to read the figures, a sentence each."""
    task, told = evaluation.task, []
    if evaluation.lacking:
        unit = {"detection": "boxes", "segmentation": "pixels"}.get(task.kind, "scenes")
        each = [f"'{name}' ({count:,} {unit})" for name, count in evaluation.unknowable.items()]
        told.append(f"The model has no class {_some(each)}: what is of these counts as not found.")
    if evaluation.absent:
        told.append(f"The dataset has no class {_some([repr(name) for name in evaluation.absent])} of the model's.")
    if evaluation.left_out:
        needs = " and ".join(sorted(task.needs))
        told.append(f"Left out: {evaluation.left_out:,} scenes without {needs}.")
    others = sum(counts["scenes"] for counts in evaluation.dataset.info["counts"].values())
    others -= len(evaluation.items) + evaluation.left_out
    own = evaluation.dataset.data_hash == evaluation.model.info.origin.get("data_hash")
    if others and not own:
        told.append(f"Not measured: {others:,} scenes of the other splits; --split all measures all.")
    if own and evaluation.split in ("train", "all"):
        told.append("These are pictures that the model was trained on, so the figures are better than those of others.")
    if evaluation.interval is None:
        told.append("Below 100 pictures there is no interval over pictures.")
    told += [f"{name} is not told: {why}." for name, why in evaluation.untold.items()]
    return told


def _some(names: list[str]) -> str:
    return listed([*names[:MOST], *([f"{len(names) - MOST} more"] if len(names) > MOST else [])])
