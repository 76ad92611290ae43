"""What a probe is: the overrides that make a run of any task cheap, below what the user says."""

from collections.abc import Sequence

from frostline.config import Config, compose, conf_files
from frostline.errors import FrostlineError
from frostline.runs.workplace import RUNS
from frostline.screen.candidates import named_in
from frostline.words import listed

ALL = "all"  # the word for every task
# Two views, as what lies below the line is computed once for each. A thread each, as several processes look at once.
COMMON = ("schedule=frozen", "augment.views=2", "trainer.threads=1")
# Small heads, and of a mask's losses the cheaper one: on kept activations that is all that an epoch costs, and the
# tasks' own for boxes and masks cost as much as the backbone. Rates at which they settle within these epochs. Without a
# layer that normalises (depth=0), boxes were learnt on one backbone and not at all on another.
TASKS = {
    "classification": ("trainer.epochs=20",),
    "localization": ("trainer.epochs=20", "optimizer.lr=0.005"),
    "detection": ("head.width=32", "head.depth=1", "trainer.epochs=6", "optimizer.lr=0.01"),
    "segmentation": ("head=fcn8s", "task.losses.dice=0.0", "trainer.epochs=6", "optimizer.lr=0.005"),
}
OWN = ("schedule", "study", "seed", "backbone")  # what the screen decides; a key that it takes is named where it is


def tasks_of(text: str) -> list[str]:
    """`detection`, `[detection,segmentation]`, `detection,segmentation` or `all`. Raises FrostlineError for others."""
    there = list(conf_files("task"))
    names = named_in(text)
    if names == [ALL]:
        return there
    if not names or (unknown := [name for name in names if name not in there]):
        raise FrostlineError(
            f"task={text}: {unknown[0] if names else 'nothing'} is no task; choose of {listed(there)}."
        )
    return list(dict.fromkeys(names))


def base(task: str, overrides: Sequence[str]) -> Config:
    """The configuration of a task's probes, but for backbone and seed. Raises FrostlineError as `compose`."""
    for override in overrides:
        key = override.partition("=")[0]
        group = key.partition(".")[0].partition("/")[0]
        if group in OWN and key != "backbone.pretrained":
            raise FrostlineError(
                f"{override}: a screen looks at many backbones with their heads alone trained, for several seeds; "
                "give backbones=[…] and --seeds, and everything else as for `frostline train`."
            )
    own_head = any(override.partition("=")[0].partition(".")[0] == "head" for override in overrides)
    own = [one for one in TASKS.get(task, ()) if not (own_head and one.startswith("head"))]
    given = [one for one in overrides if not one.startswith("backbone.")]
    config = compose([*COMMON, f"task={task}", *own, *given])
    if config["augment"]["views"] is None:
        raise FrostlineError(
            "augment.views=null makes new views in each epoch, so nothing could be kept: give a number, such as "
            "augment.views=2."
        )
    for key, most in (("devices", 1), ("num_nodes", 1), ("accumulate_grad_batches", 1)):
        if config["trainer"].get(key, 1) != most:
            raise FrostlineError(f"trainer.{key} is {config['trainer'][key]}, and a probe is trained on one device.")
    precision = config["trainer"]["precision"]
    if lacks := {"16-mixed": "scales no loss", "64-true": "has no doubles"}.get(precision):
        raise FrostlineError(f"trainer.precision is {precision}, and a probe {lacks}: take 32-true or bf16-mixed.")
    if config["trainer"].get("compile"):
        raise FrostlineError("trainer.compile is true, and a probe compiles nothing: leave it out.")
    config["study"] = study_of(str(config["dataset"]["name"]))
    return config


def study_of(name: str) -> str:
    """Under which the runs of a screen are filed, in runs/ and with the tracker."""
    return f"screen/{name}"


def folder_of(config: Config) -> str:
    """Of the screens of a dataset."""
    return str(RUNS / config["study"])


def with_backbone(config: Config, node: Config, seed: int) -> Config:
    """The same run of another backbone: what `compose` makes of `backbone=NAME`, without asking Hydra for each."""
    return config | {"backbone": {"weights": None, **node}, "seed": seed}
