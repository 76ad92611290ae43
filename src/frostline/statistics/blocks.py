"""Several arms on the same seeds: each arm's own spread, once what a seed does to all of them is taken off."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
ROUNDS = 12  # of alternating fits: residuals are then those of least squares to 1e-4 of their size


@dataclass(frozen=True, eq=False)
class Led:
    """The arm of the highest mean against each arm, in many studies at once.

    leader: (studies,). ahead: by how much it leads, (studies, arms), infinite for arms that do not compete. error: the
    standard error of that. df: its degrees of freedom.
    """

    leader: Ints
    ahead: Floats
    error: Floats
    df: Floats

    def above(self, value: float = 0.0) -> Floats:
        """One-sided p that an arm isn't further behind the leader than this value, (studies, arms)."""
        return _p(self.ahead - value, self.error, self.df)

    def below(self, value: float) -> Floats:
        """One-sided p that an arm isn't nearer to the leader than this value."""
        return _p(value - self.ahead, self.error, self.df)


def led(values: Floats, present: Bools, competing: Bools) -> Led:
    """Compare the leading arm with the others that compete, by all that was run.

    values: (studies, arms, seeds), two seeds at least. present: of the same shape, which of them were run; arms that
    have left have the first seeds only. competing: (studies, arms), two a study at least, all of whose seeds are there.

    A value is an arm's mean, what the seed does to all arms, and noise of the arm's own spread, independent of others'.
    The spreads come from the residuals of that two-way table; a difference has the sum of two such variances, with
    Welch's degrees of freedom (Welch 1947, Satterthwaite 1946), lessened by what the seeds' effects take. Two arms of
    equal spread among ten so have nearly twice the degrees of freedom of a paired t test; two arms alone have that test
    exactly. Spreads are neither pooled nor drawn together: where the arms at the top spread more than the rest, that
    makes false champions.
    """
    seeds = values.shape[2]
    means, residuals = _fit(np.where(present, values, 0.0), present)
    variance, share = _spreads(residuals, present)
    ranked = np.where(competing, means, -np.inf)
    leader = ranked.argmax(1)
    first = np.take_along_axis(variance, leader[:, None], 1)
    squares = first**2 + variance**2
    with np.errstate(invalid="ignore", divide="ignore"):
        gained = np.where(squares > 0, share * (first + variance) ** 2 / squares, 1.0) - 1
    # Whether two spreads are alike, and so worth more than one, is known by these few seeds only: not all of it counts.
    df = (seeds - 1) * (1 + (1 - 0.5 / (seeds - 1)) * gained)
    ahead = np.take_along_axis(ranked, leader[:, None], 1) - ranked
    return Led(leader, ahead, np.sqrt((first + variance) / seeds), df)


def _fit(values: Floats, present: Bools) -> tuple[Floats, Floats]:
    """Means of the arms over their own seeds, and residuals of arms + seeds, 0 where nothing was run."""
    arms, seeds = np.maximum(present.sum(2), 1), np.maximum(present.sum(1), 1)
    effect = np.zeros(seeds.shape)
    for _ in range(ROUNDS):
        level = (values - np.where(present, effect[:, None, :], 0.0)).sum(2) / arms
        effect = (values - np.where(present, level[:, :, None], 0.0)).sum(1) / seeds
    level = (values - np.where(present, effect[:, None, :], 0.0)).sum(2) / arms
    residuals = values - effect[:, None, :] - level[:, :, None]
    return values.sum(2) / arms, np.where(present, residuals, 0.0)


def _spreads(residuals: Floats, present: Bools) -> tuple[Floats, Floats]:
    """Each arm's variance, (studies, arms); and the share of their degrees of freedom that two arms keep, (studies, 1).

    Of A arms with one spread, a residual keeps 1 - 1/A of the variance, and of variances v_k exactly
    v_i (1 - 2/A) + sum v_k / A². The second, by the variances of the first, corrects those that spread more than their
    peers, which the first puts too low; it is taken where it is higher, as too narrow a spread makes false champions.
    """
    arms = np.maximum(present.sum(1), 2)[:, None, :]
    own = np.maximum(present.sum(2), 1)
    squares = (residuals**2).sum(2)
    free = np.maximum(own - 1, 1) / own  # an arm's own mean is fitted, too
    kept = 1 - 1 / arms
    variance = squares / np.maximum((present * kept).sum(2) * free, 1e-300)
    all_of = (present * variance[:, :, None]).sum(1)[:, None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = 1 - 2 / arms + all_of / (variance[:, :, None] * arms**2)
        second = squares / ((present * exact).sum(2) * free)
    share = kept**2 / (kept**2 + 1 / arms**2)  # residuals of two arms are correlated: 1/2 for two arms, 0.99 for ten
    return np.fmax(variance, second), share.mean(2)


def _p(apart: Floats, error: Floats, df: Floats) -> Floats:
    """Student's; where nothing varies, 0 above zero, 1 below, 0.5 at it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > 0, apart / error, np.where(apart == 0, 0.0, np.inf * np.sign(apart)))
    return np.asarray(stdtr(df, -t))
