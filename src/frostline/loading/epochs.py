"""How many scenes an epoch of training shows, and how many epochs a budget of pictures is; without torch, for whoever
only watches a run."""


def shown(count: int, batch_size: int) -> int:
    """How many of `count` scenes an epoch of training shows: a last batch of one is left out, see `ViewSampler`."""
    return count - 1 if count > 1 and batch_size > 1 and count % batch_size == 1 else count


def epochs_in(images: int, count: int, batch_size: int) -> int:
    """Whole epochs in which so many pictures at least are shown, of `count` scenes to train on."""
    return max(1, -(-images // max(1, shown(count, batch_size))))
