"""The command line: `frostline study | plan | prepare | doctor | annotate | preview | train | compare | …`."""

import argparse
import hashlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frostline.errors import FrostlineError

if TYPE_CHECKING:
    from frostline.sources.base import Source

# Everything heavy (torch, Lightning, MLflow: ten seconds on a cold start) is imported by the command that needs it,
# so that `--help` and a misspelt key answer at once.

QUICKSTART = Path("experiments/quickstart")
CLASSES = 5  # of the head that `schedule show` builds; they change nothing but its size

OVERRIDES = """\
overrides are KEY=VALUE, as Hydra composes them from conf/:
  task=classification|localization|detection|segmentation
  dataset=meadow                drawn; or, with dataset.root=PATH, one of folder, csv, voc, coco, yolo, masks, camvid,
                                pets, flowers102, fashion_mnist, pennfudan
  backbone=efficientnet_lite0   or backbone=timm backbone.name=resnet18
  head=yolo                     each task has its own by default; conf/head/ has them all
  schedule=frozen|thaw|full|…   how deep frozen, for how long: `frostline schedule list`
  rate=cosine|constant|one_cycle|step|plateau    optimizer=adamw|sgd
  augment=none|light|lecture|strong|crops    what they look like: `frostline preview`
  augment.views=4               four views of each picture in turn, whose activations can be kept
  augment/mix=mixup|cutmix|mosaic|copy_paste    several scenes in one; each is for certain tasks (conf/augment/mix/)
  trainer.epochs=10 trainer.batch_size=32 optimizer.lr=0.002 image_size=128 fit=letterbox seed=0
every key and its default: `frostline train --show`
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 where it worked, 2 where the user can mend what is wrong, 130 where it was interrupted."""
    args = _parser().parse_args(argv)
    try:
        return int(args.command(args) or 0)
    except FrostlineError as error:
        print(f"frostline: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nfrostline: interrupted; the same command goes on from what there is.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="frostline",
        description="Which pretrained architecture, how deep frozen, for how long? Answered on your own pictures.",
        epilog="`dvc repro` runs a study: plan, prepare, train each run, compare. `frostline train` is one run alone.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    plan = commands.add_parser("plan", help="write one resolved configuration per run of a study")
    plan.add_argument("study", type=Path, nargs="?", default=QUICKSTART, help="folder with study.yaml")
    plan.add_argument("--dry-run", action="store_true", help="print the grid, what is stale and what it will cost")
    plan.set_defaults(command=_plan)

    study = commands.add_parser("study", help="make a new study, or compare studies' dvc.yaml with their study.yaml")
    verbs = study.add_subparsers(title="commands", required=True, metavar="COMMAND")
    new = verbs.add_parser("new", help="write experiments/NAME with a study that works as it is")
    new.add_argument("name", metavar="NAME")
    new.set_defaults(command=_study_new)
    check = verbs.add_parser("check", help="whether each dvc.yaml fits its study.yaml; 1 where one does not")
    check.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="by default every one in experiments/")
    check.add_argument("--write", action="store_true", help="write those anew that do not")
    check.set_defaults(command=_study_check)

    prepare = commands.add_parser(
        "prepare",
        help="check, split and store the pictures of a study or of one dataset",
        epilog=OVERRIDES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prepare.add_argument("--study", type=Path, metavar="FOLDER", help="prepare the datasets that its plan names")
    prepare.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as dataset=folder dataset.root=PATH")
    prepare.set_defaults(command=_prepare)

    doctor = commands.add_parser(
        "doctor",
        help="find and name what is wrong with annotated pictures",
        description="Check every picture and annotation of a dataset, and write nothing but the report. "
        "Exits with 1 where something would stop `prepare`.",
        epilog="frostline doctor dataset=folder dataset.root=PATH --html report.html",
    )
    doctor.add_argument(
        "what", nargs="+", metavar="KEY=VALUE | FOLDER", help="a source, as for prepare, or a prepared dataset's folder"
    )
    doctor.add_argument("--json", type=Path, metavar="FILE", help="every finding with its file and line")
    doctor.add_argument("--html", type=Path, metavar="FILE", help="a page with the offenders' pictures")
    doctor.set_defaults(command=_doctor)

    _add_annotate(commands)

    preview = commands.add_parser(
        "preview",
        help="draw a contact sheet of augmented scenes, with their boxes and masks",
        description="Write a picture of what training will see: scenes as they are, and their first views beside them.",
        epilog=OVERRIDES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    preview.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as augment=strong task=detection")
    preview.add_argument("--out", type=Path, metavar="FILE", default=Path("preview.png"), help="by default preview.png")
    preview.add_argument("--scenes", type=int, default=6, metavar="N", help="rows (6)")
    preview.add_argument("--views", type=int, default=5, metavar="N", help="columns beside the plain picture (5)")
    preview.set_defaults(command=_preview)

    train = commands.add_parser(
        "train",
        help="train and evaluate one run",
        description="Train one run and evaluate its best epoch on the test split; results go to runs/STUDY/results/.",
        epilog=OVERRIDES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument(
        "--plan", type=Path, metavar="FILE", help="a run that `frostline plan` wrote, instead of overrides"
    )
    train.add_argument("--study", type=Path, metavar="FOLDER", help="all stale runs of a study, before `dvc repro`")
    train.add_argument("--show", action="store_true", help="print the resolved configuration and stop")
    train.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    train.set_defaults(command=_train)

    compare = commands.add_parser("compare", help="write a study's results.csv, report.md and plots")
    compare.add_argument("study", type=Path, nargs="?", default=QUICKSTART, help="folder with study.yaml")
    compare.add_argument("--table", action="store_true", help="only print the table of results.csv, as it stands")
    compare.set_defaults(command=_compare)

    schedule = commands.add_parser("schedule", help="list the freezing schedules, or show one at a glance")
    verbs = schedule.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listed = verbs.add_parser("list", help="each schedule, and when to use it")
    listed.set_defaults(command=_schedule_list)
    show = verbs.add_parser(
        "show",
        help="the phases of a schedule on a backbone, its learning rates by epoch, and a picture",
        description="Phases, trainable share and learning rates of a schedule, for a backbone, a task and a budget.",
        epilog="frostline schedule show gradual backbone=timm backbone.name=resnet18 backbone.pretrained=false "
        "trainer.epochs=20 --out gradual.svg",
    )
    show.add_argument("name", help="a file in conf/schedule/, without its suffix")
    show.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="backbone, task, trainer.epochs, rate, …")
    show.add_argument("--out", type=Path, metavar="FILE", help="draw it too, as .png or .svg")
    show.add_argument("--parameters", action="store_true", help="what each phase says of every single parameter")
    show.set_defaults(command=_schedule_show)

    models = commands.add_parser(
        "models",
        help="what each backbone costs, where its weights come from, and which tasks and heads take it",
        description="Parameters (without any classifier), multiply-adds of one picture of the backbone's own size (px; "
        "smaller ones cost less), strides of its feature maps, groups that a schedule can freeze (from the stem to the "
        "last stage), and where weights come from: timm fetches 'timm/…' and 'web' once, torchvision its own, and "
        "backbone.pretrained=false needs none. Below, the heads that it can feed: those of detection need maps at 1/8, "
        "1/16 and 1/32.",
        epilog="frostline models resnet18 vit_small regnety_002   # files of conf/backbone/, and any names of timm's",
    )
    models.add_argument("names", nargs="*", metavar="NAME", help="only these; by default every file of conf/backbone/")
    models.set_defaults(command=_models)

    cache = commands.add_parser("cache", help="show or clear the kept pictures and activations (cache.folder)")
    cache.add_argument("action", choices=["show", "clear"], nargs="?", default="show")
    cache.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as cache.folder=PATH")
    cache.set_defaults(command=_cache)
    return parser


def _add_annotate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    annotate = commands.add_parser("annotate", help="give pictures to an annotation tool, and take back the boxes")
    verbs = annotate.add_subparsers(title="commands", required=True, metavar="COMMAND")
    export = verbs.add_parser(
        "export",
        help="write tasks for Label Studio, CVAT or COCO, with boxes to correct",
        description="Write a prepared dataset's pictures for an annotation tool. Drawn on them beforehand: the boxes "
        "annotated, else boxes around what the mask shows, else what a trained run predicts, most uncertain first.",
        epilog="frostline annotate export runs/data/flowers --to label-studio --out tasks.json --only-missing",
    )
    export.add_argument("dataset", type=Path, metavar="DATASET", help="a prepared dataset's folder")
    export.add_argument("--to", required=True, choices=["label-studio", "cvat", "coco"])
    export.add_argument("--out", type=Path, required=True, metavar="FILE")
    export.add_argument("--run", type=Path, metavar="FOLDER", help="results of a detection or localization run")
    export.add_argument("--split", choices=["train", "val", "test"], help="only this one")
    export.add_argument("--only-missing", action="store_true", help="only pictures whose boxes nobody has annotated")
    export.add_argument(
        "--url-prefix", metavar="URL", help="Label Studio: what stands before images/NAME in a picture's address"
    )
    export.set_defaults(command=_annotate_export)
    take = verbs.add_parser(
        "import",
        help="make a new dataset with what people corrected",
        description="Prepare a dataset anew with the boxes that people left in an annotation tool's export. Pictures "
        "that it says nothing of stay as they were.",
        epilog="frostline annotate import runs/data/flowers export.json --from label-studio --out runs/data/flowers-2",
    )
    take.add_argument("dataset", type=Path, metavar="DATASET", help="the prepared dataset that was exported")
    take.add_argument("file", type=Path, metavar="FILE", help="what the tool exported; for voc and yolo its folder")
    take.add_argument("--from", dest="form", required=True, choices=["label-studio", "cvat", "coco", "voc", "yolo"])
    take.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the new dataset")
    take.add_argument(
        "--complete", action="store_true", help="somebody looked at every picture in FILE: no boxes means none is there"
    )
    take.set_defaults(command=_annotate_import)


def _plan(args: argparse.Namespace) -> None:
    from frostline.studies.plan import compose_runs, write_plan
    from frostline.studies.stale import stale
    from frostline.studies.study import read_study

    study = read_study(args.study)
    if not args.dry_run:
        names = write_plan(study)
        print(f"{len(names)} runs planned in {study.runs / 'plan'}")
        return
    from rich.console import Console
    from rich.table import Table

    from frostline.launch.cost import Estimator, repro_seconds

    runs = compose_runs(study)
    reasons = stale(study, runs)
    estimate = Estimator()
    todo = {name: config for name, config in runs.items() if name in reasons}
    seconds = {name: estimate(config) for name, config in todo.items()}
    table = Table("run", "", "seconds", title=f"{study.name}: {study.question}")
    for name in runs:
        table.add_row(name, reasons.get(name, "up to date"), f"{seconds[name]:.0f}" if name in seconds else "")
    console = Console()
    console.print(table)
    total = repro_seconds(seconds.values(), todo.values())
    console.print(f"{len(todo)} of {len(runs)} runs to train, about {total / 60:.0f} min on this machine")


def _study_new(args: argparse.Namespace) -> None:
    from frostline.studies.pipeline import new_study, pipeline_of

    study = new_study(args.name)
    for path in (study.folder / "study.yaml", pipeline_of(study)):
        print(path)
    print(f"`frostline plan {study.folder} --dry-run` shows its runs, `make repro STUDY={study.name}` trains them.")


def _study_check(args: argparse.Namespace) -> int:
    from frostline.studies.pipeline import all_studies, difference, write_pipeline
    from frostline.studies.study import read_study

    studies = [read_study(folder) for folder in args.folders or all_studies()]
    told = {study.name: difference(study) for study in studies}
    for study in studies:
        if told[study.name] is not None:
            print(write_pipeline(study) if args.write else told[study.name])
    return int(any(told.values()) and not args.write)


def _prepare(args: argparse.Namespace) -> None:
    from frostline.checking.prepare import prepare_from_config
    from frostline.config import compose, read

    if args.study is None:
        print(_own_dataset(compose(args.overrides)["dataset"]))
        return
    from frostline.studies.study import read_study

    study = read_study(args.study)
    planned = sorted((study.runs / "plan" / "data").glob("*.yaml"))
    if not planned:
        raise FrostlineError(f"{study.runs / 'plan'} plans no dataset: run `frostline plan {args.study}` first.")
    for path in planned:
        out = study.runs / "data" / path.stem
        prepare_from_config(read(path), out, remember=False)  # whether it is to be made anew, DVC has decided
        print(out)


def _doctor(args: argparse.Namespace) -> int:
    from frostline.doctor.diagnosis import diagnose, summary, table, to_json
    from frostline.doctor.page import to_html
    from frostline.scenes.faults import policies
    from frostline.scenes.splits import Split
    from frostline.sources.configured import configured
    from frostline.sources.prepared import Prepared

    for file in (args.json, args.html):
        if file is not None and not file.parent.is_dir():
            raise FrostlineError(f"{file}: there is no folder {file.parent}; make it first.")
    source: Source
    if len(args.what) == 1 and "=" not in args.what[0]:
        source = Prepared(args.what[0])
        name, split, policy = source.dataset.name, Split(given=True), policies("fail", {})
    else:
        from frostline.config import compose

        source, config = configured(compose(args.what)["dataset"])
        name, split = config["name"], Split(**config.get("split", {}))
        policy = policies(config["on_fault"], config["faults"])
    examined = diagnose(source, split, policy, name)
    from rich.console import Console

    if examined.findings:
        Console().print(table(examined, name))
    else:
        print(f"{name}: {summary(examined)}")
    for file, write in ((args.json, to_json), (args.html, to_html)):
        if file is not None:
            # Strangers' names may hold what UTF-8 cannot.
            file.write_text(write(examined, name), encoding="utf-8", errors="backslashreplace")
            print(file)
    return int(any(finding.policy == "fail" for finding in examined.findings))


def _annotate_export(args: argparse.Namespace) -> None:
    from frostline.annotate.exchange import export
    from frostline.scenes.scene import SPLITS

    splits = SPLITS if args.split is None else (args.split,)
    files, told = export(args.dataset, args.to, args.out, args.run, splits, args.only_missing, args.url_prefix)
    print(told)
    for file in files:
        print(file)


def _annotate_import(args: argparse.Namespace) -> None:
    from frostline.annotate.exchange import import_

    imported = import_(args.dataset, args.file, args.form, args.out, args.complete)
    for note in imported.notes:
        print(note)
    print(imported.dataset.path)


def _preview(args: argparse.Namespace) -> None:
    from frostline.config import compose

    if args.out.suffix != ".png":
        raise FrostlineError(f"--out {args.out}: the contact sheet is a .png file.")
    if not args.out.parent.is_dir():
        raise FrostlineError(f"--out {args.out}: there is no folder {args.out.parent}; make it first.")
    for name, number in (("scenes", args.scenes), ("views", args.views)):
        if not 1 <= number <= 40:
            raise FrostlineError(f"--{name} is {number}; it must lie between 1 and 40.")
    config = compose(args.overrides)
    from frostline.draw.preview import contact_sheet, write
    from frostline.runs.train import assemble_data
    from frostline.scenes.dataset import Dataset

    data = assemble_data(config, Dataset.open(_own_dataset(config["dataset"])))
    mix = config["augment"].get("mix")
    names = [config["dataset"]["name"], config["task"]["name"], f"augment={config['augment']['name']}"]
    names += [mix["_target_"].rpartition(".")[2]] if mix else []
    write(contact_sheet(data, args.scenes, args.views, ", ".join(names)), args.out)
    print(args.out)


def _train(args: argparse.Namespace) -> None:
    from frostline.config import compose, to_yaml
    from frostline.launch.local import train_ahead, train_planned
    from frostline.runs.workplace import Workplace
    from frostline.studies.study import RUNS, read_study

    if sum(map(bool, (args.plan, args.study, args.overrides))) > 1:
        raise FrostlineError("Give one of --plan, --study and KEY=VALUE overrides: each names what is to be trained.")
    if args.show and (args.plan or args.study):
        raise FrostlineError("--show prints what overrides compose to; a planned run is a file that can be read.")
    if args.study:
        return train_ahead(read_study(args.study))
    if args.plan:
        print(train_planned(args.plan))
        return None
    config = compose(args.overrides)
    if args.show:
        print(to_yaml(config), end="")
        return None
    from frostline.runs.train import run_name, summary, train
    from frostline.scenes.dataset import Dataset

    dataset = Dataset.open(_own_dataset(config["dataset"]))
    name = run_name(config)
    # Runs that differ in what the name does not tell (a rate, a size) lie side by side.
    folder = f"{name}-{hashlib.sha256(to_yaml(config).encode()).hexdigest()[:6]}"
    runs = RUNS / config["study"]
    workplace = Workplace(runs / "work" / folder, config, dataset.data_hash)
    result = train(config, dataset, workplace, name, shlex.join(["frostline", "train", *args.overrides]))
    workplace.deliver(runs / "results" / folder)
    print(f"{summary(result)}  -> {runs / 'results' / folder}")
    return None


def _compare(args: argparse.Namespace) -> None:
    from frostline.studies.study import read_study

    study = read_study(args.study)
    if args.table:
        import pandas as pd

        from frostline.config import ARM
        from frostline.report.page import render_table

        written = study.folder / "results.csv"
        if not written.is_file():
            raise FrostlineError(
                f"There is no {written}: run `frostline compare {study.folder}` without --table first."
            )
        print(render_table(pd.read_csv(written, converters=dict.fromkeys(ARM, str))))  # `None` is a name, too
    else:
        from frostline.report.compare import compare

        compare(study.folder, study.runs, show=print)
    print(f"\nreport: {study.folder / 'report.md'}   every run in MLflow: make ui")


def _schedule_list(args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    from frostline.config import conf_dir

    table = Table("schedule", "what it is", show_lines=True)
    for path in sorted((conf_dir() / "schedule").glob("*.yaml")):
        head = [line.removeprefix("#").strip() for line in path.read_text().splitlines() if line.startswith("#")]
        table.add_row(path.stem, " ".join(head))
    Console().print(table)


def _schedule_show(args: argparse.Namespace) -> None:
    from frostline.config import compose

    if args.out is not None and args.out.suffix not in (".png", ".svg"):
        raise FrostlineError(f"--out {args.out}: a picture of a schedule is a .png or a .svg file.")
    if args.out is not None and not args.out.parent.is_dir():
        raise FrostlineError(f"--out {args.out}: there is no folder {args.out.parent}; make it first.")
    config = compose([f"schedule={args.name}", *args.overrides])
    from rich.console import Console

    from frostline.draw.schedule import write_picture
    from frostline.freezing.rates import base_rates
    from frostline.freezing.tables import parameters_table, phases_table, rates_table
    from frostline.runs.train import build_task

    task = build_task(config, tuple(f"class {i}" for i in range(CLASSES)))
    console = Console()
    if args.parameters:
        console.print(parameters_table(task.model))
        return
    base = base_rates(task.rate, task.make_optimizer, task.model.planned.epochs)
    console.print(f"{args.name} for {config['task']['name']} on {task.model.backbone.name}, {CLASSES} classes:")
    console.print(phases_table(task.model))
    console.print("Learning rate in the middle of each epoch; a dot is frozen:")
    console.print(rates_table(task.model, base))
    if args.out is not None:
        write_picture(task.model, base, args.out)
        console.print(f"drawn: {args.out}")


def _models(args: argparse.Namespace) -> None:
    from rich.console import Console
    from tqdm import tqdm

    from frostline.runs.catalogue import entry, shipped, tables

    names = args.names or shipped()
    # Each is built, so that all of them take a while.
    rows = [entry(name) for name in tqdm(names, unit="backbone", delay=3, leave=False, disable=not sys.stderr.isatty())]
    for table in tables(rows):
        Console().print(table)
    if not args.names:
        print("Nearly any other feature extractor of timm: backbone=timm backbone.name=NAME (`frostline models NAME`)")


def _cache(args: argparse.Namespace) -> None:
    from frostline.config import compose
    from frostline.store.rows import Store

    settings = compose(args.overrides)["cache"]
    store = Store(Path(settings["folder"]), int(settings["size_gb"] * 1e9))
    if args.action == "clear":
        removed, freed = store.clear()
        print(f"{removed} entries removed from {settings['folder']}, {freed / 1e9:.2f} GB freed")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "of", "view", "scenes kept", "MB", "last used", "")
    entries = sorted(store.usage(), key=lambda entry: entry.used, reverse=True)
    for entry in entries:
        key = entry.key
        table.add_row(
            str(key.get("activation") or key.get("annotation") or key.get("decoded")),
            f"{key.get('split')} {key.get('image_size')} px, data {str(key.get('data'))[:8]}",
            str(key.get("view", "")),
            f"{entry.present} of {entry.rows}",
            f"{entry.size / 1e6:.1f}",
            f"{entry.used:%Y-%m-%d %H:%M}",
            "in use" if entry.held else "",
        )
    Console().print(table)
    total = sum(entry.size for entry in entries)
    print(f"{total / 1e9:.2f} of {settings['size_gb']:g} GB in {settings['folder']}")


def _own_dataset(dataset: dict[str, object]) -> Path:
    """Prepared once for each configuration, beside the runs that are no part of a study."""
    from frostline.checking.prepare import prepare_from_config
    from frostline.config import to_yaml
    from frostline.studies.study import RUNS

    digest = hashlib.sha256(to_yaml(dataset).encode()).hexdigest()[:10]
    out = RUNS / "data" / f"{dataset['name']}-{digest}"
    prepare_from_config(dataset, out)
    return out


if __name__ == "__main__":
    sys.exit(main())
