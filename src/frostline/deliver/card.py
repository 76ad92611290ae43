"""The model card: what a person has to know of a model before using it. Its words are in card.md.j2."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from frostline.config import Config
from frostline.deliver.champion import Chosen
from frostline.deliver.licences import of_pictures, of_weights
from frostline.predict.info import ModelInfo
from frostline.report.compared import intervals
from frostline.report.judged import SAME
from frostline.report.page import METRICS
from frostline.report.tested import Pictures
from frostline.report.verdict import bounds
from frostline.runs.result import RunResult
from frostline.words import cell, listed, quantity, score

CLASSES, LOWEST, WEAKEST = 20, 10, 3  # classes up to which each has a row; rows of more; those that a sentence names
HUB = {  # what hubs of models call the tasks
    "classification": "image-classification",
    "localization": "object-detection",
    "detection": "object-detection",
    "segmentation": "image-segmentation",
}
SAYS = {
    "classification": "Says of a picture which one of {} classes it shows, with the probability of each.",
    "localization": "Says of a picture which one of {} classes it shows, and draws one box around it.",
    "detection": "Finds objects of {} classes in a picture: a box, a class and a score for each.",
    "segmentation": "Says of each pixel of a picture which of {} classes it belongs to.",
}
ALWAYS = ("classification", "localization", "segmentation")  # tasks whose answer is always one of the classes


def card(chosen: Chosen, info: ModelInfo, config: Config, where: str) -> str:
    """README.md of a model's folder.

    info: of the model. config: the resolved configuration of its run. where: the folder, as commands name it.
    """
    page = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    page.filters["one_line"] = lambda text: " ".join(text.split())
    result, panel = chosen.run.result, chosen.panel
    weights = of_weights(config["backbone"])
    pictures = of_pictures(panel.dataset)
    text = page.from_string(Path(__file__).with_name("card.md.j2").read_text(encoding="utf-8")).render(
        front=_front(chosen, info, weights.base),
        name=info.name,
        says=SAYS[info.task].format(len(info.classes)),
        question=chosen.results.study.question,
        verdict=chosen.verdict,
        decided=chosen.decided,
        first=chosen.judged.first.rstrip(","),
        median=_median(chosen),
        tested=f"{result.scenes['test']:,} pictures" if "test" in result.scenes else "of a size that is not known",
        primary=panel.primary,
        meaning=(METRICS | dict(result.meanings)).get(panel.primary, "higher is better"),
        figures=_figures(chosen),
        metrics=[[cell(name), score(value)] for name, value in result.metrics.items() if name != panel.primary],
        classes=_by_class(result),
        limits=_limits(chosen, info),
        where=where,
        preprocessing=_preprocessing(info),
        made=_made(info, config, result),
        names=listed([f"`{name}`" for name in info.classes]),
        data=_data(result),
        terms=[str(weights), str(pictures), "The code, Frostline: Apache-2.0."],
        sources=_sources(chosen),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def _front(chosen: Chosen, info: ModelInfo, base: str) -> str:
    """What hubs of models read. The licence of a model follows from those of its parts, so nobody but its owner can
    state it."""
    result, panel = chosen.run.result, chosen.panel
    kind = HUB[info.task]
    told: dict[str, Any] = {
        "library_name": "frostline",
        "pipeline_tag": kind,
        "license": "unknown",
        "tags": ["frostline", "pytorch", info.task, result.names["backbone"]],
        "metrics": [panel.primary],
        "model-index": [
            {
                "name": info.name,
                "results": [
                    {
                        "task": {"type": kind},
                        "dataset": {"name": panel.dataset, "type": panel.dataset, "split": "test"},
                        "metrics": [{"type": panel.primary, "value": round(result.quality, 6)}],
                    }
                ],
            }
        ],
    }
    if base:
        told["base_model"] = base
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True).strip()


def _median(chosen: Chosen) -> str:
    result, runs = chosen.run.result, chosen.arm.runs
    if len(runs) == 1:
        return f"It is the only run of the arm `{chosen.arm.name}` (seed {result.seed})."
    told = listed([f"{score(run.result.quality)} (seed {run.result.seed})" for run in runs])
    return (
        f"It is the median run of the arm `{chosen.arm.name}`, seed {result.seed}, by `{result.primary}` on the test "
        f"split: {told}. The best one would have been chosen by the test pictures, and its figure flattered; of an "
        "even number it is the lower of the two in the middle."
    )


def _figures(chosen: Chosen) -> list[list[str]]:
    """The arm's figure and the model's own. An interval over seeds is of the arm: one run has none."""
    value, seeds, pictures = intervals(chosen.judged, chosen.arm.name)
    runs, result = len(chosen.arm.runs), chosen.run.result
    return [
        [f"this model (seed {result.seed})", score(result.metrics[result.primary]), "—", _over_pictures(chosen)],
        [f"its arm, mean ± s of {runs} seed{'s' * (runs > 1)}", value, seeds, pictures],
    ]


def _over_pictures(chosen: Chosen) -> str:
    """The interval of this run alone."""
    if chosen.tested is None:
        return "—"
    rows = chosen.tested.tables[chosen.arm.name][chosen.arm.runs.index(chosen.run)]
    found = Pictures(chosen.tested.ids, {"": [rows]}).resampled[""]
    # Rows that do not give the figure that the run told are of another state of the code.
    return bounds(found.interval() if abs(found.value - chosen.run.result.quality) <= SAME else None)


def _by_class(result: RunResult) -> dict[str, Any] | None:
    """Each class where there are few, the lowest of many; None where nothing is known of them."""
    if not result.by_class:
        return None
    columns = list(result.by_class)
    first = result.by_class[columns[0]]
    names = list(first)
    words = "By class:"
    if len(names) > CLASSES:
        names = _weakest(result)[:LOWEST]
        words = f"The {len(names)} classes with the lowest {columns[0]}, of {len(first)}:"
    rows = [[cell(name), *(score(values.get(name, -1.0)) for values in result.by_class.values())] for name in names]
    return {"words": words, "columns": columns, "rows": rows}


def _weakest(result: RunResult) -> list[str]:
    """Classes that occur in the test split, the lowest by the first metric by class first."""
    first: Mapping[str, float] = next(iter(result.by_class.values()), {})
    return sorted((name for name, value in first.items() if value != -1), key=lambda name: first[name])


def _limits(chosen: Chosen, info: ModelInfo) -> list[str]:
    result, size = chosen.run.result, info.preprocessing.size
    limits = [
        f"Pictures other than those of `{chosen.panel.dataset}`: another camera, place, light or kind of picture may "
        "give other figures than these, and nothing above tells by how much.",
        f"Anything but its {len(info.classes)} classes: "
        + (
            "whatever it is shown, it names one of them."
            if info.task in ALWAYS
            else "it finds nothing else, and may take other things for one of them."
        ),
        f"Details that are lost where a picture becomes a square of {size} px; its own size may be any.",
    ]
    if weakest := _weakest(result)[:WEAKEST]:
        metric, first = next(iter(result.by_class.items()))
        told = listed([f"`{name}` ({score(first[name])})" for name in weakest])
        limits.append(f"It is weakest, by `{metric}` of each class, at {told}.")
    absent = [f"`{name}`" for name, value in next(iter(result.by_class.values()), {}).items() if value == -1]
    if absent:
        limits.append(f"Classes that the test split lacks, of which nothing is known: {listed(absent)}.")
    if chosen.judged.growing.get(chosen.arm.name):
        limits.append("A longer training: its runs were still getting better when they ended.")
    return limits


def _preprocessing(info: ModelInfo) -> str:
    one = info.preprocessing
    fit = "undistorted, with a grey margin" if one.fit == "letterbox" else "stretched"
    return (
        f"EXIF's turn is applied, any mode becomes RGB of 8 bits, and the picture becomes a square of {one.size} px "
        f"({fit}, bilinear, antialiased); colours are scaled and normalised inside the network, so do neither before."
    )


def _made(info: ModelInfo, config: Config, result: RunResult) -> list[list[str]]:
    rows = {group: f"`{cell(result.names[group])}`" for group in ("task", "backbone", "head", "schedule")}
    best = f" (the best was number {result.best_epoch + 1})" if result.best_epoch >= 0 else ""
    optimizer, trainer = config.get("optimizer", {}), config.get("trainer", {})
    told = [str(optimizer["_target_"]).rpartition(".")[2]] if "_target_" in optimizer else []
    told += [f"learning rate {optimizer['lr']:g}"] if "lr" in optimizer else []
    told += [f"batches of {trainer['batch_size']}"] if "batch_size" in trainer else []
    rows |= {
        "picture": f"{info.preprocessing.size} px, {info.preprocessing.fit}",
        "parameters": f"{quantity(result.params_total)}, of which {quantity(result.params_trainable_last)} trained in "
        "the last epoch",
        "training": f"{result.epochs} epochs{best}, {result.images_seen:,} pictures, {result.train_seconds:,.0f} s",
        "optimizer": ", ".join(told),
        "a picture takes": f"{result.predict_ms:.1f} ms on the machine below",
    }
    if info.task == "detection":
        rule = info.rule
        rows["boxes"] = f"score from {rule.min_score:g}, overlap up to {rule.nms_iou:g}, at most {rule.max_boxes}"
    if result.weights.get("told"):
        rows["own weights"] = cell(result.weights["told"])
    return [[what, text] for what, text in rows.items()]


def _data(result: RunResult) -> list[list[str]]:
    left = {split: count for split, count in result.scenes_left_out.items() if count}
    rows = {
        "dataset": f"`{cell(result.names['dataset'])}`",
        "hash": f"`{result.data_hash or 'unknown'}`",
        "scenes": listed([f"{count:,} {split}" for split, count in result.scenes.items()]) or "unknown",
    }
    if left:
        rows["left out, as they lack what the task needs"] = listed([f"{n:,} {split}" for split, n in left.items()])
    return [[what, text] for what, text in rows.items()]


def _sources(chosen: Chosen) -> list[list[str]]:
    result: RunResult = chosen.run.result
    rows: Sequence[tuple[str, str]] = (
        ("study", f"`{chosen.results.study.name}`"),
        ("run", f"`{result.run}`"),
        ("commit", f"`{result.commit or 'unknown'}`{' with uncommitted changes' if result.dirty else ''}"),
        ("versions", ", ".join(f"{package} {version}" for package, version in result.versions.items()) or "unknown"),
        ("machine", result.machine),
        ("finished", result.finished or "unknown"),
        ("trained by", f"`{cell(result.command)}`" if result.command else "unknown"),
    )
    return [list(row) for row in rows]
