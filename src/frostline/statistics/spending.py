"""Looking more than once, and paying for it: an error spent over planned looks."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

POINTS = 601  # of the grid on which densities are carried from look to look


def spent(share: float) -> float:
    """How much of the error may be spent when this share of the seeds is there: 0 at 0, 1 at 1, rising between.

    Any such function keeps the level (Lan and DeMets 1983). This one, found by search, spends 0.6 by six tenths of
    the seeds, so that what is far ahead is found early, and the rest at the end, for what is little ahead.
    """
    return float(0.6 * min(share / 0.6, 1.0) ** 1.5 + 0.4 * share**12)


@cache
def levels(looks: tuple[int, ...], error: float, spending: Callable[[float], float] = spent) -> tuple[float, ...]:
    """The one-sided level of the test at each look, so that over all looks it errs in `error` at most.

    looks: how many seeds there are at each. For normal sums with independent increments, by carrying the density of
    those that have not crossed from look to look (Armitage, McPherson and Rowe 1969; Jennison and Turnbull 2000, ch.
    19). Used as levels of t tests, as those recommend for unknown spreads (ch. 4).
    """
    due = np.diff([0.0, *(error * spending(look / looks[-1]) for look in looks)])
    bounds: list[float] = []
    grid = mass = np.zeros(0)
    for k, look in enumerate(looks):
        if k == 0:
            bound = -float(ndtri(due[0]))
            grid = _grid(look, bound)
            density = np.exp(-(grid**2) / (2 * look)) / np.sqrt(2 * np.pi * look)
        else:
            step = np.sqrt(look - looks[k - 1])
            bound = _bound(grid, mass, step, look, float(due[k]))
            ahead = _grid(look, bound)
            apart = (ahead[:, None] - grid) / step
            density = (mass * np.exp(-(apart**2) / 2)).sum(1) / (np.sqrt(2 * np.pi) * step)
            grid = ahead
        mass = density * _weights(grid)
        bounds.append(bound)
    return tuple(float(ndtr(-bound)) for bound in bounds)


def _bound(grid: NDArray[np.float64], mass: NDArray[np.float64], step: float, look: int, due: float) -> float:
    """The standardised bound that so much of the mass crosses in a step."""

    def crossing(bound: float) -> float:
        return float((mass * ndtr((grid - bound * np.sqrt(look)) / step)).sum()) - due

    return float(brentq(crossing, -3, 12))


def _grid(look: int, bound: float) -> NDArray[np.float64]:
    """Sums that have not crossed, from eight deviations below."""
    return np.linspace(-8 * np.sqrt(look), bound * np.sqrt(look), POINTS)


def _weights(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of Simpson's rule."""
    weights = np.ones(len(grid))
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    return np.asarray(weights * (grid[1] - grid[0]) / 3)
