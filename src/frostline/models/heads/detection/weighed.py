"""torchvision's losses of classes with what they lack: weights of the classes, pictures without any object, and boxes
that do not count."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.ssd import SSD
from torchvision.ops import sigmoid_focal_loss

from frostline.models.heads.detection.cells import within
from frostline.shares import divisor, part

Targets = list[dict[str, Tensor]]
NONE = 50.0  # a score so sure that nothing is lost by it


class WeighedSsd(SSD):
    """An SSD that learns from pictures without objects, and whose classes may be weighed.

    SSD learns what is nothing at the three hardest places to each place of an object, of one picture. One without an
    object would then teach nothing at all: it counts as if it had one. (So does TensorFlow's min_negatives_per_image.)
    """

    class_weights: Tensor | None = None  # (C,), without the background

    def compute_loss(
        self, targets: Targets, head_outputs: dict[str, Tensor], anchors: list[Tensor], matched_idxs: list[Tensor]
    ) -> dict[str, Tensor]:
        head_outputs = _silenced(targets, head_outputs, anchors, matched_idxs, background=True)
        losses: dict[str, Tensor] = super().compute_loss(targets, head_outputs, anchors, matched_idxs)
        scores, boxes = head_outputs["cls_logits"], losses["bbox_regression"]
        own = [_labels(target, matched) for target, matched in zip(targets, matched_idxs, strict=True)]
        count = sum(map(len, own))
        classes = losses["classification"] * max(1, count)
        if self.class_weights is not None:
            for places, labels, matched in zip(scores, own, matched_idxs, strict=True):
                lost = F.cross_entropy(places[matched >= 0], labels, reduction="none")
                classes = classes + ((self.class_weights[labels - 1] - 1) * lost).sum()
        empty = [places for places, labels in zip(scores, own, strict=True) if not len(labels)]
        for places in empty:
            nothing = torch.zeros(len(places), dtype=torch.long, device=places.device)
            lost = F.cross_entropy(places, nothing, reduction="none")
            classes = classes + lost.topk(min(len(lost), round(self.neg_to_pos_ratio))).values.sum()
        total = divisor(count + len(empty), scores)
        return {"bbox_regression": boxes * (max(1, count) / total), "classification": classes / total}


class WeighedFcosHead(FCOSHead):
    """An FCOS head whose classes may be weighed."""

    class_weights: Tensor | None = None  # (C,)

    def compute_loss(
        self, targets: Targets, head_outputs: dict[str, Tensor], anchors: list[Tensor], matched_idxs: list[Tensor]
    ) -> dict[str, Tensor]:
        head_outputs = _silenced(targets, head_outputs, anchors, matched_idxs)
        losses: dict[str, Tensor] = super().compute_loss(targets, head_outputs, anchors, matched_idxs)
        count = sum(int((matched >= 0).sum()) for matched in matched_idxs)
        if self.class_weights is not None:
            pictures = zip(head_outputs["cls_logits"], targets, matched_idxs, strict=True)
            more = torch.stack([_focal_more(self.class_weights, *picture) for picture in pictures]).sum()
            losses["classification"] = losses["classification"] + more / max(1, count)
        share = max(1, count) / divisor(count, head_outputs["cls_logits"])
        return {name: loss * share for name, loss in losses.items()}


class WeighedRetinaNetHead(RetinaNetHead):
    """A RetinaNet head whose classes may be weighed."""

    class_weights: Tensor | None = None  # (C,)

    def compute_loss(
        self, targets: Targets, head_outputs: dict[str, Tensor], anchors: list[Tensor], matched_idxs: list[Tensor]
    ) -> dict[str, Tensor]:
        head_outputs = _silenced(targets, head_outputs, anchors, matched_idxs)
        losses: dict[str, Tensor] = super().compute_loss(targets, head_outputs, anchors, matched_idxs)
        if self.class_weights is not None:  # a mean over pictures, each over its own places
            for scores, target, matched in zip(head_outputs["cls_logits"], targets, matched_idxs, strict=True):
                count = max(1, int((matched >= 0).sum())) * len(targets)
                more = _focal_more(self.class_weights, scores, target, matched)
                losses["classification"] = losses["classification"] + more / count
        return {name: part(loss, len(targets)) for name, loss in losses.items()}


WEIGHED = (WeighedSsd, WeighedFcosHead, WeighedRetinaNetHead)


def _silenced(
    targets: Targets,
    head_outputs: dict[str, Tensor],
    anchors: list[Tensor],
    matched_idxs: list[Tensor],
    background: bool = False,
) -> dict[str, Tensor]:
    """The outputs, as if no class were seen at places without an object whose middle lies in a box that does not count.

    So nothing is lost there, and nothing learnt. background: whether the first class stands for none.
    """
    if not any(len(target.get("ignored", ())) for target in targets):
        return head_outputs
    scores = head_outputs["cls_logits"]
    nothing = scores.new_full((scores.shape[2],), -NONE)
    if background:
        nothing[0] = NONE
    rows = zip(targets, anchors, matched_idxs, strict=True)
    silent = [
        within((places[:, :2] + places[:, 2:]) / 2, target["ignored"]) & (matched < 0)
        for target, places, matched in rows
    ]
    return head_outputs | {"cls_logits": torch.where(torch.stack(silent)[..., None], nothing, scores)}


def _labels(target: dict[str, Tensor], matched: Tensor) -> Tensor:
    """Of the places that are an object's, the class numbers (n,) as the detector counts them."""
    return target["labels"][matched[matched >= 0]]


def _focal_more(weights: Tensor, scores: Tensor, target: dict[str, Tensor], matched: Tensor) -> Tensor:
    """By how much the focal loss of a picture grows where each place of an object counts by its class's weight."""
    labels = _labels(target, matched)
    lost = sigmoid_focal_loss(scores[matched >= 0], F.one_hot(labels, scores.shape[1]).to(scores))
    more: Tensor = ((weights[labels] - 1)[:, None] * lost).sum()
    return more
