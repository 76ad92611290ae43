"""`frostline annotate`: pictures for an annotation tool, and its boxes back."""

import argparse
from pathlib import Path

from frostline.cli.common import Commands


def add(commands: Commands) -> None:
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
    take.add_argument(
        "--corners", choices=["auto", "one_based", "zero_based"], help="for voc: from where pixels are counted"
    )
    take.set_defaults(command=_annotate_import)


def _annotate_export(args: argparse.Namespace) -> None:
    from frostline.annotate.exchange import export
    from frostline.scenes.scene import SPLITS

    splits = SPLITS if args.split is None else (args.split,)
    files, told = export(args.dataset, args.to, args.out, args.run, splits, args.only_missing, args.url_prefix)
    print(told, *files, sep="\n")


def _annotate_import(args: argparse.Namespace) -> None:
    from frostline.annotate.exchange import import_

    dataset, notes = import_(args.dataset, args.file, args.form, args.out, args.complete, args.corners)
    print(*notes, dataset.path, sep="\n")
