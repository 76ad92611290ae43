"""A detector of windows, slid over a picture, against the same weights as convolutions in one pass."""

import statistics
import time
from collections.abc import Callable

from benchmarks.row import Row

SIDE, TIMES = 448, 5


def fully_convolutional() -> list[Row]:
    """One picture of 448 px at its own size; medians of several passes of each, in turn, with all cores."""
    import torch

    from frostline.models.heads.detection.windows import FullyConvolutionalHead, SlidingWindowHead
    from frostline.models.small_cnn import SmallCnn

    torch.manual_seed(0)
    backbone = SmallCnn().to(memory_format=torch.channels_last).eval()  # as every task has it
    slid = SlidingWindowHead(backbone, 3, sizes=[SIDE]).eval()
    one_pass = FullyConvolutionalHead(backbone, 3, sizes=[SIDE]).eval()
    one_pass.load_state_dict(slid.state_dict())
    picture = torch.rand(1, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)

    def timed(head: SlidingWindowHead) -> tuple[float, torch.Tensor]:
        start = time.perf_counter()
        with torch.inference_mode():
            said = head.say(backbone, picture)
        return time.perf_counter() - start, said

    timed(slid), timed(one_pass)
    pairs = [(timed(slid), timed(one_pass)) for _ in range(TIMES)]
    apart = max(float((one[1] - other[1]).abs().max()) for one, other in pairs)
    ratio = statistics.median(one[0] / other[0] for one, other in pairs)
    other, ours = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    what = f"{pairs[0][0][1].shape[1]} windows of a picture of {SIDE} px in one pass, times faster than one by one"
    return [
        Row("fully_convolutional", what, ratio, ">= 20", f"{1e3 * ours:.1f} ms", f"{1e3 * other:.0f} ms"),
        Row("window_difference", "the furthest that one of their outputs differs", apart, "<= 0.0001", f"{apart:.1g}"),
    ]


MEASURES: dict[str, Callable[[], list[Row]]] = {"fully_convolutional": fully_convolutional}
