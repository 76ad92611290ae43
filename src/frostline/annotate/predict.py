"""Boxes that a trained run predicts for pictures nobody has annotated, and how uncertain it is about each picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.ops import box_convert, clip_boxes_to_image

from frostline.annotate.boxes import Box
from frostline.errors import FrostlineError
from frostline.loading.batch import stack_pictures
from frostline.loading.decoded import square_picture
from frostline.parallel import in_threads
from frostline.pictures.fit import place
from frostline.runs.load import load
from frostline.scenes.scene import Scene
from frostline.tasks.detection import Detection
from frostline.tasks.localization import Localization

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
            batch = scenes[start : start + BATCH]
            images = stack_pictures([next(pictures) for _ in batch])
            with torch.inference_mode():
                outputs = self._task(images.to(self._task.device))
                if isinstance(self._task, Detection):
                    rows = _detected(self._task.postprocess(outputs), self._size)
                else:
                    rows = _localized(self._task.postprocess(outputs))
            for scene, (boxes, labels, scores) in zip(batch, rows, strict=True):
                found.append(self._of_one(self._in_picture(boxes, scene), labels, scores))
        return found

    def _picture(self, scene: Scene) -> Tensor:
        assert scene.image is not None  # it is a dataset's
        return square_picture(scene.image, self._size, self._fit, scene.size)

    def _in_picture(self, boxes: Tensor, scene: Scene) -> Tensor:
        """(n, 4) x0 y0 x1 y1 in shares of the square -> in pixels of the scene's picture, clipped to it."""
        assert scene.size is not None  # as in every prepared dataset
        left, top, width, height = place(*scene.size, self._size, self._fit)
        shares = (boxes * self._size - torch.tensor([left, top] * 2)) / torch.tensor([width, height] * 2)
        return shares.clamp(0, 1) * torch.tensor(scene.size * 2)

    def _of_one(self, boxes: Tensor, labels: Tensor, scores: Tensor) -> Found:
        """boxes: (n, 4), x0 y0 x1 y1 in pixels of the picture. labels, scores: (n,), best first."""
        good = (boxes[:, :2] < boxes[:, 2:]).all(1)
        if isinstance(self._task, Detection):
            good &= scores >= PROPOSED
        rows = zip(boxes[good].tolist(), labels[good].tolist(), scores[good].tolist(), strict=True)
        proposed = tuple(Box(self.classes[label], tuple(box), score) for box, label, score in rows)
        if proposed:
            return proposed, 1 - float(scores[good].mean())
        return proposed, 1 - float(scores.max() if len(scores) else 0.0)


def _detected(predictions: list[dict[str, Tensor]], size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each picture boxes in shares of it, labels and scores."""
    for found in predictions:
        yield found["boxes"].cpu() / size, found["labels"].cpu(), found["scores"].cpu()


def _localized(predictions: dict[str, Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """As `_detected`; the score of the one box is that of its class, as nothing else is scored."""
    boxes = clip_boxes_to_image(box_convert(predictions["boxes"], "cxcywh", "xyxy"), (1, 1)).cpu()
    scores, labels = predictions["probabilities"].cpu().max(1)
    for row in range(len(boxes)):
        yield boxes[row : row + 1], labels[row : row + 1], scores[row : row + 1]
