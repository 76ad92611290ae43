"""`frostline serve`: a model as a page and as JSON."""

import argparse
import os

from frostline.cli.common import Commands
from frostline.cli.stopping import Stopped
from frostline.errors import FrostlineError, check_number

HOST, PORT, MAX_MB = "127.0.0.1", 8000, 32


def add(commands: Commands) -> None:
    serve = commands.add_parser(
        "serve",
        help="a page on which pictures are dropped, and JSON",
        description="Serve a model: a page at / on which one drops pictures and sees what the model says of them, "
        "POST /predict for programs (a picture's bytes as the body), GET /health. Pictures that are sent at once go "
        "through the network together. ^C ends it.",
        epilog="frostline serve runs/quickstart/results/RUN; then "
        "curl --data-binary @flower.jpg http://127.0.0.1:8000/predict",
    )
    serve.add_argument("model", metavar="MODEL", help="as for `frostline predict`")
    serve.add_argument("--port", type=int, default=PORT, help=f"default {PORT}; 0 takes any that is free")
    serve.add_argument(
        "--host", default=HOST, help=f"default {HOST}, this machine alone; whoever reaches another may ask, too"
    )
    serve.add_argument("--device", help="cpu, or cuda where there is one; by default the fastest")
    serve.add_argument("--threshold", type=float, help="detection: least score of a box where a request says none")
    serve.add_argument("--max-mb", type=int, default=MAX_MB, metavar="MB", help=f"of one request, default {MAX_MB}")
    serve.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    check_number("--port", args.port, 0, 65535, whole=True)
    check_number("--max-mb", args.max_mb, 1, 1024, whole=True)
    if args.threshold is not None:
        check_number("--threshold", args.threshold, 0, 1)
    from frostline.environment import keep_memory
    from frostline.parallel import cores
    from frostline.runs.load import load
    from frostline.serve.batches import STREAMS
    from frostline.serve.server import Server, address_of, listening

    keep_memory()
    os.environ.setdefault("OMP_NUM_THREADS", str(-(-cores() // STREAMS)))  # torch and onnxruntime ask for it
    place = listening(args.host, args.port)  # first, as it is known at once
    model = load(args.model, args.device)
    if args.threshold is not None and model.info.task != "detection":
        raise FrostlineError(f"--threshold is of detection, and {args.model} of {model.info.task}: leave it out.")
    from frostline.serve.app import app_of

    told = f"{model.name} ({model.info.task}) at {address_of(place)}   ^C ends it"
    try:
        app = app_of(model, args.host, args.threshold, args.max_mb)
        Server(app, lambda: print(told, flush=True)).run([place])
    except Stopped:  # as it is meant to end
        print("stopped")
    return 0
