"""A champion in the registries of the trackers that its study's runs named."""

import io
from importlib.metadata import version
from pathlib import Path

import frostline
from frostline.deliver.champion import Chosen
from frostline.files import sha256_of
from frostline.report.tracked import trackers_of
from frostline.report.verdict import bounds
from frostline.tracking.base import Cell, ToldModel
from frostline.words import score

# What a model needs to be loaded and asked, of what the package needs in all; the code of the package goes with it.
NEEDED = (
    *(
        "torch",
        "torchvision",
        "pytorch-lightning",
        "torchmetrics",
        "timm",
        "segmentation-models-pytorch",
        "safetensors",
    ),
    *("numpy", "scipy", "opencv-python-headless", "pillow", "hydra-core", "pyyaml", "ruamel.yaml", "defusedxml"),
    *("filelock", "psutil", "pyarrow", "hotcoco", "matplotlib", "rich", "tqdm", "jinja2"),
)


def register(chosen: Chosen, folder: Path, name: str) -> list[str]:
    """Make the model a version of this name, the champion, wherever that can be; returns its addresses.

    folder: that `write_champion` wrote. Raises FrostlineError where a tracker cannot be reached.
    """
    trackers = trackers_of(chosen.results.study.runs / "plan")
    if not trackers:
        return []
    told = _told(chosen, folder, name)
    return [address for tracker in trackers if (address := tracker.register(told))]


def pins() -> list[str]:
    """The packages as they are here. Which build of torch (`+cpu`) is for the machine that installs it."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in NEEDED]


def _told(chosen: Chosen, folder: Path, name: str) -> ToldModel:
    result, panel = chosen.run.result, chosen.panel
    tags = {"study": result.study, "run": result.run, "task": panel.task, "dataset": panel.dataset}
    tags |= {"arm": chosen.arm.name, "seed": str(result.seed), "data_hash": result.data_hash, "commit": result.commit}
    tags |= {"decided": "yes" if chosen.decided else "no"}
    return ToldModel(
        name=name,
        study=chosen.results.study.name,
        cell=Cell(result.run, result.commit, result.data_hash),
        folder=folder,
        code=Path(__file__).with_name("served.py"),
        package=Path(frostline.__file__).parent,
        requirements=pins(),
        example=_example(),
        description=_description(chosen),
        weights=sha256_of(folder / "weights.safetensors") or "",
        tags=tags,
    )


def _description(chosen: Chosen) -> str:
    result, judged = chosen.run.result, chosen.judged
    arm, drawn = judged.summaries[chosen.arm.name], judged.pictures.get(chosen.arm.name)
    test, runs = result.scenes.get("test", 0), len(chosen.arm.runs)
    return (
        f"**{result.primary} {score(result.quality)}** on {test:,} test pictures of {chosen.panel.dataset} (data "
        f"`{result.data_hash}`). It is the median of {runs} runs of the arm `{chosen.arm.name}`, whose mean is "
        f"{score(arm.seen.mean)}; 95 % over seeds {bounds(arm.interval)}, over test pictures "
        f"{bounds(drawn.interval() if drawn else None)}. Study {chosen.results.study.name}, run `{result.run}`, commit "
        f"`{result.commit}`.\n\n{chosen.verdict}\n\nIt takes a column `picture` of base64, bytes or RGB pixels; its "
        "card is README.md among its artifacts."
    )


def _example() -> bytes:
    """A small drawn picture, as those of a dataset may be nobody's but their owner's."""
    from PIL import Image

    file = io.BytesIO()
    Image.linear_gradient("L").resize((32, 24)).convert("RGB").save(file, "PNG")
    return file.getvalue()
