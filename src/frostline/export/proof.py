"""That a file says the same as the network it was made of: on real pictures, in batches of several sizes, and after
thresholds and suppression, where differences show that no comparison of raw numbers finds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from frostline.errors import FrostlineError
from frostline.pictures.preprocessing import Picture
from frostline.predict.answers import Rule
from frostline.predict.boxes import overlap
from frostline.predict.kinds import Classified, Detected, Located, Prediction, Segmented
from frostline.predict.model import Model

BATCHES = (1, 2, 5)
FAR = 0.01  # px of the picture, that sides of boxes may lie apart
UNLIKE = 1e-4  # that scores may be apart
ALIKE = 0.9999  # of all pixels, at least so many are of the same class
EDGE = 1e-3  # an overlap this near to the rule's decides itself by a rounding
TIES = 0.02  # of all boxes, so many at most may be left out for another one of the same score: more are no chance


@dataclass
class Proof:
    """What was compared, and what differs. far: px, the furthest that sides of boxes are apart. unlike: the same of
    scores. undecided: boxes that one side leaves out, as they lie on the edge of the rule. wrong: what differs, in
    words. tied: of the undecided, those for which a box of the same score is kept that overlaps them."""

    pictures: int = 0
    boxes: int = 0
    undecided: int = 0
    tied: int = 0
    far: float = 0.0
    unlike: float = 0.0
    pixels: int = 0
    other_pixels: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        batches = ", ".join(map(str, BATCHES[:-1])) + f" and {BATCHES[-1]}"
        told = [f"the same on {self.pictures} pictures in batches of {batches}"]
        if self.pixels:
            told.append(f"{self.other_pixels} of {self.pixels} pixels are of another class")
        else:
            told.append(f"scores at most {self.unlike:.0e} apart")
        if self.boxes:
            told.append(f"{self.boxes} boxes at most {self.far:.4f} px")
        if self.undecided:
            told.append(f"{self.undecided} on the edge of the rule in one alone")
        return ", ".join(told)


def prove(model: Model, file: Model, pictures: Sequence[Picture]) -> Proof:
    """Compare what an exported file says of pictures with what its model says.

    A box that one of them leaves out may lack where it lies on the edge of the rule: where its score, or its overlap
    with another box, is all but the one at which it counts, or two that overlap are as sure, so that a rounding decides
    which is left. Where a detector finds nothing in any of the pictures, its
    best boxes are compared, whatever their score. Raises FrostlineError where they differ.
    """
    proof = Proof(len(pictures))
    for batch in BATCHES:
        said = [one.predict(pictures, batch_size=batch) for one in (model, file)]
        rule = model.info.rule
        if model.info.task == "detection" and not any(len(cast(Detected, one).scores) for one in said[0]):
            rule = replace(rule, min_score=0.0)
            said = [_with(one, rule).predict(pictures, batch_size=batch) for one in (model, file)]
        for number, (one, other) in enumerate(zip(*said, strict=True)):
            where = f"picture {number + 1} of {len(pictures)}, in batches of {batch}"
            proof.wrong += [f"{words} ({where})" for words in _differences(one, other, rule, proof)]
    if proof.tied > TIES * proof.boxes:
        proof.wrong.append(f"{proof.tied} boxes are elsewhere, beside {proof.boxes} that are the same")
    if proof.pixels and proof.other_pixels > (1 - ALIKE) * proof.pixels:
        proof.wrong.append(f"{proof.other_pixels} of {proof.pixels} pixels are of another class")
    if proof.wrong:
        more = f", and {len(proof.wrong) - 1} more" if len(proof.wrong) > 1 else ""
        raise FrostlineError(
            f"What was exported does not say what the model says: {proof.wrong[0]}{more}. It is not written."
        )
    return proof


def _with(model: Model, rule: Rule) -> Model:
    return replace(model, info=replace(model.info, rule=rule))


def _differences(one: Prediction, other: Prediction, rule: Rule, proof: Proof) -> Iterable[str]:
    """What differs between what the model and the file say of a picture, in words; what was compared is counted."""
    if isinstance(one, Segmented):
        proof.pixels += one.mask.size
        proof.other_pixels += int((one.mask != cast(Segmented, other).mask).sum())
    elif isinstance(one, Detected):
        yield from _boxes(one, cast(Detected, other), rule, proof)
    else:
        yield from _classes(one, cast(Classified, other), proof)
        if isinstance(one, Located):
            far = float(np.abs(one.box - cast(Located, other).box).max())
            proof.boxes, proof.far = proof.boxes + 1, max(proof.far, far)
            if not far <= FAR:
                yield f"the box is {far:.3g} px elsewhere"


def _classes(one: Classified, other: Classified, proof: Proof) -> Iterable[str]:
    unlike = float(np.abs(one.probabilities - other.probabilities).max())
    proof.unlike = max(proof.unlike, unlike)
    if not unlike <= UNLIKE:
        yield f"probabilities are {unlike:.2g} apart"
    elif one.label != other.label and one.score - float(one.probabilities[other.label]) > UNLIKE:
        yield f"{other.name} in place of {one.name}"


def _boxes(one: Detected, other: Detected, rule: Rule, proof: Proof) -> Iterable[str]:
    far = np.abs(one.boxes[:, None] - other.boxes).max(2, initial=0)
    unlike = np.abs(one.scores[:, None] - other.scores)
    same = (far <= FAR) & (unlike <= UNLIKE) & (one.labels[:, None] == other.labels)
    ours, theirs = _partners(same)
    proof.boxes += len(ours)
    proof.far = max(proof.far, float(far[ours, theirs].max(initial=0)))
    proof.unlike = max(proof.unlike, float(unlike[ours, theirs].max(initial=0)))
    for found, beside, kept, words in ((one, other, ours, "the file lacks"), (other, one, theirs, "the file adds")):
        for place in np.setdiff1d(np.arange(len(found.scores)), kept):
            edge, tie = _undecided(found, int(place), beside, rule)
            if edge or tie:
                proof.undecided += 1
                proof.tied += not edge
            else:
                yield f"{words} a {found.classes[found.labels[place]]} of score {found.scores[place]:.4f}"


def _partners(same: npt.NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """(n, m) which boxes could be the same -> of each pair that is taken its row and its column; each box once."""
    free = np.ones(same.shape[1], bool)
    ours, theirs = [], []
    for row, columns in enumerate(same):
        if (places := np.flatnonzero(columns & free)).size:
            free[places[0]] = False
            ours.append(row)
            theirs.append(int(places[0]))
    return ours, theirs


def _undecided(found: Detected, place: int, beside: Detected, rule: Rule) -> tuple[bool, bool]:
    """Whether a box without a partner beside it lies on the edge of the rule, and whether one as sure is kept there
    that overlaps it."""
    score = float(found.scores[place])
    last = [float(one.scores[-1]) for one in (found, beside) if len(one.scores) == rule.max_boxes]
    own: Any = found.in_square[place : place + 1].astype(np.float64)
    alike = beside.labels == found.labels[place]
    shares = overlap(own, beside.in_square[alike].astype(np.float64))[0]
    edge = (
        any(score <= least + UNLIKE for least in (rule.min_score, *last))
        or (np.abs(shares - rule.nms_iou) < EDGE).any()
    )
    tie = (shares > rule.nms_iou) & (np.abs(beside.scores[alike] - score) <= UNLIKE)
    return bool(edge), bool(tie.any())
