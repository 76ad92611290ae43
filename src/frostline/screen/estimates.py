"""How well features serve a task, reckoned from them without training: LogME and the regularised H-score.

Both read one vector a picture, so of maps their mean over the places. Higher is better, and each is compared with the
same estimate of other backbones on the same pictures alone.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROUNDS = 100  # of the fixed point, which mostly needs five
CLOSE = 1e-6  # relative change of the ratio of both precisions at which it has settled
SMALL = 1e-12


def logme(features: Floats, targets: Floats) -> float:
    """Log of the maximum evidence (You et al. 2021, arXiv:2102.11005), per picture, mean over the targets.

    features: (n, d). targets: (n, c), such as one column a class, 1 where a picture shows it.
    A linear model y = F w + noise, w ~ N(0, 1/alpha), noise ~ N(0, 1/beta); both precisions are those of the greatest
    evidence, found by MacKay's fixed point. As in the paper there is no bias, and nothing is centred. Of d - k
    directions that no picture has (k = min(n, d)), log alpha counts in the determinant, too.
    """
    left, squares = spectrum(features)
    return float(np.mean([_evidence(left, squares, features.shape, y) for y in targets.T]))


def spectrum(features: Floats) -> tuple[Floats, Floats]:
    """Left singular vectors (n, k) and squares of the singular values (k,), of those that are not 0: by the smaller of
    both products of the features with themselves, which takes a tenth of a decomposition's time."""
    n, d = features.shape
    squares, vectors = np.linalg.eigh(features @ features.T if n <= d else features.T @ features)
    kept = squares > squares.max(initial=0) * 1e-12
    squares, vectors = squares[kept], vectors[:, kept]
    return (vectors if n <= d else features @ vectors / np.sqrt(squares)), squares


def _evidence(left: Floats, squares: Floats, shape: tuple[int, ...], y: Floats) -> float:
    n, d = shape
    seen = (left.T @ y) ** 2
    unseen = max(0.0, float(y @ y - seen.sum()))
    alpha = beta = 1.0
    for _ in range(ROUNDS):
        ratio = alpha / beta
        known = float((squares / (squares + ratio)).sum())  # MacKay's number of well-determined parameters
        weights = float((squares * seen / (squares + ratio) ** 2).sum())
        residual = float((seen * (ratio / (squares + ratio)) ** 2).sum()) + unseen
        alpha, beta = known / max(weights, SMALL), max(n - known, SMALL) / max(residual, SMALL)
        if abs(alpha / beta - ratio) <= CLOSE * ratio:
            break
    ratio = alpha / beta
    weights = float((squares * seen / (squares + ratio) ** 2).sum())
    residual = float((seen * (ratio / (squares + ratio)) ** 2).sum()) + unseen
    determinant = float(np.log(alpha + beta * squares).sum()) + (d - len(squares)) * math.log(alpha)
    evidence = d * math.log(alpha) + n * math.log(beta) - determinant - beta * residual - alpha * weights
    return (evidence - n * math.log(2 * math.pi)) / (2 * n)


def h_score(features: Floats, labels: NDArray[np.int64]) -> float:
    """tr(S^-1 B): how much of the features' scatter S lies between the classes, B (Bao et al. 2019,
    doi:10.1109/ICIP.2019.8803726), with S shrunk, as of few pictures it has no inverse (Ibrahim et al. 2021,
    arXiv:2110.06893): S = (1 - a) C + a tr(C)/d I, and B weighs 1 - a, a by Ledoit and Wolf.

    features: (n, d). labels: (n,). From 0 to the number of classes less 1.
    """
    n, d = features.shape
    centred = features - features.mean(0)
    left, squares = spectrum(centred)
    variances = squares / n  # of the covariance; in all other directions it has none, nor have the classes
    share = shrinkage(centred)
    inverse = 1 / np.maximum((1 - share) * variances + share * variances.sum() / d, SMALL)
    between = np.zeros(len(squares))
    for label in np.unique(labels):
        own = labels == label
        between += own.mean() * squares * left[own].mean(0) ** 2  # along the right singular vectors
    return float((1 - share) * (inverse * between).sum())


def shrinkage(centred: Floats) -> float:
    """How far a covariance is drawn towards tr(C)/d I, 0..1, by which its expected error is least (Ledoit and Wolf
    2004, doi:10.1016/S0047-259X(03)00096-4). centred: (n, d), of mean 0."""
    n, d = centred.shape
    # All by products of pictures, n x n, as d is mostly larger: |X'X|^2 = |XX'|^2, and row norms are on its diagonal.
    gram = centred @ centred.T / n if n < d else centred.T @ centred / n
    size, mean = float((gram**2).sum()), float(np.trace(gram)) / d
    apart = size - d * mean**2  # |C - mean I|^2
    noise = (float(((centred**2).sum(1) ** 2).sum()) / n - size) / n  # of C's own entries
    return 0.0 if apart <= SMALL else min(max(noise, 0.0), apart) / apart
