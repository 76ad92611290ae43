"""Quality against what it costs."""

from collections.abc import Sequence


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which of (cost, quality) no other has at most the cost and at least the quality of; the cheapest first."""
    edge: list[int] = []
    for n in sorted(range(len(points)), key=lambda n: (points[n][0], -points[n][1])):
        if not edge or points[n][1] > points[edge[-1]][1]:
            edge.append(n)
    return edge
