"""What the flowers of `meadow` stand on and in front of, drawn at the final resolution. See `canvas`."""

import math

import numpy as np

from frostline.meadow.canvas import Array, Colour, Dice, blend, box_blur, mix, noise, smooth, unit, wave

Light = tuple[float, float]
GREENS: tuple[Colour, ...] = ((0.30, 0.46, 0.16), (0.22, 0.40, 0.20), (0.40, 0.50, 0.18), (0.25, 0.42, 0.30))


def fractal(dice: Dice, size: int, cells: int, octaves: int) -> Array:
    """(size, size) in [0, 1): octaves of `noise`, each twice as fine and 0.6 as strong."""
    total, weight, reach = noise(dice, size, cells), 1.0, 1.0
    for _ in range(octaves - 1):
        cells, weight = cells * 2, weight * 0.6
        total = total + noise(dice, size, cells) * weight
        reach += weight
    return total / reach


def relief(height: Array, light: Light, strength: float) -> Array:
    """Shading of a height field lit from `light`: about 1, brighter on slopes that face it."""
    padded = np.pad(height, 1, mode="edge")
    dx = padded[1:-1, 2:] - padded[1:-1, :-2]
    dy = padded[2:, 1:-1] - padded[:-2, 1:-1]
    return 1.0 - unit(0.5 + (dx * light[0] + dy * light[1]) * strength) + 0.5


def soil(dice: Dice, size: int, light: Light) -> Array:
    dark = dice.vary((0.22, 0.15, 0.10), 0.05)
    pale = dice.vary((0.55, 0.42, 0.30), 0.08)
    height = fractal(dice, size, 7, 4)
    fine = noise(dice, size, 56)
    scale = size / 128.0
    ground = blend(dark, pale, unit(height * 1.5 - 0.3 + (fine - 0.5) * 0.25), relief(height, light, 3.0 * scale))
    return ground


def moss(dice: Dice, size: int, light: Light) -> Array:
    dark = dice.vary((0.12, 0.20, 0.06), 0.04)
    pale = dice.vary((0.55, 0.62, 0.22), 0.08)
    cushions = fractal(dice, size, 6, 2)
    fine = noise(dice, size, 60) * 0.6 + noise(dice, size, 40) * 0.4
    scale = size / 128.0
    shade = relief(cushions, light, 3.5 * scale) * relief(fine, light, 0.9 * scale)
    return blend(dark, pale, unit(cushions * 0.7 + fine * 0.6 - 0.2), shade)


def stones(dice: Dice, size: int, light: Light) -> Array:
    """Pebbles: the cells nearest to the points of a jittered grid, domed, with dark gaps."""
    cells = dice.whole(5, 12)
    px, py, tone = dice.array(cells + 4, cells + 4), dice.array(cells + 4, cells + 4), dice.array(cells + 4, cells + 4)
    bent = 0.5 * (noise(dice, size, 16) - 0.5)
    at = (np.arange(size) + 0.5) / size * cells + 1.0
    x, y = at[None, :] + bent, at[:, None] - bent
    i, j = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    first = np.full((size, size), 9.0)
    second = np.full((size, size), 9.0)
    tint = np.zeros((size, size))
    ox, oy = np.zeros((size, size)), np.zeros((size, size))
    for dj in (-1, 0, 1):
        for di in (-1, 0, 1):
            a, b = np.maximum(j + dj, 0), np.maximum(i + di, 0)
            dx, dy = b + 0.15 + 0.7 * px[a, b] - x, a + 0.15 + 0.7 * py[a, b] - y
            d = np.sqrt(dx * dx + dy * dy)
            nearer = d < first
            second = np.where(nearer, first, np.minimum(second, d))
            tint = np.where(nearer, tone[a, b], tint)
            ox, oy = np.where(nearer, dx, ox), np.where(nearer, dy, oy)
            first = np.minimum(first, d)
    gap = smooth((second - first) * 4.0)
    warm = dice.vary((0.62, 0.54, 0.44), 0.08)
    grey = dice.vary((0.42, 0.44, 0.48), 0.08)
    grain = 0.9 + 0.2 * noise(dice, size, 60)
    shade = (0.22 + 0.78 * gap) * (1.0 - 0.55 * (ox * light[0] + oy * light[1])) * (0.75 + 0.5 * wave(tint * 7.3))
    return blend(grey, warm, tint, shade * grain)


def lawn(dice: Dice, size: int, light: Light, onto: Array | None = None, horizon: float = -0.2) -> Array:
    """Layers of grass blades from back to front; `horizon` is the height (0 top, 1 bottom) where the tips begin.

    All blades of a layer share one lean: a pixel then finds its blade by one division.
    """
    base = dice.vary(dice.pick(GREENS), 0.05)
    dark = mix(base, (0.03, 0.07, 0.03), 0.65)
    ground = blend(dark, mix(dark, base, 0.5), noise(dice, size, 12), np.ones((size, size))) if onto is None else onto
    at = (np.arange(size) + 0.5) / size
    x, y = at[None, :], at[:, None]
    layers = 9
    for layer in range(layers):
        near = (layer + 1) / layers
        count = dice.whole(16, 30) - int(9 * near)
        foot = horizon + (1.25 - horizon) * near + 0.1
        lean, curl = dice.uniform(-0.5, 0.5), dice.uniform(-0.7, 0.7)
        up = (foot - y) / 0.5
        place = (x + lean * up * 0.5 + curl * up * up * 0.25 + 2.0) * count
        k = np.floor(place).astype(np.int64)
        tall = 0.35 + 0.65 * dice.array(count * 6)
        shift = dice.spread(count * 6, 0.22)
        tone = dice.array(count * 6)
        k = np.minimum(np.maximum(k, 0), count * 6 - 1)
        v = (place - k - 0.5) - shift[k]
        rise = up / tall[k]
        half = 0.24 * unit(1.0 - rise) * (0.6 + 0.4 * near)
        cover = unit(0.5 + (half - np.abs(v)) * (size / count)) * (rise < 1.0) * smooth(up * 3.0 + 1.0)
        tint = mix(dark, dice.vary(base, 0.03), 0.35 + 0.65 * near)
        tipcol = mix(tint, (0.72, 0.75, 0.40), 0.35)
        shade = (0.65 + 0.5 * tone[k]) * (0.9 + light[0] * v) * (0.55 + 0.45 * unit(rise + 0.3))
        ground = ground * (1.0 - cover) + blend(tint, tipcol, unit(rise), shade) * cover
    return ground


def bokeh(dice: Dice, size: int, light: Light) -> Array:
    """Far ground out of focus: a soft vertical gradient with discs of light."""
    palette: tuple[tuple[Colour, Colour], ...] = (
        ((0.55, 0.66, 0.42), (0.16, 0.28, 0.12)),
        ((0.72, 0.80, 0.88), (0.28, 0.40, 0.20)),
        ((0.80, 0.66, 0.45), (0.30, 0.24, 0.13)),
        ((0.30, 0.38, 0.30), (0.07, 0.11, 0.07)),
        ((0.62, 0.52, 0.56), (0.22, 0.26, 0.18)),
    )
    top, bottom = dice.pick(palette)
    top, bottom = dice.vary(top, 0.06), dice.vary(bottom, 0.04)
    at = (np.arange(size) + 0.5) / size
    clouds = fractal(dice, size, 3, 2)
    ground = blend(top, bottom, unit(at[:, None] * 1.1 - 0.3 + (clouds - 0.5) * 1.3), np.ones((size, size)))
    for _ in range(dice.whole(4, 16)):
        cx, cy, r = dice.uniform(0, 1), dice.uniform(0, 1), dice.uniform(0.03, 0.11)
        colour = dice.pick(((1.0, 0.95, 0.6), (0.9, 1.0, 0.7), (1.0, 0.75, 0.8), (1.0, 1.0, 1.0), (1.0, 0.85, 0.35)))
        strength = dice.uniform(0.10, 0.45)
        x0, x1 = max(math.floor((cx - r) * size) - 1, 0), min(math.floor((cx + r) * size) + 2, size)
        y0, y1 = max(math.floor((cy - r) * size) - 1, 0), min(math.floor((cy + r) * size) + 2, size)
        dx, dy = (at[None, x0:x1] - cx) / r, (at[y0:y1, None] - cy) / r
        d = np.sqrt(dx * dx + dy * dy)
        disc = unit((1.0 - d) * 5.0) * (0.75 + 0.25 * unit(d)) * strength
        for c in range(3):
            view = ground[c, y0:y1, x0:x1]
            view += (colour[c] - view) * disc
    return ground


def draw(dice: Dice, size: int, light: Light) -> tuple[Array, bool]:
    """The ground, (3, size, size), and whether it is seen from the side, so that flowers have stems."""
    kind = dice.whole(0, 7)
    if kind == 0:
        return soil(dice, size, light), False
    if kind == 1:
        return moss(dice, size, light), False
    if kind == 2:
        return stones(dice, size, light), False
    if kind in (3, 4):
        ground = lawn(dice, size, light)
        return (box_blur(ground, dice.uniform(0.5, 2.0) * size / 128.0) if kind == 4 else ground), False
    far = bokeh(dice, size, light)
    if kind == 5:
        return far, True
    meadow = lawn(dice, size, light, far, dice.uniform(0.25, 0.7))
    return (box_blur(meadow, dice.uniform(0.4, 2.5) * size / 128.0) if dice.chance(0.7) else meadow), True
