"""`meadow`: a data set of drawn flowers for all four tasks, made on the spot, the same bytes on every machine."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frostline.errors import FrostlineError, check_number
from frostline.meadow import ground, heads
from frostline.meadow.canvas import Array, Canvas, Colour, Dice, box_blur, mix, sincos, smooth, unit
from frostline.meadow.version import VERSION
from frostline.scenes.scene import BACKGROUND, SPLITS, Classes, Scene
from frostline.sources.base import Source

KINDS = heads.NAMES
MIN_VISIBLE = 0.25  # a head of which less is to be seen, by occlusion or by the picture's edge, gets no box
DOMINANCE = 1.4  # the main flower shows this many times as many pixels as any other kind together


class Meadow(Source):
    """Drawn pictures of daisies, dandelions, roses, sunflowers and tulips, with exact annotations.

    The object is a flower's head: petals, florets, centre, a seed clock's ball. Stems, leaves, fallen petals and
    butterflies are background. A scene holds one to five flowers. Its label is the kind with the most visible pixels,
    which is that of the main flower. Boxes are tight around a head's visible pixels, largest area first, so that the
    first is the main flower's; a head less than a quarter visible has no box, but its pixels keep their class in the
    mask. Defocus and noise come after the annotation, so outlines in the picture may be softer than in the mask.

    A scene depends on (seed, split, index, size) alone: asking for more scenes, or fewer, changes none. Every five
    successive scenes of a split have the five kinds as labels, in random order.
    """

    classes = Classes(labels=KINDS, boxes=KINDS, masks=(BACKGROUND, *KINDS))

    def __init__(self, seed: int = 0, size: int = 128, train: int = 400, val: int = 120, test: int = 200) -> None:
        """seed: 0 to 2**32 - 1. size: side of the square pictures in pixels, 32 to 1024. The rest: scenes per split.

        Raises FrostlineError for a value that is not a whole number in its range, or when no scene is asked for.
        """
        check_number("dataset.source.seed", seed, 0, 2**32 - 1, whole=True)
        check_number("dataset.source.size", size, 32, 1024, whole=True)
        for split, count in zip(SPLITS, (train, val, test), strict=True):
            check_number(f"dataset.source.{split}", count, 0, 1_000_000, whole=True)
        if train + val + test == 0:
            raise FrostlineError("dataset.source has train, val and test all 0: ask for at least one scene.")
        self.seed, self.size = seed, size
        self.counts = self._counts = dict(zip(SPLITS, (train, val, test), strict=True))
        self.fingerprint = f"meadow {VERSION}: seed {seed}, {size} px, scenes {self.counts}"

    def scenes(self) -> Iterator[Scene]:
        """Every scene: train, then val, then test, each drawn when it is asked for."""
        for split, count in self._counts.items():
            for index in range(count):
                yield draw_scene(self.seed, self.size, split, index)[0]


@dataclass(frozen=True)
class _Flower:
    kind: int
    pose: heads.Pose


def main_kind(seed: int, split: int, index: int) -> int:
    """The kind of a scene's main flower, dealt like a shuffled pack of five, again for every five scenes.

    split: its place in SPLITS.
    """
    dice = Dice(seed, split, index // 5, 0)
    pack = list(range(len(KINDS)))
    for last in range(len(pack) - 1, 0, -1):
        other = dice.whole(0, last)
        pack[last], pack[other] = pack[other], pack[last]
    return pack[index % 5]


def draw_scene(seed: int, size: int, split: str, index: int) -> tuple[Scene, npt.NDArray[np.int64]]:
    """The scene, and for each pixel which of its flowers is seen there: 0 none, n the n-th in drawing order."""
    where = SPLITS.index(split)
    main = main_kind(seed, where, index)
    attempt = 0
    while True:  # a composition whose main flower turns out not to dominate is thrown away: about one in thirty
        attempt += 1
        dice = Dice(seed, where, index, attempt)
        canvas, kinds, whole = _compose(dice, size, main)
        seen = canvas.instances()
        areas = [int(np.count_nonzero(seen == n + 1)) for n in range(len(kinds))]
        per_kind = [sum(a for a, k in zip(areas, kinds, strict=True) if k == kind) for kind in range(len(KINDS))]
        largest = areas[-1]
        others = max((a for k, a in enumerate(per_kind) if k != main), default=0)
        second = max(areas[:-1], default=0)
        if largest >= DOMINANCE * max(others, second) and largest >= 0.5 * whole[-1]:
            break
    shown = [n for n in range(len(kinds)) if areas[n] > 0 and areas[n] >= MIN_VISIBLE * whole[n]]
    shown.sort(key=lambda n: -areas[n])
    boxes = np.zeros((len(shown), 4), dtype=np.float32)
    for row, n in enumerate(shown):
        ys, xs = np.nonzero(seen == n + 1)
        boxes[row] = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    scene = Scene(
        id=f"{split}-{index:05d}",
        image=_develop(dice, canvas.downsample()),
        label=main,
        boxes=boxes,
        box_labels=np.array([kinds[n] for n in shown], dtype=np.int64),
        mask=np.array([0, *(k + 1 for k in kinds)], dtype=np.uint8)[seen],
        split=split,
    )
    return scene, seen


def _compose(dice: Dice, size: int, main: int) -> tuple[Canvas, list[int], list[float]]:
    """Draw everything, from back to front.

    Returns the canvas, the kinds of the flowers in drawing order (the main one last), and how many pixels each head
    would show were nothing before it and the picture larger.
    """
    toward = dice.uniform(0, 1)
    sine, cosine = sincos(toward)
    strength = dice.uniform(0.4, 1.0)
    light = (cosine * strength, sine * strength)
    background, aside = ground.draw(dice, size, light)
    canvas = Canvas(background)
    side = float(canvas.side)
    flowers = _arrange(dice, side, main, aside, light)
    _litter(dice, canvas, light, aside, behind=True)
    kinds, whole = [], []
    for number, flower in enumerate(flowers, start=1):
        pose = flower.pose
        last = number == len(flowers)
        if last and number > 1 and dice.chance(0.5):
            canvas.rgb = box_blur(canvas.rgb, dice.uniform(0.3, 2.2) * size / 128.0)
        _foliage(dice, canvas, flower, aside)
        head = heads.Head(pose)
        heads.KINDS[flower.kind](head, dice)
        solid = head.solid
        canvas.paste(head.x0, head.y0, head.rgb, head.alpha, number, solid)
        kinds.append(flower.kind)
        whole.append(int(np.count_nonzero(solid)) / 4.0)
    _litter(dice, canvas, light, aside, behind=False)
    if not aside and dice.chance(0.4):  # the shadow of some tree
        dapples = smooth((ground.fractal(dice, canvas.side, 3, 2) - 0.45) * 6.0)
        canvas.rgb *= 1.0 - dice.uniform(0.2, 0.5) * dapples
    return canvas, kinds, whole


def _arrange(dice: Dice, side: float, main: int, aside: bool, light: tuple[float, float]) -> list[_Flower]:
    """Kinds and poses, the main flower last."""
    radius = dice.uniform(0.12, 0.33) * side
    margin = radius * dice.uniform(0.35, 1.0)
    x, y = dice.uniform(margin, side - margin), dice.uniform(margin, side - margin)
    if aside:
        y = y * 0.85
    front = _Flower(main, _pose(dice, main, x, y, radius, aside, light))
    flowers = []
    for _ in range(dice.pick((0, 1, 1, 2, 2, 3, 3, 4))):
        kind = dice.whole(0, len(KINDS) - 1)
        r = radius * front.pose.squash * dice.uniform(0.35, 0.78)
        ox, oy = 0.0, 0.0
        for _ in range(6):
            ox, oy = dice.uniform(-0.02, 1.02) * side, dice.uniform(-0.02, 1.02) * side
            gap = (radius + r) * dice.uniform(0.55, 1.0)
            if (ox - x) * (ox - x) + (oy - y) * (oy - y) > gap * gap:
                break
        flowers.append(_Flower(kind, _pose(dice, kind, ox, oy, r, aside, light)))
    flowers.sort(key=lambda flower: flower.pose.radius)
    return [*flowers, front]


def _pose(
    dice: Dice, kind: int, x: float, y: float, radius: float, aside: bool, light: tuple[float, float]
) -> heads.Pose:
    if KINDS[kind] == "tulip":  # its cup stands upright, more or less, and is never seen flat
        sway = 0.09 if aside else 0.2
        turn, squash, lean = dice.uniform(-sway, sway), dice.uniform(0.82, 1.0), 0.0
    elif aside:
        flattest = 0.7 if KINDS[kind] == "rose" else 0.5
        turn, squash, lean = dice.uniform(0, 1), dice.uniform(flattest, 0.95), dice.uniform(0.18, 0.32)
    else:
        turn, squash, lean = dice.uniform(0, 1), dice.uniform(0.62, 1.0), dice.uniform(0, 1)
    return heads.Pose(x, y, radius, turn, squash, lean, light)


def _foliage(dice: Dice, canvas: Canvas, flower: _Flower, aside: bool) -> None:
    """What belongs to one flower but is not its head: shadow, stem, leaves."""
    pose = flower.pose
    r = pose.radius
    green = dice.vary(dice.pick(ground.GREENS), 0.05)
    pale = mix(green, (0.75, 0.80, 0.55), dice.uniform(0.1, 0.4))
    if aside:
        foot = pose.x + dice.uniform(-0.6, 0.6) * r
        canvas.stem(pose.x, pose.y + 0.2 * r, foot, max(r * dice.uniform(0.035, 0.07), 1.0), pale, pose.light)
        for _ in range(dice.whole(0, 2)):
            at = (pose.x + (foot - pose.x) * 0.6, pose.y + r * dice.uniform(1.3, 2.4))
            turn = dice.uniform(-0.22, -0.05) if dice.chance(0.5) else dice.uniform(0.55, 0.72)
            canvas.leaf(
                at, r * dice.uniform(0.7, 1.4), r * dice.uniform(0.10, 0.28), turn, dice.uniform(-0.3, 0.3),
                (green, pale), pose.light, dice.pick((0.0, 0.25)), 0.45,
            )  # fmt: skip
        return
    away = dice.uniform(0.08, 0.30) * r
    canvas.shadow(pose.x - pose.light[0] * away, pose.y - pose.light[1] * away, r, r * 0.95, dice.uniform(0.25, 0.6))
    for _ in range(dice.whole(0, 4)):
        turn = dice.uniform(0, 1)
        s, c = sincos(turn)
        canvas.leaf(
            (pose.x + c * 0.3 * r, pose.y + s * 0.3 * r), r * dice.uniform(0.8, 1.2), r * dice.uniform(0.14, 0.34),
            turn, dice.uniform(-0.25, 0.25), (green, pale), pose.light, dice.pick((0.0, 0.2, 0.5)),
            dice.uniform(0.4, 0.65),
        )  # fmt: skip


def _litter(dice: Dice, canvas: Canvas, light: tuple[float, float], aside: bool, behind: bool) -> None:
    """Distractors that no annotation mentions: leaves, blades, petals and butterflies in the flowers' colours."""
    side = float(canvas.side)
    bright: tuple[Colour, ...] = (
        heads.WHITE, heads.YELLOW, heads.ORANGE, heads.PINK, heads.RED,
        heads.GOLD, heads.PURPLE,
    )  # fmt: skip
    for _ in range(dice.whole(0, 6) if behind else 0):
        colour = dice.vary(dice.pick((*ground.GREENS, (0.52, 0.36, 0.16), (0.60, 0.48, 0.20))), 0.06)
        at = (dice.uniform(0, side), dice.uniform(0.75 if aside else 0.0, 1.0) * side)
        length = dice.uniform(0.08, 0.30) * side
        canvas.leaf(
            at, length, length * dice.uniform(0.12, 0.3), dice.uniform(0, 1), dice.uniform(-0.3, 0.3),
            (colour, mix(colour, (0.8, 0.8, 0.5), 0.25)), light, dice.pick((0.0, 0.3)),
        )  # fmt: skip
    if behind and not aside:
        colour = dice.vary(dice.pick(bright), 0.06)
        for _ in range(dice.pick((0, 0, 3, 6, 9))):
            length = dice.uniform(0.04, 0.13) * side
            at = (dice.uniform(0, side), dice.uniform(0, side))
            canvas.shadow(at[0], at[1], length * 0.5, length * 0.4, 0.3)
            canvas.leaf(
                at, length, length * dice.uniform(0.2, 0.42), dice.uniform(0, 1), dice.uniform(-0.3, 0.3),
                (mix(colour, heads.WHITE, 0.3), colour), light, 0.0, 0.62,
            )  # fmt: skip
    if dice.chance(0.22 if behind else 0.06):
        _butterfly(dice, canvas, light, dice.vary(dice.pick(bright), 0.08), side)
    if not behind:
        for _ in range(dice.pick((0, 0, 0, 1, 2, 4))):
            colour = dice.vary(dice.pick(ground.GREENS), 0.06)
            canvas.leaf(
                (dice.uniform(0, side), side * dice.uniform(0.95, 1.1)), side * dice.uniform(0.3, 0.8),
                side * dice.uniform(0.006, 0.016), dice.uniform(-0.33, -0.17), dice.uniform(-0.25, 0.25),
                (mix(colour, (0.02, 0.05, 0.02), 0.3), mix(colour, (0.8, 0.85, 0.5), 0.3)), light, 0.0, 0.3,
            )  # fmt: skip


def _butterfly(dice: Dice, canvas: Canvas, light: tuple[float, float], colour: Colour, side: float) -> None:
    span = dice.uniform(0.06, 0.12) * side
    at = (dice.uniform(0.05, 0.95) * side, dice.uniform(0.05, 0.95) * side)
    turn = dice.uniform(0, 1)
    fold = dice.uniform(0.6, 1.0)
    dark = mix(colour, (0.08, 0.05, 0.05), 0.75)
    for wing, size, fat in ((0.33, 0.8, 0.36), (-0.33, 0.8, 0.36), (0.16, 1.0, 0.34), (-0.16, 1.0, 0.34)):
        bend = 0.25 if wing < 0 else -0.25
        canvas.leaf(
            at, span * size * fold, span * size * fat, turn + wing * fold, bend, (colour, dark), light, 0.0, 0.7
        )
    s, c = sincos(turn)
    foot = (at[0] - c * span * 0.4, at[1] - s * span * 0.4)
    canvas.leaf(foot, span * 0.8, max(span * 0.05, 1.0), turn, 0.0, ((0.10, 0.08, 0.07), (0.2, 0.16, 0.12)), light)


def _develop(dice: Dice, rgb: Array) -> npt.NDArray[np.uint8]:
    """What light and camera do: fall-off, colour temperature, exposure, defocus, sensor noise, 8 bits."""
    size = rgb.shape[1]
    at = (np.arange(size) + 0.5) / size - 0.5
    fall = 1.0 + dice.uniform(-0.35, 0.35) * at[None, :] + dice.uniform(-0.35, 0.35) * at[:, None]
    warmth, tint = dice.uniform(-0.13, 0.13), dice.uniform(-0.04, 0.04)
    exposure = dice.uniform(0.85, 1.28)
    contrast = dice.uniform(0.0, 0.6)
    grey = dice.uniform(0.0, 0.22)
    rgb = rgb * (fall * exposure)
    luma = rgb[0] * 0.3 + rgb[1] * 0.59 + rgb[2] * 0.11
    blur = dice.uniform(0.5, 1.5) if dice.chance(0.3) else 0.0
    grain = dice.uniform(0.0, 0.10) * dice.uniform(0.2, 1.0)
    gains = (1.0 + warmth, 1.0 + tint, 1.0 - warmth)
    rgb = np.stack([(p + (luma - p) * grey) * gain for p, gain in zip(rgb, gains, strict=True)])
    if blur > 0:
        rgb = box_blur(rgb, blur * size / 128.0)
    rgb = unit(rgb)
    rgb = rgb + (smooth(rgb) - rgb) * contrast
    rgb = rgb + (dice.array(3, size, size) + dice.array(3, size, size) - 1.0) * (grain * (1.2 - luma))
    levels = np.floor(unit(rgb) * 255.0 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))
