"""`frostline export`: a model as one file for other programs."""

import argparse
from pathlib import Path

from frostline.cli.common import Commands, check_out
from frostline.environment import importing
from frostline.errors import FrostlineError

FOLDER = "folder"
SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", FOLDER: ""}


def add(commands: Commands) -> None:
    export = commands.add_parser(
        "export",
        help="write a model as an ONNX file, proven to say the same; or a run as the folder of a model",
        description="Write the network of a run, or of a model's folder, as one file: normalisation, names, sizes and "
        "thresholds are inside, batches may be of any size, and `frostline predict FILE` needs nothing else, torch "
        "neither. Before it is written, what it says of real pictures is compared with what the model says, after "
        "thresholds and suppression and in batches of 1, 2 and 5; it is not written where that differs.",
        epilog="frostline export runs/pets/results/RUN --to onnx --out pets.onnx",
    )
    export.add_argument("model", metavar="MODEL", help="a run's folder, or a model's")
    kinds = "by default onnx; pt2: for torch's own tools; folder: weights and model.json of a run, without its study"
    export.add_argument("--to", choices=SUFFIXES, default="onnx", help=kinds)
    export.add_argument(
        "--quantize", choices=["int8"],
        help="in eight bits: several times as fast on a CPU, and less exact; what it loses on the validation split of "
        "the model's dataset is measured, printed, and kept in the file",
    )  # fmt: skip
    export.add_argument("--out", type=Path, metavar="FILE", help="by default called as the model is, here")
    export.add_argument(
        "--pictures", type=Path, nargs="+", default=[], metavar="PATH",
        help="files or folders to prove it on; by default the test pictures of the model's dataset",
    )  # fmt: skip
    export.set_defaults(command=run)


def run(args: argparse.Namespace) -> None:
    if args.to == FOLDER:
        _folder(args)
        return
    suffix = SUFFIXES[args.to]
    kind = f"-{args.quantize}" if args.quantize else ""
    out = args.out or Path(Path(args.model).absolute().name + kind + suffix)
    check_out("--out", out, (suffix,), "what is exported")
    from frostline.export.write import export

    written = export(args.model, out, args.pictures, args.to, int8=bool(args.quantize))
    print(f"{written.file}: {'before int8, ' if written.loss else ''}{written.proof}")
    if written.loss:
        print(written.loss)


def _folder(args: argparse.Namespace) -> None:
    if args.quantize or args.pictures or args.out is None:
        raise FrostlineError(
            "--to folder takes the run's weights as they are: give a folder with --out, and neither --quantize nor "
            "--pictures."
        )
    if (Path(args.model) / "model.json").is_file():
        raise FrostlineError(f"{args.model} is the folder of a model already: copy it.")
    with importing():  # torch
        from frostline.runs.network import write_model

    print(f"{write_model(Path(args.model), args.out).name}  -> {args.out}")
