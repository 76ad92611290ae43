"""Drawing that yields the same bytes on every machine: the arithmetic, the dice and the canvas of `meadow`.

IEEE-754 fixes the result of + - * / sqrt, comparison, floor and clip to the last bit; it does not fix sin, exp or the
order in which a sum is taken. So everything here is elementwise float64 from those operations alone, trigonometry is a
polynomial written out below, sums are explicit adds, and chance comes from `RandomState.random_sample`, whose stream
numpy has frozen. Angles are in turns (1.0 = 360 degrees), which makes their reduction to one period exact.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Colour = tuple[float, float, float]
T = TypeVar("T")

_TWO_PI = 6.283185307179586


def sincos(turns: float) -> tuple[float, float]:
    """Sine and cosine of an angle in turns, to about 1e-9: Taylor polynomials on one eighth of a turn."""
    quarter = math.floor(turns * 4.0 + 0.5)
    x = (turns - quarter * 0.25) * _TWO_PI
    z = x * x
    s = x * (1.0 - z / 6.0 * (1.0 - z / 20.0 * (1.0 - z / 42.0 * (1.0 - z / 72.0))))
    c = 1.0 - z / 2.0 * (1.0 - z / 12.0 * (1.0 - z / 30.0 * (1.0 - z / 56.0 * (1.0 - z / 90.0))))
    return ((s, c), (c, -s), (-s, -c), (-c, s))[quarter % 4]


def sincos_array(turns: Array) -> tuple[Array, Array]:
    """`sincos` of a short one-dimensional array."""
    pairs = [sincos(float(t)) for t in turns]
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])


def angle(x: Array, y: Array) -> Array:
    """Direction of (x, y) in turns, [0, 1], to about 1e-6 (polynomial arctangent on one octant)."""
    ax, ay = np.abs(x), np.abs(y)
    q = np.minimum(ax, ay) / (np.maximum(ax, ay) + 1e-12)
    z = q * q
    p = 0.05265332 - 0.01172120 * z
    p = 0.19354346 + z * (p * z - 0.11643287)
    a = q * (0.99997726 + z * (p * z - 0.33262347)) / _TWO_PI
    a = np.where(ay > ax, 0.25 - a, a)
    a = np.where(x < 0, 0.5 - a, a)
    return np.where(y < 0, 1.0 - a, a)


def unit(a: Array) -> Array:
    """Clipped to [0, 1]."""
    clipped: Array = np.minimum(np.maximum(a, 0.0), 1.0)
    return clipped


def wave(a: Array) -> Array:
    """A triangle wave of period 1 between 0 (at whole numbers) and 1 (at halves)."""
    triangle: Array = 1.0 - np.abs((a - np.floor(a)) * 2.0 - 1.0)
    return triangle


def smooth(a: Array) -> Array:
    """Smoothstep of `a` clipped to [0, 1]."""
    a = unit(a)
    return a * a * (3.0 - 2.0 * a)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` at share 0, `b` at share 1."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def blend(a: Colour, b: Colour, share: Array, shade: Array) -> Array:
    """(3, height, width) planes of the colour between `a` (share 0) and `b` (share 1), times `shade`."""
    planes = np.empty((3, *share.shape))
    for c in range(3):
        planes[c] = (a[c] + (b[c] - a[c]) * share) * shade
    return planes


class Dice:
    """Chance of one scene."""

    def __init__(self, *key: int) -> None:
        self._state = np.random.RandomState(list(key))

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(self._state.random_sample())

    def chance(self, probability: float) -> bool:
        return float(self._state.random_sample()) < probability

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self._state.random_sample() * (high - low + 1))

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.whole(0, len(choices) - 1)]

    def array(self, *shape: int) -> Array:
        """Uniform in [0, 1)."""
        return self._state.random_sample(shape)

    def spread(self, count: int, amount: float) -> Array:
        """`count` numbers uniform in ±amount."""
        return (self._state.random_sample(count) * 2.0 - 1.0) * amount

    def vary(self, colour: Colour, amount: float) -> Colour:
        """A near-by colour."""
        r, g, b = (min(max(c + self.uniform(-amount, amount), 0.0), 1.0) for c in colour)
        return (r, g, b)


def noise(dice: Dice, size: int, cells: int) -> Array:
    """(size, size) smooth random field in [0, 1): a lattice of `cells` squares a side, interpolated."""
    lattice = dice.array(cells + 1, cells + 1)
    at = (np.arange(size) + 0.5) / size * cells
    i = np.floor(at).astype(np.int64)
    f = smooth(at - i)
    rows = lattice[i] * (1.0 - f)[:, None] + lattice[i + 1] * f[:, None]
    return rows[:, i] * (1.0 - f) + rows[:, i + 1] * f


def box_blur(planes: Array, radius: float) -> Array:
    """(3, height, width) planes blurred twice by a box of half-width `radius` pixels, edges repeated."""
    whole = math.floor(radius)
    rest = radius - whole
    width = 2.0 * radius + 1.0
    for axis in (1, 2, 1, 2):
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[axis] = (whole + 1, whole + 1)
        padded = np.pad(planes, pad, mode="edge")
        n = planes.shape[axis]

        def shifted(k: int, source: Array = padded, axis: int = axis, n: int = n) -> Array:
            return source[:, k : k + n] if axis == 1 else source[:, :, k : k + n]

        total = (shifted(0) + shifted(2 * whole + 2)) * rest
        for k in range(1, 2 * whole + 2):
            total += shifted(k)
        planes = total / width
    return planes


class Canvas:
    """A picture under work, at twice the final resolution, and who owns each subpixel.

    rgb: (3, side, side) in [0, 1] or a little outside. owner: (side, side), 0 = background, n = the n-th flower drawn.
    """

    def __init__(self, ground: Array) -> None:
        self.rgb: Array = np.repeat(np.repeat(ground, 2, axis=1), 2, axis=2)
        self.side: int = self.rgb.shape[1]
        self.owner = np.zeros((self.side, self.side), dtype=np.int64)

    def paste(
        self, x0: int, y0: int, premultiplied: Array, alpha: Array, owner: int, solid: npt.NDArray[np.bool_]
    ) -> None:
        """Put a patch, whose top left subpixel is (x0, y0) and which may hang over the edge, over the picture."""
        height, width = alpha.shape
        left, top = max(x0, 0), max(y0, 0)
        right, bottom = min(x0 + width, self.side), min(y0 + height, self.side)
        if left >= right or top >= bottom:
            return
        here = (slice(top, bottom), slice(left, right))
        there = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
        view = self.rgb[:, here[0], here[1]]
        view *= 1.0 - alpha[there]
        view += premultiplied[:, there[0], there[1]]
        self.owner[here] = np.where(solid[there], owner, self.owner[here])

    def shadow(self, cx: float, cy: float, rx: float, ry: float, depth: float) -> None:
        """Darken a soft ellipse."""
        x0, x1 = max(math.floor(cx - 2 * rx), 0), min(math.floor(cx + 2 * rx), self.side)
        y0, y1 = max(math.floor(cy - 2 * ry), 0), min(math.floor(cy + 2 * ry), self.side)
        if x0 >= x1 or y0 >= y1:
            return
        u = (np.arange(x0, x1) - cx) / rx
        v = (np.arange(y0, y1) - cy) / ry
        d = np.sqrt((u * u)[None, :] + (v * v)[:, None])
        self.rgb[:, y0:y1, x0:x1] *= 1.0 - depth * smooth((1.7 - d) / 1.2)

    def stem(self, x0: float, y0: float, x1: float, width: float, colour: Colour, light: tuple[float, float]) -> None:
        """A bent stem of half-width `width` from (x0, y0) down to (x1, bottom edge)."""
        top = max(math.floor(y0), 0)
        if top >= self.side:
            return
        left = max(math.floor(min(x0, x1) - width - 2), 0)
        right = min(math.floor(max(x0, x1) + width + 3), self.side)
        if left >= right:
            return
        ys: Array = np.arange(top, self.side, dtype=np.float64) + 0.5
        t = unit((ys - y0) / (self.side - y0))
        middle = x0 + (x1 - x0) * t * t
        v = ((np.arange(left, right) + 0.5)[None, :] - middle[:, None]) / width
        cover = unit(0.5 + (1.0 - np.abs(v)) * width)
        shade = 0.82 + 0.3 * light[0] * v - 0.2 * np.abs(v)
        self.paste(left, top, blend(colour, colour, v, shade) * cover, cover, 0, cover >= 0.5)

    def leaf(
        self,
        at: tuple[float, float],
        length: float,
        width: float,
        turn: float,
        bend: float,
        colours: tuple[Colour, Colour],
        light: tuple[float, float],
        teeth: float = 0.0,
        tip: float = 0.5,
    ) -> None:
        """A leaf, a grass blade or a fallen petal, which belongs to the background.

        at: the foot. length, width (half of it): subpixels. bend: sideways shift of the tip as a share of the length.
        teeth: depth of the serration, 0 to 1. tip: where it is widest, from 0 (foot) to 1.
        """
        s, c = sincos(turn)
        mx, my = at[0] + c * length * 0.5, at[1] + s * length * 0.5
        reach_v = width + abs(bend) * length + 1.5
        hx = abs(c) * length * 0.5 + abs(s) * reach_v + 2
        hy = abs(s) * length * 0.5 + abs(c) * reach_v + 2
        x0, x1 = max(math.floor(mx - hx), 0), min(math.floor(mx + hx), self.side)
        y0, y1 = max(math.floor(my - hy), 0), min(math.floor(my + hy), self.side)
        if x0 >= x1 or y0 >= y1:
            return
        dx = (np.arange(x0, x1) + 0.5 - at[0])[None, :]
        dy = (np.arange(y0, y1) + 0.5 - at[1])[:, None]
        t = (dx * c + dy * s) / length
        v = (dy * c - dx * s) - bend * length * t * t
        q = np.where(t < tip, (tip - t) / tip, (t - tip) / (1.0 - tip))
        profile = np.maximum(1.0 - q * q, 0.0) * width
        side = np.abs(v)
        if teeth > 0:
            profile = profile * (1.0 - teeth * wave(t * 9.0))
        cover = unit(0.5 + (profile - side)) * (t > 0) * (t < 1)
        if width > 4.0:
            veins: Array | float = 0.10 * smooth(wave(t * 7.0 - side / width * 1.2) * 4.0 - 3.0)
            rib: Array | float = 0.22 * unit(1.2 - side * 0.8)
        else:
            veins = rib = 0.0
        across = v / (profile + 1.0)
        shade = 0.88 + veins + rib + 0.22 * across * (light[1] * c - light[0] * s)
        self.paste(x0, y0, blend(colours[0], colours[1], unit(t), shade) * cover, cover, 0, cover >= 0.5)

    def downsample(self) -> Array:
        """(3, side / 2, side / 2): the mean of each two by two subpixels, added in a fixed order."""
        p = self.rgb
        return (p[:, ::2, ::2] + p[:, ::2, 1::2] + p[:, 1::2, ::2] + p[:, 1::2, 1::2]) * 0.25

    def instances(self) -> npt.NDArray[np.int64]:
        """(side / 2, side / 2): who owns most of the four subpixels; of equals, the one drawn last."""
        o = self.owner
        four = (o[::2, ::2], o[::2, 1::2], o[1::2, ::2], o[1::2, 1::2])
        best = four[0]
        most = np.zeros_like(best)
        for candidate in four:
            votes = np.zeros_like(best)
            for other in four:
                votes += candidate == other
            rank = votes * 1000 + candidate
            best = np.where(rank > most, candidate, best)
            most = np.maximum(rank, most)
        return best
