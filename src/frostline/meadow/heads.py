"""The heads of the five flowers of `meadow`, drawn in their own coordinates. See `canvas`.

A head's coordinates have their origin in its middle and unit radius; y points down when it is not turned.
Colours overlap on purpose between the kinds: only the shape tells them apart.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frostline.meadow.canvas import (
    Array,
    Colour,
    Dice,
    angle,
    blend,
    mix,
    sincos,
    sincos_array,
    smooth,
    unit,
    wave,
)

WHITE: Colour = (0.96, 0.95, 0.92)
CREAM: Colour = (0.97, 0.90, 0.70)
YELLOW: Colour = (0.98, 0.82, 0.12)
GOLD: Colour = (0.97, 0.66, 0.08)
ORANGE: Colour = (0.95, 0.48, 0.14)
PINK: Colour = (0.93, 0.55, 0.67)
RED: Colour = (0.80, 0.12, 0.14)
RUST: Colour = (0.66, 0.24, 0.10)
PURPLE: Colour = (0.52, 0.24, 0.58)
BROWN: Colour = (0.27, 0.15, 0.08)


@dataclass(frozen=True)
class Pose:
    """Where a head is, in subpixels, and how it is seen.

    turn: its rotation, in turns. squash: foreshortening, 1 = seen from straight above, along the direction `lean`
    (in turns). light: direction from which the light comes, in the picture's axes, at most unit length.
    """

    x: float
    y: float
    radius: float
    turn: float
    squash: float
    lean: float
    light: tuple[float, float]


class Head:
    """A patch of the picture in the head's coordinates, to be painted from the outer petals inward.

    rgb: (3, height, width), premultiplied. alpha: (height, width). solid: which subpixels the flower owns; they are
    those it covers by half or more, a seed clock's see-through ball included.
    """

    def __init__(self, pose: Pose) -> None:
        reach = pose.radius * 1.12 + 2.0
        self.x0, self.y0 = math.floor(pose.x - reach), math.floor(pose.y - reach)
        side = math.floor(2.0 * reach) + 2
        dx = (np.arange(self.x0, self.x0 + side) + 0.5 - pose.x)[None, :] / pose.radius
        dy = (np.arange(self.y0, self.y0 + side) + 0.5 - pose.y)[:, None] / pose.radius
        s, c = sincos(pose.lean)
        along, across = (dx * c + dy * s) / pose.squash, dy * c - dx * s
        ts, tc = sincos(pose.lean - pose.turn)
        self.x: Array = along * tc - across * ts
        self.y: Array = along * ts + across * tc
        ls, lc = sincos(-pose.turn)
        self.light = (pose.light[0] * lc - pose.light[1] * ls, pose.light[0] * ls + pose.light[1] * lc)
        tilt = math.sqrt(max(1.0 - pose.squash * pose.squash, 0.0))
        self.toward = (tc * tilt, ts * tilt)  # where parts that stand out of the head's plane shift to
        self.r: Array = np.sqrt(self.x * self.x + self.y * self.y)
        self.turns: Array = angle(self.x, self.y)
        self.sharp = pose.radius * math.sqrt(pose.squash)  # subpixels in one unit, for antialiasing
        self.rgb: Array = np.zeros((3, side, side))
        self.alpha: Array = np.zeros((side, side))
        self._ball: npt.NDArray[np.bool_] | None = None

    @property
    def solid(self) -> npt.NDArray[np.bool_]:
        return self.alpha >= 0.5 if self._ball is None else self._ball

    def ball(self, radius: float) -> None:
        """The flower owns all within `radius`, however see-through it is."""
        self._ball = self.r <= radius

    def within(self, radius: float) -> "Head":
        """The same head, only the window that holds the circle of `radius`: what is painted there shows here."""
        inside = self.r <= radius + 2.0 / self.sharp
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if rows.size == 0:
            return self
        w = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        part = object.__new__(Head)
        part.__dict__.update(self.__dict__)
        part.x, part.y, part.r, part.turns, part.alpha = (
            a[w] for a in (self.x, self.y, self.r, self.turns, self.alpha)
        )
        part.rgb = self.rgb[:, w[0], w[1]]
        return part

    def over(
        self, inside: Array, colour: Array, opacity: float = 1.0, gloom: float = 0.35, reach: float = 0.10
    ) -> None:
        """Paint `colour` (3, height, width) where the distance `inside` (in units) is positive, in a shadow."""
        cover = unit(0.5 + inside * self.sharp)
        if opacity < 1.0:
            cover = cover * opacity
        keep = 1.0 - cover
        self.rgb *= keep * (1.0 - gloom * smooth(1.0 + inside / reach)) if gloom > 0 else keep
        self.rgb += colour * cover
        self.alpha *= keep
        self.alpha += cover


def strap_petals(
    head: Head,
    dice: Dice,
    count: int,
    offset: float,
    length: float,
    width: float,
    colours: tuple[Colour, Colour],
    *,
    pointed: float,
    widest: float,
    ragged: float = 0.10,
    notch: float = 0.0,
    gloom: float = 0.35,
    veins: float = 0.10,
    opacity: float = 1.0,
) -> None:
    """One ring of `count` petals that do not overlap each other: each pixel is folded onto its own petal.

    length: of the longest. width: half of it, at `widest` (0 foot, 1 tip). pointed: 0 blunt to 1 pointed tips.
    ragged: how much petals differ. notch: depth of the teeth of the tip.
    """
    head = head.within(length)
    lengths = length * (1.0 - ragged * 1.6 * dice.array(count))
    widths = width * (1.0 + dice.spread(count, ragged))
    tones = 1.0 + dice.spread(count, 0.09)
    bends = dice.spread(count, ragged * 0.5)
    centre = offset + (np.arange(count) + 0.5) / count + dice.spread(count, ragged * 0.9 / count)
    s, c = sincos_array(centre)
    turns = head.turns - offset
    k = np.floor((turns - np.floor(turns)) * count).astype(np.int64)
    k = np.minimum(k, count - 1)
    ck, sk = c[k], s[k]
    t = (head.x * ck + head.y * sk) / lengths[k]
    v = head.y * ck - head.x * sk - bends[k] * t * t
    if notch > 0:
        t = t + notch * wave(v * 2.0 / width)
    tip = unit((t - widest) / (1.0 - widest))
    blunt = np.sqrt(np.maximum(1.0 - tip * tip * tip * tip, 0.0))
    q = tip * tip
    end = blunt + (1.0 - q - blunt) * pointed
    foot = unit(t / widest)
    half = widths[k] * end * (0.35 + 0.65 * foot * (2.0 - foot))
    inside = np.where(t > 1.0, np.minimum(half - np.abs(v), (1.0 - t) * length), half - np.abs(v))
    across = v / (widths[k] + 1e-9)
    lit = head.light[1] * ck - head.light[0] * sk
    shade = tones[k] * (0.86 + 0.20 * across * lit + 0.16 * unit(t) - 0.14 * across * across)
    if veins > 0:
        shade -= veins * smooth(wave(across * 1.5) * 3.0 - 2.0) * unit(1.2 - t)
    head.over(inside, blend(colours[0], colours[1], unit(t * 1.15 - 0.1), shade), opacity, gloom)


def seed_disc(
    head: Head, dice: Dice, radius: float, colours: tuple[Colour, Colour], spirals: tuple[int, int], height: float
) -> None:
    """A domed disc of florets along two families of spirals, shifted toward the viewer by `height`."""
    near = head.within(radius + abs(height) + 0.1)
    x, y = near.x - near.toward[0] * height, near.y - near.toward[1] * height
    r = np.sqrt(x * x + y * y) / radius
    turns = angle(x, y)
    depth = np.sqrt(r + 0.02) * spirals[1] * 0.42
    a, b = wave(turns * spirals[0] + depth), wave(turns * spirals[1] - depth)
    dots = a * b
    dome = (x * near.light[0] + y * near.light[1]) / radius
    ring = smooth((r - 0.35) * 2.2)
    shade = (0.62 + 0.55 * dots) * (0.95 + 0.30 * dome * r) * (0.78 + 0.22 * smooth(r * 2.4))
    wobble = 0.05 * radius * wave(turns * spirals[1])
    near.over(radius - wobble - r * radius, blend(colours[0], colours[1], ring, shade), 1.0, 0.45, 0.12)


def daisy(head: Head, dice: Dice) -> None:
    petal = dice.vary(dice.pick((WHITE, WHITE, CREAM, YELLOW, GOLD, PINK, ORANGE, PURPLE, RED)), 0.05)
    count = dice.whole(13, 30)
    broad = dice.uniform(2.2, 2.9) / count
    disc = dice.uniform(0.20, 0.36)
    shape = dice.uniform(0.0, 0.5)
    foot = mix(petal, dice.pick((YELLOW, WHITE, BROWN, petal)), dice.uniform(0.1, 0.4))
    start = dice.uniform(0, 1)
    rings = dice.pick((1, 1, 2, 2, 3, 4))
    for ring in range(rings):
        shown = 0.97 - 0.14 * ring
        dark = mix(petal, (0.35, 0.32, 0.35), 0.22 * (rings - 1 - ring))
        strap_petals(
            head, dice, count, start + ring * 0.5 / count, shown, broad, (foot, dark), pointed=shape, widest=0.72
        )
    heart = dice.pick(((ORANGE, YELLOW), (GOLD, YELLOW), (YELLOW, GOLD), (BROWN, GOLD), (BROWN, RUST), (CREAM, YELLOW)))
    seed_disc(
        head, dice, disc, (dice.vary(heart[0], 0.04), dice.vary(heart[1], 0.04)), (8, 13), dice.uniform(0.0, 0.12)
    )


def sunflower(head: Head, dice: Dice) -> None:
    petal = dice.vary(dice.pick((YELLOW, YELLOW, YELLOW, GOLD, GOLD, GOLD, ORANGE, CREAM, RUST, RED, WHITE)), 0.05)
    foot = mix(petal, dice.pick((ORANGE, RUST, BROWN, petal)), dice.uniform(0.2, 0.6))
    disc = dice.uniform(0.40, 0.53)
    count = dice.whole(15, 22)
    start = dice.uniform(0, 1)
    rings = dice.whole(2, 3)
    for ring in range(rings):
        dark = mix(petal, (0.35, 0.25, 0.10), 0.20 * (rings - 1 - ring))
        strap_petals(
            head,
            dice,
            count,
            start + ring * 0.38 / count,
            0.99 - 0.09 * ring,
            dice.uniform(2.5, 3.1) / count,
            (foot, dark),
            pointed=dice.uniform(0.7, 1.0),
            widest=0.58,
            ragged=0.14,
            veins=0.16,
        )
    rim = dice.vary(dice.pick((BROWN, BROWN, (0.42, 0.24, 0.08), (0.55, 0.36, 0.10))), 0.03)
    core = dice.vary(dice.pick((BROWN, (0.36, 0.34, 0.12), (0.50, 0.44, 0.16), (0.18, 0.11, 0.08))), 0.03)
    height = dice.uniform(0.0, 0.10)
    seed_disc(head, dice, disc, (core, rim), (21, 34), height)
    if dice.chance(0.6):
        seed_disc(head, dice, disc * 0.52, (mix(core, GOLD, 0.15), mix(rim, GOLD, 0.45)), (13, 21), height)


def dandelion(head: Head, dice: Dice) -> None:
    if dice.chance(0.35):
        _seed_clock(head, dice)
        return
    tip = dice.vary(dice.pick((YELLOW, YELLOW, YELLOW, GOLD, CREAM, ORANGE)), 0.04)
    heart = mix(tip, dice.pick((ORANGE, GOLD, RUST)), dice.uniform(0.3, 0.6))
    count = dice.whole(30, 44)
    rings = 7
    for ring in range(rings):
        inner = ring / (rings - 1)
        petals = max(int(count * (1.0 - 0.62 * inner)), 9)
        length = 0.97 - 0.76 * inner
        strap_petals(
            head,
            dice,
            petals,
            dice.uniform(0, 1),
            length,
            2.5 * length / petals + 0.012,
            (mix(heart, (0.4, 0.2, 0.02), 0.35), mix(tip, heart, 0.5 * inner)),
            pointed=0.1,
            widest=0.8,
            ragged=0.17,
            notch=0.06,
            gloom=0.28,
            veins=0.12,
        )


def _seed_clock(head: Head, dice: Dice) -> None:
    """A dandelion gone to seed: a see-through ball of parachutes."""
    tint = dice.vary(dice.pick((WHITE, (0.86, 0.86, 0.84), CREAM)), 0.03)
    r = head.r / 0.95
    haze = unit(r)
    glow = 0.80 + 0.22 * (head.x * head.light[0] + head.y * head.light[1])
    head.over((1.0 - r) * 0.95, blend(tint, tint, haze, glow), dice.uniform(0.16, 0.34), 0.15, 0.05)
    bones = mix(tint, (0.50, 0.45, 0.36), 0.5)
    for ring in range(3):
        strap_petals(
            head, dice, dice.whole(18, 26), dice.uniform(0, 1), 0.55 + 0.10 * ring, 0.014, (bones, tint),
            pointed=0.0, widest=0.5, ragged=0.15, gloom=0.0, veins=0.0, opacity=0.65,
        )  # fmt: skip
    start = dice.uniform(0, 1)
    # The parachutes sit where a sphere's phyllotaxis puts them; the further out, the more we see them edge on.
    for n in range(46):
        place = math.sqrt((n + 0.5) / 46.0) * (0.99 + dice.uniform(-0.04, 0.04))
        s, c = sincos(start + n * 0.6180339887498949)
        out = 0.84 * place
        _parachute(head, out * c, out * s, 0.20, max(1.0 - 0.55 * place * place, 0.45), c, s, tint, glow)
    core = dice.uniform(0.10, 0.15)
    seed_disc(head, dice, core, (BROWN, (0.48, 0.42, 0.24)), (5, 8), 0.0)
    head.ball(0.95)


def _parachute(
    head: Head, x: float, y: float, radius: float, squash: float, c: float, s: float, tint: Colour, glow: Array
) -> None:
    """One tuft of hairs around (x, y), foreshortened along (c, s)."""
    dx, dy = head.x - x, head.y - y
    rows = np.flatnonzero((np.abs(dx) + np.abs(dy) < radius * 1.5).any(axis=1))
    columns = np.flatnonzero((np.abs(dx) + np.abs(dy) < radius * 1.5).any(axis=0))
    if rows.size == 0 or columns.size == 0:
        return
    w = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    dx, dy = dx[w], dy[w]
    along, across = (dx * c + dy * s) / squash, dy * c - dx * s
    r = np.sqrt(along * along + across * across)
    hair = smooth(wave(angle(along, across) * 11.0) * 2.2 - 1.2 + unit(0.10 - r) * 8.0)
    cover = unit((radius - r) * head.sharp * 0.5) * (0.12 + 0.62 * hair * unit(1.25 - r / radius))
    alpha, rgb = head.alpha[w], head.rgb[:, w[0], w[1]]
    rgb *= 1.0 - cover
    rgb += blend(tint, tint, r, glow[w] * 1.08) * cover
    alpha *= 1.0 - cover
    alpha += cover


def rose(head: Head, dice: Dice) -> None:
    base = dice.vary(dice.pick((RED, RED, PINK, WHITE, CREAM, YELLOW, ORANGE, PURPLE)), 0.05)
    rim = mix(base, dice.pick((WHITE, PINK, CREAM, base)), dice.uniform(0.05, 0.35))
    deep = (base[0] * 0.55, base[1] * 0.42, base[2] * 0.42)
    deep = mix(deep, base, dice.uniform(0.0, 0.35))
    wild = dice.chance(0.35)  # a dog rose: few petals around open stamens
    rings = dice.whole(2, 3) if wild else dice.whole(6, 8)
    lift = dice.uniform(0.0, 0.16)
    for ring in range(rings):
        inner = ring * 0.17 if wild else ring / (rings - 1)
        radius = 0.97 - 0.83 * inner + 0.05 * inner * (1.0 - inner)
        count = (5, 5, 5, 4, 4, 3, 3, 2)[ring]
        near = head.within(min(radius + lift * inner + 0.1, 1.1))
        x, y = near.x - near.toward[0] * lift * inner, near.y - near.toward[1] * lift * inner
        r = np.sqrt(x * x + y * y)
        turns = angle(x, y) + dice.uniform(0, 1)
        place = (turns - np.floor(turns)) * count
        k = np.minimum(np.floor(place).astype(np.int64), count - 1)
        f = place - k
        sizes = radius * (1.0 - 0.07 * dice.array(count))
        tones = 1.0 + dice.spread(count, 0.08)
        q = f * 2.0 - 1.0
        # Each petal runs outward from under its neighbour, so a ring winds like a snail's shell.
        edge = sizes[k] * (1.0 - 0.13 * q * q * q * q - 0.05 * (1.0 - f)) + 0.012 * wave(f * 2.3)
        inside = edge - r
        band = 0.75 if wild else 0.34 if ring == 0 else 0.27
        g = unit(1.0 - inside / band)
        lip = smooth((g - 0.80) * 5.0)
        tuck = smooth(f * 3.5)
        facing = (x * near.light[0] + y * near.light[1]) / (r + 0.05)
        shade = tones[k] * (0.62 + 0.38 * tuck) * (0.72 + 0.30 * g + 0.12 * lip + facing * (0.20 * g - 0.12))
        shade -= 0.04 * wave(place * 9.0) * g
        share = unit(0.15 + 0.75 * g * g + 0.25 * lip - 0.18 * inner)
        near.over(inside, blend(deep, rim, share, shade), 1.0, 0.5, 0.09)
    if wild:
        strap_petals(
            head, dice, dice.whole(16, 24), 0.0, dice.uniform(0.30, 0.40), 0.02, (CREAM, dice.pick((GOLD, YELLOW))),
            pointed=0.0, widest=0.85, ragged=0.2, gloom=0.25, veins=0.0,
        )  # fmt: skip
        seed_disc(head, dice, dice.uniform(0.10, 0.16), ((0.70, 0.66, 0.25), GOLD), (5, 8), 0.05)


def tulip(head: Head, dice: Dice) -> None:
    base = dice.vary(dice.pick((RED, RED, PINK, YELLOW, WHITE, ORANGE, PURPLE, CREAM, GOLD)), 0.05)
    edge = mix(base, dice.pick((YELLOW, WHITE, PINK, base, base, RED)), dice.uniform(0.1, 0.6))
    foot = mix(base, dice.pick((YELLOW, CREAM, (0.55, 0.62, 0.30))), dice.uniform(0.2, 0.7))
    if dice.chance(0.4):
        _open_tulip(head, dice, base, edge)
        return
    wide = dice.uniform(0.34, 0.44)
    flare = dice.uniform(-0.10, 0.22)
    tall = dice.uniform(0.85, 0.98)
    # side of the cup, its outward shift at the tip, half-width, height, brightness; back petals first
    petals = (
        (-0.5, 0.30 + flare, wide * 0.80, tall * 0.94, 0.66),
        (0.5, 0.30 + flare, wide * 0.80, tall * 0.97, 0.66),
        (0.0, 0.0, wide * 0.9, tall, 0.72),
        (-1.0, 0.26 + flare, wide, tall * dice.uniform(0.9, 1.0), 0.90),
        (1.0, 0.26 + flare, wide, tall * dice.uniform(0.9, 1.0), 0.90),
        (dice.uniform(-0.2, 0.2), 0.1, wide * dice.uniform(1.05, 1.3), tall * dice.uniform(0.78, 0.92), 1.0),
    )
    for side, out, half, height, bright in petals:
        t = (0.92 - head.y) / (0.92 + height)
        middle = side * (0.20 * unit(t * 3.0) + out * t * t)
        v = head.x - middle
        rise = unit(t)
        belly = 1.0 - (1.0 - unit(t / 0.42)) * (1.0 - unit(t / 0.42))
        tip = unit((t - 0.42) / 0.58)
        profile = half * np.sqrt(unit(belly)) * (1.0 - 0.35 * tip * tip - 0.65 * tip * tip * tip * tip)
        inside = np.minimum(profile - np.abs(v), np.minimum(t, 1.0 - t) * 1.5)
        across = v / (profile + 0.03)
        streak = 0.06 * wave(across * 4.0 + t) + 0.04 * wave(across * 9.0)
        rib = 0.08 * unit(1.0 - np.abs(across) * 6.0) * (1.0 - t)
        facing = 0.26 * head.light[0] * (0.6 * across + 0.5 * side) + 0.10 * head.light[1] * (0.5 - t)
        shade = bright * (0.90 + facing - 0.12 * across * across - streak + rib + 0.12 * rise)
        planes = blend(base, edge, unit(tip * 0.7 + 0.55 * across * across), shade)
        share = smooth(1.0 - t * 3.2)
        for c in range(3):
            planes[c] += (foot[c] * shade - planes[c]) * share
        head.over(inside, planes, 1.0, 0.42, 0.10)


def _open_tulip(head: Head, dice: Dice, base: Colour, edge: Colour) -> None:
    """Seen from above: six broad petals in two rings of three around a dark or pale throat with stamens."""
    start = dice.uniform(0, 1)
    throat = dice.pick((BROWN, YELLOW, CREAM, (0.12, 0.10, 0.16)))
    for ring in range(2):
        dark = mix(edge, (0.25, 0.15, 0.15), 0.18 * (1 - ring))
        strap_petals(
            head, dice, 3, start + ring / 6.0, 0.96 - 0.04 * ring, dice.uniform(0.44, 0.52), (base, dark),
            pointed=dice.uniform(0.35, 0.7), widest=0.55, ragged=0.05, gloom=0.45, veins=0.07,
        )  # fmt: skip
    strap_petals(
        head, dice, 6, start + 1.0 / 12.0, 0.42, 0.13, (throat, mix(throat, base, 0.6)),
        pointed=0.8, widest=0.4, ragged=0.08, gloom=0.0, opacity=0.9,
    )  # fmt: skip
    anther = dice.pick((BROWN, GOLD, (0.15, 0.10, 0.18)))
    strap_petals(
        head, dice, 6, start, 0.30, 0.035, (mix(anther, CREAM, 0.4), anther),
        pointed=0.0, widest=0.8, ragged=0.12, gloom=0.3, veins=0.0,
    )  # fmt: skip
    seed_disc(head, dice, 0.09, ((0.60, 0.66, 0.36), (0.72, 0.72, 0.40)), (3, 3), 0.05)


KINDS = (daisy, dandelion, rose, sunflower, tulip)
NAMES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
