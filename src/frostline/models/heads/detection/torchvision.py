"""torchvision's detectors on our backbones: their heads, anchors and losses, over a pyramid of our maps."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssdlite import SSDLiteHead as SSDLiteLayers
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from frostline.errors import FrostlineError
from frostline.models.backbone import Backbone
from frostline.models.heads.base import DetectionHead, maps_at, precise
from frostline.models.heads.detection.cells import CANDIDATES, STRIDES, rows_at
from frostline.models.heads.detection.weighed import WEIGHED, WeighedFcosHead, WeighedRetinaNetHead, WeighedSsd
from frostline.shares import part

PROPOSALS = 300  # of Faster R-CNN's first stage, that the second one looks at, of a scene


@dataclass(frozen=True)
class Pyramid:
    """maps: the neck's, finest first. size: of the picture, in pixels."""

    maps: list[Tensor]
    size: int


class TorchvisionHead(DetectionHead[Pyramid]):
    """A detector of torchvision, whose backbone is replaced by the maps that a neck makes of ours.

    first: the number of its first class; 1 where 0 is what is none of them.
    What it says and learns is computed in full precision, whatever that of the backbone and the neck: anchors and boxes
    of sixteen bits would be off by pixels.
    """

    detector: Any

    def __init__(self, maps: list[int], stride: int, neck: nn.Module, detector: nn.Module, first: int) -> None:
        super().__init__()
        self.maps, self.stride, self.first = maps, stride, first
        self.neck, self.detector = neck, detector
        self.detector.transform = _AsTheyAre()  # pictures are squares, normalised, all of one size

    def forward(self, features: list[Tensor]) -> Pyramid:
        maps = self.neck(OrderedDict((str(n), features[i]) for n, i in enumerate(self.maps)))
        return Pyramid([precise(m) for m in maps.values()], features[self.maps[0]].shape[-1] * self.stride)

    def weigh(self, weights: Tensor) -> None:
        if self._weighed is None:
            raise FrostlineError(
                "task.class_weights weigh nothing in the loss of this head: take trainer.sampler=balanced, which shows "
                "rare classes more often, or head=dense, yolo, fcos, retinanet or ssdlite."
            )
        super().weigh(weights)

    def losses(
        self, outputs: Pyramid, boxes: Sequence[Tensor], labels: Sequence[Tensor], ignored: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """Those of the detector, under torchvision's names. To Faster R-CNN alone what is ignored is background."""
        if self._weighed is not None:
            self._weighed.class_weights = self.class_weights  # on the device where the head is by now
        targets = [{"boxes": b, "labels": n + self.first} for b, n in zip(boxes, labels, strict=True)]
        for target, own in zip(targets, ignored, strict=bool(ignored)):
            target["ignored"] = own
        with self._mode(True), _same_draws(outputs.maps[0].device):
            return cast(dict[str, Tensor], self._run(outputs, targets))

    def only(self, outputs: Pyramid, scene: int) -> Pyramid:
        return Pyramid([one[scene : scene + 1] for one in outputs.maps], outputs.size)

    @property
    def _weighed(self) -> Any:
        """The part of the detector whose loss knows weights of classes; None where none does."""
        return next((part for part in self.detector.modules() if isinstance(part, WEIGHED)), None)

    def _run(self, outputs: Pyramid, targets: list[dict[str, Tensor]] | None) -> Any:
        before = _MAPS.set(OrderedDict((str(n), m) for n, m in enumerate(outputs.maps)))
        # Only the size of the pictures is looked at.
        picture = outputs.maps[0].new_empty(()).expand(3, outputs.size, outputs.size)
        try:
            with torch.autocast(picture.device.type, enabled=False):
                return self.detector([picture] * len(outputs.maps[0]), targets)
        finally:
            _MAPS.reset(before)

    @contextmanager
    def _mode(self, training: bool) -> Iterator[None]:
        """Whether the detector gives losses or boxes, whatever mode its layers are in: validation has a loss, too."""
        parts = [self.detector, *(getattr(self.detector, name, self.detector) for name in ("rpn", "roi_heads"))]
        before = [part.training for part in parts]
        try:
            for part in parts:
                part.training = training
            yield
        finally:
            for part, mode in zip(parts, before, strict=True):
                part.training = mode


class OneStageHead(TorchvisionHead):
    """One whose places each say of every class how likely it is there, and where its box lies."""

    by_level: ClassVar[bool] = True  # whether candidates are chosen on each level of the pyramid, or on all together

    def decode(self, outputs: Pyramid) -> dict[str, Tensor]:
        """The boxes of the best pairs of place and class, as torchvision's detectors choose them; a place may be found
        as several classes."""
        with torch.autocast(outputs.maps[0].device.type, enabled=False):
            said = self.detector.head(outputs.maps)
            scores = self.likely(said)
        counts = [scores.shape[1]]
        if self.by_level:
            each = self.detector.anchor_generator.num_anchors_per_location()
            counts = [m.shape[2] * m.shape[3] * n for m, n in zip(outputs.maps, each, strict=True)]
        classes, first, found = scores.shape[2], 0, []
        for level, count in zip(scores.split(counts, 1), counts, strict=True):
            best, pairs = level.flatten(1).topk(min(CANDIDATES, count * classes))
            found.append((best, pairs + first * classes))
            first += count
        best, pairs = (torch.cat(column, 1) for column in zip(*found, strict=True))
        best, order = best.topk(best.shape[1])  # all of them, the best of any level first
        pairs = pairs.gather(1, order)
        places = pairs // classes
        boxes = self.boxes(rows_at(said["bbox_regression"], places), self._anchors(outputs)[places])
        return {"boxes": boxes.clamp(0, outputs.size), "scores": best, "labels": pairs % classes}

    def likely(self, said: dict[str, Tensor]) -> Tensor:
        """Scores (B, N, C) in 0..1 of the objects' classes, from what the detector's layers say."""
        return said["cls_logits"].sigmoid()

    def boxes(self, codes: Tensor, anchors: Tensor) -> Tensor:
        """(B, k, 4), (B, k, 4) x0 y0 x1 y1 -> the boxes that the codes make of the anchors, in the same form."""
        coder = self.detector.box_coder
        return cast(Tensor, coder.decode_single(codes.flatten(0, 1), anchors.flatten(0, 1)).view_as(codes))

    def _anchors(self, outputs: Pyramid) -> Tensor:
        """(N, 4) x0 y0 x1 y1 in pixels, the same for each scene."""
        picture = outputs.maps[0].new_empty(()).expand(1, 3, outputs.size, outputs.size)
        images = ImageList(picture, [(outputs.size, outputs.size)])
        return cast(Tensor, self.detector.anchor_generator(images, outputs.maps)[0])


class FcosHead(OneStageHead):
    """FCOS (Tian et al. 2019, arXiv:1904.01355). width: a multiple of 32; depth: convolutions of each tower."""

    def __init__(self, backbone: Backbone, classes: int, width: int = 64, depth: int = 2) -> None:
        maps = maps_at(backbone, "fcos", STRIDES)
        neck = _pyramid(backbone, maps, width, LastLevelP6P7(width, width))
        sizes = tuple((stride,) for stride in (8, 16, 32, 64, 128))
        detector = FCOS(
            _Given(width),
            classes,
            anchor_generator=AnchorGenerator(sizes, ((1.0,),) * len(sizes)),
            head=WeighedFcosHead(width, 1, classes, depth),
        )
        super().__init__(maps, STRIDES[0], neck, detector, first=0)

    def likely(self, said: dict[str, Tensor]) -> Tensor:
        return (said["cls_logits"].sigmoid() * said["bbox_ctrness"].sigmoid()).sqrt()

    def boxes(self, codes: Tensor, anchors: Tensor) -> Tensor:
        return cast(Tensor, self.detector.box_coder.decode(codes, anchors))


class RetinaNetHead(OneStageHead):
    """RetinaNet (Lin et al. 2017, arXiv:1708.02002). width: of its pyramid and towers, a multiple of 32."""

    def __init__(self, backbone: Backbone, classes: int, width: int = 64) -> None:
        maps = maps_at(backbone, "retinanet", STRIDES)
        neck = _pyramid(backbone, maps, width, LastLevelP6P7(width, width))
        # As in the paper: three sizes from four strides up, and three shapes.
        sizes = tuple(tuple(round(4 * s * 2 ** (k / 3)) for k in range(3)) for s in (8, 16, 32, 64, 128))
        anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))
        # Normalised by groups, as in torchvision's second version: without, it takes far longer.
        layers = WeighedRetinaNetHead(width, anchors.num_anchors_per_location()[0], classes, partial(nn.GroupNorm, 32))
        detector = RetinaNet(_Given(width), classes, anchor_generator=anchors, head=layers)
        super().__init__(maps, STRIDES[0], neck, detector, first=0)


class SsdliteHead(OneStageHead):
    """SSDLite (Sandler et al. 2018, arXiv:1801.04381): depthwise layers on the last maps, and on ever coarser ones."""

    # torchvision takes the CANDIDATES of each class, which of many classes would be as many boxes as places: what is
    # found differs from its own where more pairs of place and class than CANDIDATES reach the least score.
    by_level = False

    def __init__(self, backbone: Backbone, classes: int) -> None:
        maps = maps_at(backbone, "ssdlite", STRIDES[1:])
        extra = (256, 192, 128)
        channels = [*(backbone.channels[i] for i in maps), *extra]
        boxes = DefaultBoxGenerator([[2, 3] for _ in channels], min_ratio=0.1, max_ratio=0.9)
        layers = SSDLiteLayers(
            channels, boxes.num_anchors_per_location(), classes + 1, partial(nn.BatchNorm2d, eps=1e-3, momentum=0.03)
        )
        detector = WeighedSsd(_Given(0), boxes, (1, 1), classes + 1, head=layers)
        super().__init__(maps, STRIDES[1], _Coarser(channels[len(maps) - 1], extra), detector, first=1)

    def likely(self, said: dict[str, Tensor]) -> Tensor:
        return said["cls_logits"].softmax(-1)[..., 1:]


class FasterRcnnHead(TorchvisionHead):
    """Faster R-CNN on a pyramid (Ren et al. 2015, arXiv:1506.01497; Lin et al. 2017, arXiv:1612.03144): two stages.

    width: of the pyramid; hidden: of the two dense layers that look at each proposal, 1024 in torchvision's own.
    """

    def __init__(self, backbone: Backbone, classes: int, width: int = 64, hidden: int = 256) -> None:
        maps = maps_at(backbone, "faster_rcnn", STRIDES)
        neck = _pyramid(backbone, maps, width, LastLevelMaxPool())
        sizes = tuple((4 * stride,) for stride in (8, 16, 32, 64))
        detector = FasterRCNN(
            _Given(width),
            rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes)),
            rpn_pre_nms_top_n_train=500,
            rpn_post_nms_top_n_train=500,
            rpn_pre_nms_top_n_test=500,
            rpn_post_nms_top_n_test=PROPOSALS,
            box_roi_pool=MultiScaleRoIAlign([str(n) for n in range(len(maps))], output_size=7, sampling_ratio=2),
            box_head=TwoMLPHead(width * 7**2, hidden),
            box_predictor=FastRCNNPredictor(hidden, classes + 1),
            box_batch_size_per_image=128,
            box_score_thresh=0.001,
            box_nms_thresh=1.0,
            box_detections_per_img=CANDIDATES,
        )
        super().__init__(maps, STRIDES[0], neck, detector, first=1)
        self.most = min(CANDIDATES, PROPOSALS * classes)

    def set_rule(self, min_score: float, nms_iou: float) -> None:
        """Leave out by torchvision what the task would leave out by the same rule.

        Else its own suppression would compare all boxes with all, find nothing, and take as long as the network.
        """
        stage = self.detector.roi_heads
        stage.score_thresh, stage.nms_thresh = min_score, nms_iou

    def losses(
        self, outputs: Pyramid, boxes: Sequence[Tensor], labels: Sequence[Tensor], ignored: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """Means over the places that are drawn of each scene, of most as many."""
        losses = super().losses(outputs, boxes, labels, ignored)
        return {name: part(loss, len(boxes)) for name, loss in losses.items()}

    def decode(self, outputs: Pyramid) -> dict[str, Tensor]:
        """By torchvision's own way, as its second stage looks at what the first one's suppression has left."""
        with self._mode(False):
            found = self._run(outputs, None)
        padded: dict[str, list[Tensor]] = {"boxes": [], "scores": [], "labels": []}
        for one in found:
            scores, order = one["scores"].sort(descending=True, stable=True)
            values = {"boxes": one["boxes"][order], "scores": scores, "labels": one["labels"][order] - self.first}
            for key, value in values.items():
                column = value.new_zeros(self.most, *value.shape[1:])
                column[: len(value)] = value
                padded[key].append(column)
        return {key: torch.stack(columns) for key, columns in padded.items()}


@contextmanager
def _same_draws(device: torch.device) -> Iterator[None]:
    """Faster R-CNN draws the boxes it learns from: where nothing is learnt, always the same ones."""
    if torch.is_grad_enabled():
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield


# That a detector is looking at. Each thread has its own, as threads may predict beside each other.
_MAPS: ContextVar[OrderedDict[str, Tensor]] = ContextVar("_MAPS")


class _Given(nn.Module):
    """Stands where torchvision's detectors expect a backbone, and gives them the maps that are there already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_channels = width

    def forward(self, pictures: Tensor) -> OrderedDict[str, Tensor]:
        return _MAPS.get()


class _AsTheyAre(nn.Module):
    """Stands where torchvision's detectors scale and normalise pictures, and scale boxes back."""

    def forward(self, pictures: list[Tensor], targets: Any) -> tuple[ImageList, Any]:
        return ImageList(torch.stack(pictures), [(p.shape[-2], p.shape[-1]) for p in pictures]), targets

    def postprocess(self, found: Any, sizes: Any, original_sizes: Any) -> Any:
        return found


class _Coarser(nn.Module):
    """The maps as they are, and further ones, each of half the last one's resolution."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in widths:
            middle = width // 2
            conv = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)
            layers.append(
                nn.Sequential(
                    conv(channels, middle, 1),
                    conv(middle, middle, 3, stride=2, groups=middle),
                    conv(middle, width, 1),
                )
            )
            channels = width
        self.layers = nn.ModuleList(layers)

    def forward(self, maps: OrderedDict[str, Tensor]) -> OrderedDict[str, Tensor]:
        last = next(reversed(maps.values()))
        for layer in self.layers:
            last = layer(last)
            maps[str(len(maps))] = last
        return maps


def _pyramid(backbone: Backbone, maps: Sequence[int], width: int, top: Any) -> FeaturePyramidNetwork:
    return FeaturePyramidNetwork([backbone.channels[i] for i in maps], width, extra_blocks=top)
