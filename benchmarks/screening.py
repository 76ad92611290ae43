"""A screen of many backbones beside one whole training of each: drawn scenes at 128 px, which have what all tasks read.

Backbones begin at random, as only time is measured, and few of them have their weights on every machine.
"""

import time
from collections.abc import Callable, Sequence

from benchmarks.row import Row
from benchmarks.stock import empty, frostline, study

SCENES = 500
BACKBONES = (  # by multiply-adds
    *("mobilenetv3_small", "mobilenetv3_large", "mobilenetv2", "efficientnet_lite0"),
    *("efficientnet_b0", "efficientnet_lite1", "efficientnet_lite2", "resnet18"),
    *("resnet34", "resnet50", "convnext_tiny", "efficientnetv2_s"),
)
SAMPLE = ("mobilenetv3_large", "efficientnet_lite1", "resnet50")  # of each four the second lightest stands for all
TASKS = ["classification", "localization", "detection", "segmentation"]
SEEDS = 3


def screen_whole(
    backbones: Sequence[str] = BACKBONES, sample: Sequence[str] = SAMPLE, scenes: int = SCENES, epochs: int = 10
) -> list[Row]:
    """`frostline screen` in an empty folder, then with one more seed; `thaw` runs of some backbones, as a study.

    epochs: of the whole runs; 10 is what `frostline train` takes.
    """
    pictures = {"train": scenes * 6 // 10, "val": scenes * 15 // 100}
    pictures["test"] = scenes - sum(pictures.values())
    dataset = ["dataset=meadow", "dataset.source.size=128", *(f"dataset.source.{s}={n}" for s, n in pictures.items())]
    both = [*dataset, "image_size=128", "backbone.pretrained=false"]
    with empty() as folder:
        asked = ["screen", f"task=[{','.join(TASKS)}]", f"backbones=[{','.join(backbones)}]", *both, "--seeds"]
        first, more = [_seconds(lambda n=n: frostline([*asked, str(n)], folder)) for n in (SEEDS, SEEDS + 1)]
    with empty() as folder:
        grid = {"task": TASKS, "backbone": list(sample), "schedule": ["thaw"], "seed": [0]}
        seconds, runs = study(folder, grid, [*both, f"trainer.epochs={epochs}", "trainer.threads=1"])
    count = len(backbones) * len(TASKS)
    whole = seconds / runs * count
    of = f"screen of {len(backbones)} backbones in {len(TASKS)} tasks, {scenes} scenes at 128 px, {SEEDS} seeds"
    return [
        Row(
            "screen_whole",
            f"{of}, in an empty folder: times faster than one run of each with `thaw` and {epochs} epochs, in a study",
            whole / first,
            ">= 10",
            f"{first:.0f} s",
            f"{whole:.0f} s for {count} runs, reckoned from {runs} ({', '.join(sample)}) in {seconds:.0f} s",
        ),
        Row("screen_more", f"{of}: the same command with one more seed, seconds", more, "<= 5", f"{more:.1f} s"),
    ]


def _seconds(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


MEASURES: dict[str, Callable[[], list[Row]]] = {"screen_whole": screen_whole}
