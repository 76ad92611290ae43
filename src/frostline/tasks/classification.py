"""Classification: which class is the picture of?"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, cast

from torch import Tensor
from torchmetrics import MetricCollection

from frostline.errors import FrostlineError, check_number
from frostline.loading.batch import Batch
from frostline.metrics.classification import PrecisionRecall
from frostline.metrics.pairs import ClassScores
from frostline.predict.kinds import Classified
from frostline.tasks.base import Mistake, Row, Task, probabilities, probabilities_of
from frostline.tasks.weights import cross_entropy

CURVES = 1000  # classes up to which there are curves: to count for one of 10,000 takes as long as a step of training


class Classification(Task):
    """Softmax over the classes; cross-entropy. top_k: also count the class among the k most likely."""

    kind: ClassVar[str] = "classification"
    needs: ClassVar[frozenset[str]] = frozenset({"label"})
    reads: ClassVar[str] = "scores"
    primary: ClassVar[str] = "accuracy"
    curves: ClassVar[tuple[str, str]] = ("ap", "one class against the rest")

    def __init__(self, *args: Any, top_k: int = 2, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        check_number("task.top_k", top_k, 1, whole=True)
        check_number("task.label_smoothing", label_smoothing, 0, 0.99)
        self.top_k, self.label_smoothing = top_k, label_smoothing
        super().__init__(*args, **kwargs)

    def criterion(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        weights = cast("Tensor | None", self.class_weights)
        return {"class": cross_entropy(outputs, batch["label"], weights, self.label_smoothing)}

    def raw(self, outputs: Tensor) -> dict[str, Tensor]:
        """outputs: scores (B, C)."""
        return {"probabilities": probabilities(outputs)}

    def make_metrics(self) -> MetricCollection:
        n = len(self.classes)
        if n < 2:
            raise FrostlineError(
                f"task=classification tells classes apart, and there is one, {self.classes[0]}: it needs two at least."
            )
        return MetricCollection({"classes": ClassScores(n, self.top_k)}, compute_groups=False)

    def make_test_metrics(self) -> MetricCollection:
        metrics = self.make_metrics()
        if len(self.classes) <= CURVES:
            metrics.add_metrics({"precision_recall": PrecisionRecall(len(self.classes))})
        return metrics

    def update(self, metrics: MetricCollection, predictions: Sequence[Classified], batch: Batch) -> None:
        labels = batch["label"]
        metrics.update(probabilities_of(predictions).to(labels.device), labels)

    def mistakes(self, predictions: Sequence[Classified], batch: Batch) -> Iterator[Mistake]:
        """Amount: -log of the true class's probability, its cross-entropy, where another one is likelier."""
        for found, truth in zip(predictions, batch["label"].tolist(), strict=True):
            words = f"{found.name} {found.score:.0%}, is {self.classes[truth]}"
            surprise = -math.log(max(float(found.probabilities[truth]), 1e-30))
            yield Mistake(0.0 if found.label == truth else surprise, words)

    def rows(self, predictions: Sequence[Classified], batch: Batch) -> Iterator[Row]:
        """Quality: 1 where the class is right."""
        for found, truth in zip(predictions, batch["label"].tolist(), strict=True):
            told = {"truth": self.classes[truth], "predicted": found.name, "score": found.score}
            yield {**told, "quality": float(found.label == truth)}

    def only(self, outputs: Tensor, scene: int) -> Tensor:
        return outputs[scene : scene + 1]
