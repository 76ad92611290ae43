"""A prediction as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frostline.predict.kinds import Classified, Detected, Prediction
from frostline.predict.written import as_json
from frostline.serve.refusals import Refusal

# What a request may ask for, and of which tasks.
OPTIONS = {"threshold": ("detection",), "top": ("classification", "localization")}


@dataclass(frozen=True)
class Wanted:
    """threshold: the least score of a box. top: how many classes, the likeliest first; None: all, in their order."""

    threshold: float = 0.0
    top: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str], task: str, threshold: float) -> "Wanted":
        """What a request's query says. threshold: where it says none. Raises Refusal."""
        for name in query:
            if name not in OPTIONS:
                raise Refusal(422, f"'{name[:40]}' is no option of /predict: there are {' and '.join(OPTIONS)}.")
            if task not in OPTIONS[name]:
                raise Refusal(
                    422, f"{name} is of {' and '.join(OPTIONS[name])}, and this model of {task}: leave it out."
                )
        if "threshold" in query:
            threshold = _number(query["threshold"])
            if not 0 <= threshold <= 1:
                raise Refusal(422, f"threshold is '{query['threshold'][:40]}': it is a number from 0 to 1.")
        top = query.get("top")
        if top is not None and not (top.isascii() and top.isdigit() and 0 < len(top) < 9 and int(top)):
            raise Refusal(422, f"top is '{top[:40]}': it is a whole number from 1 up.")
        return cls(threshold, None if top is None else int(top))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def answer(prediction: Prediction, size: tuple[int, int], wanted: Wanted) -> dict[str, Any]:
    """What is said of a picture of this width and height, as `as_json` has it."""
    if isinstance(prediction, Detected):
        prediction = prediction.sure(wanted.threshold)
    told = {"width": size[0], "height": size[1], **as_json(prediction)}
    if isinstance(prediction, Classified) and wanted.top is not None:
        told["probabilities"] = dict(prediction.likeliest(wanted.top))
    return told
