"""Boxes that a trained run predicts for pictures nobody has annotated, and how uncertain it is about each picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from frostline.annotate.boxes import Box
from frostline.errors import FrostlineError
from frostline.predict.kinds import Detected, Located
from frostline.runs.load import load
from frostline.scenes.scene import Scene

PROPOSED = 0.3  # score from which a detected box is worth correcting; to draw one takes less than to delete many

Found = tuple[tuple[Box, ...], float]


class Predictor:
    """A trained run of detection or localization, asked for boxes.

    name: the run's. classes: names of the classes that it tells apart.
    Called with scenes, it gives for each its boxes with their scores, and its uncertainty, 0..1.

    Uncertainty is least confidence, 1 - the score of what is predicted (Lewis & Gale 1994; Settles 2009, Active
    Learning Literature Survey, 3.1). Of several boxes the mean counts, as in Brust et al. 2019 (arXiv:1809.09875).
    Where no box is good enough to be proposed, it is 1 - the best score.

    Raises FrostlineError for a folder without such a run.
    """

    def __init__(self, folder: Path) -> None:
        model = load(folder)
        if model.info.task not in ("detection", "localization"):
            raise FrostlineError(
                f"{folder} holds a run of {model.info.task}, which predicts no boxes: give --run one of detection or "
                "localization."
            )
        self.name, self.classes, self._model = model.name, model.classes, model

    def __call__(self, scenes: Sequence[Scene]) -> list[Found]:
        pictures = [scene.image for scene in scenes if scene.image is not None]  # which a dataset's all have
        return [self._of_one(cast(Detected | Located, one)) for one in self._model.predict(pictures)]

    def _of_one(self, prediction: Detected | Located) -> Found:
        if isinstance(prediction, Detected):
            boxes, labels, scores = prediction.boxes, prediction.labels, prediction.scores
            good = scores >= PROPOSED
        else:  # the score of the one box is that of its class, as nothing else is scored
            boxes, labels = prediction.box[None], np.array([prediction.label])
            scores = prediction.probabilities.max()[None]
            good = np.ones(1, dtype=bool)
        good &= (boxes[:, :2] < boxes[:, 2:]).all(1)
        rows = zip(boxes[good].tolist(), labels[good].tolist(), scores[good].tolist(), strict=True)
        proposed = tuple(Box(self.classes[label], tuple(box), score) for box, label, score in rows)
        if proposed:
            return proposed, 1 - float(scores[good].mean())
        return proposed, 1 - float(scores.max() if len(scores) else 0.0)
