"""A detector of windows, slid over a picture, against the same weights as convolutions in one pass."""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, cast

from benchmarks.row import Row

SIDE, TIMES = 448, 5
NEAR = 0.01  # px; boxes so close are the same


def fully_convolutional() -> list[Row]:
    """One picture of 448 px at its own size; medians of several passes of each, in turn, with all cores."""
    import torch

    from frostline.config import compose
    from frostline.runs.build import build_task
    from frostline.tasks.base import Task

    torch.manual_seed(0)
    common = [
        "task=detection",
        "backbone=small_cnn",
        f"image_size={SIDE}",
        f"head.sizes=[{SIDE}]",
        "task.max_boxes=10000",
    ]
    slid, one_pass = (
        build_task(compose([*common, f"head={head}"]), ("a", "b", "c")).eval()
        for head in ("sliding_window", "fully_convolutional")
    )
    one_pass.load_state_dict(slid.state_dict())
    picture = torch.rand(1, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)

    def timed(task: Task) -> tuple[float, torch.Tensor]:
        start = time.perf_counter()
        with torch.inference_mode():
            said = cast(Any, task.model.head).score_windows(task.model.backbone, picture)
        return time.perf_counter() - start, said

    def boxes(task: Task) -> torch.Tensor:
        """Corners and class of each, (n, 5), after suppression."""
        with torch.inference_mode():
            whole = {"size": SIDE, "place": [(0, 0, SIDE, SIDE)], "picture_size": [(SIDE, SIDE)]}
            (found,) = task.predict(task(picture), whole)
        return torch.cat([found.boxes, found.labels[:, None].float()], 1)

    timed(slid), timed(one_pass)
    pairs = [(timed(slid), timed(one_pass)) for _ in range(TIMES)]
    apart = max(float((one[1] - other[1]).abs().max()) for one, other in pairs)
    ratio = statistics.median(one[0] / other[0] for one, other in pairs)
    other, ours = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    # Near-equal scores change places, so boxes are looked for anywhere among the others'.
    near = torch.cdist(boxes(slid), boxes(one_pass), p=math.inf) < NEAR
    alone, (many, others) = int((~near.any(0)).sum() + (~near.any(1)).sum()), near.shape
    what = f"{pairs[0][0][1].shape[1]} windows of a picture of {SIDE} px in one pass, times faster than one by one"
    return [
        Row("fully_convolutional", what, ratio, ">= 20", f"{1e3 * ours:.1f} ms", f"{1e3 * other:.0f} ms"),
        Row("window_difference", "the furthest that one of their outputs differs", apart, "<= 0.0001", f"{apart:.1g}"),
        Row("window_boxes", "boxes of one that the other lacks", alone, "== 0", f"{others} boxes", f"{many} boxes"),
    ]


MEASURES: dict[str, Callable[[], list[Row]]] = {"fully_convolutional": fully_convolutional}
