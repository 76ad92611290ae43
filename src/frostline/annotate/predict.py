"""Boxes that a trained run predicts for pictures nobody has annotated, and how uncertain it is about each picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from frostline.annotate.boxes import Box
from frostline.errors import FrostlineError
from frostline.loading.batch import Batch, stack_pictures
from frostline.loading.decoded import square_picture
from frostline.parallel import in_threads
from frostline.pictures.fit import place
from frostline.runs.load import load
from frostline.scenes.scene import Scene
from frostline.tasks.detection import Detection
from frostline.tasks.localization import Localization
from frostline.tasks.predictions import Detected, Located

PROPOSED = 0.3  # score from which a detected box is worth correcting; to draw one takes less than to delete many
BATCH = 16

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
        trained = load(folder)
        if not isinstance(trained.task, (Detection, Localization)):
            raise FrostlineError(
                f"{folder} holds a run of {trained.config['task']['name']}, which predicts no boxes: give --run one of "
                "detection or localization."
            )
        self.name, self.classes = trained.name, trained.task.classes
        self._size, self._fit = int(trained.config["image_size"]), str(trained.config.get("fit", "stretch"))
        self._task = trained.task.to("cuda" if torch.cuda.is_available() else "cpu")

    def __call__(self, scenes: Sequence[Scene]) -> list[Found]:
        found: list[Found] = []
        pictures = in_threads(self._picture, scenes)
        for start in range(0, len(scenes), BATCH):
            some = scenes[start : start + BATCH]
            images = stack_pictures([next(pictures) for _ in some])
            batch = {
                "size": self._size,
                "place": [place(*_size(scene), self._size, self._fit) for scene in some],
                "picture_size": [_size(scene) for scene in some],
            }
            with torch.inference_mode():
                predictions = self._task.predict(self._task(images.to(self._task.device)), cast(Batch, batch))
            found += map(self._of_one, predictions)
        return found

    def _picture(self, scene: Scene) -> Tensor:
        assert scene.image is not None  # it is a dataset's
        return square_picture(scene.image, self._size, self._fit, scene.size)

    def _of_one(self, prediction: Detected | Located) -> Found:
        if isinstance(prediction, Detected):
            boxes, labels, scores = prediction.boxes, prediction.labels, prediction.scores
            good = scores >= PROPOSED
        else:  # the score of the one box is that of its class, as nothing else is scored
            boxes, labels = prediction.box[None], torch.tensor([prediction.label])
            scores = prediction.probabilities.max()[None]
            good = torch.ones(1, dtype=torch.bool)
        good &= (boxes[:, :2] < boxes[:, 2:]).all(1)
        rows = zip(boxes[good].tolist(), labels[good].tolist(), scores[good].tolist(), strict=True)
        proposed = tuple(Box(self.classes[label], tuple(box), score) for box, label, score in rows)
        if proposed:
            return proposed, 1 - float(scores[good].mean())
        return proposed, 1 - float(scores.max() if len(scores) else 0.0)


def _size(scene: Scene) -> tuple[int, int]:
    assert scene.size is not None  # as in every prepared dataset
    return scene.size
