"""Estimates against second implementations, written from the papers without their short cuts."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.covariance import ledoit_wolf

from frostline.screen.estimates import h_score, logme, shrinkage, spectrum


@pytest.fixture(params=[(40, 12), (30, 90)], ids=["more pictures", "more features"])
def data(request):
    n, d = request.param
    draw = np.random.default_rng(3)
    labels = np.arange(n) % 3
    features = draw.normal(size=(n, d)) @ draw.normal(size=(d, d)) / d + 0.7 * draw.normal(size=(3, d))[labels]
    return features, labels


def test_logme_is_the_greatest_evidence_of_a_bayesian_linear_model(data):
    # The traps: the determinant of directions that no picture has, and a fixed point that is left too early.
    features, labels = data
    n, d = features.shape
    targets = np.eye(3)[labels][:, :2]

    def evidence(logs, y):
        alpha, beta = np.exp(logs)
        a = alpha * np.eye(d) + beta * features.T @ features
        mean = beta * np.linalg.solve(a, features.T @ y)
        rest = beta / 2 * ((y - features @ mean) ** 2).sum() + alpha / 2 * (mean**2).sum()
        constant = d / 2 * np.log(alpha) + n / 2 * np.log(beta) - n / 2 * np.log(2 * np.pi)
        return constant - rest - np.linalg.slogdet(a)[1] / 2

    best = []
    for y in targets.T:
        best.append(-minimize(lambda logs, y=y: -evidence(logs, y), (1.0, 1.0), method="Nelder-Mead").fun / n)
    assert logme(features, targets) == pytest.approx(np.mean(best), abs=2e-3)


def test_logme_prefers_features_that_tell_the_classes(data):
    features, labels = data
    noise = np.random.default_rng(0).normal(size=features.shape)
    targets = np.eye(3)[labels]
    assert logme(features, targets) > logme(noise, targets)


def test_h_score_is_the_trace_of_its_definition(data):
    features, labels = data
    covariance, share = ledoit_wolf(features)
    assert shrinkage(features - features.mean(0)) == pytest.approx(share)
    means = np.stack([features[labels == label].mean(0) - features.mean(0) for label in labels])
    expected = np.trace(np.linalg.solve(covariance, (1 - share) * means.T @ means / len(labels)))
    assert h_score(features, labels) == pytest.approx(expected, rel=1e-6)


def test_the_spectrum_is_that_of_a_decomposition(data):
    features, _ = data
    left, squares = spectrum(features)
    singular = np.linalg.svd(features, compute_uv=False)
    assert np.sort(squares)[::-1] == pytest.approx(singular**2, rel=1e-6)
    assert left.T @ left == pytest.approx(np.eye(len(squares)), abs=1e-6)
    bare = np.concatenate([features[:, :5], features[:, :5]], 1)  # of rank 5
    assert len(spectrum(bare)[1]) == 5
