"""The node's own folder: where a run on a cluster reads a copy of its dataset, and keeps what it keeps.

It stands in the environment and in no run's configuration, which is frozen before anybody knows which node will have
the run; and no figure hangs on it. What cannot be had is said once, and done without; what ends a run is a file of its
dataset that is not as it was prepared.

<FROSTLINE_NODE_FOLDER>/frostline-<user id>/
- cache/: pictures and activations, in place of cache.folder
- datasets/<hash of dataset.json>/: copies, each whole; `held` and `used` as in `room`
"""

import fcntl
import json
import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from frostline.environment import NODE_FOLDER
from frostline.errors import FrostlineError
from frostline.parallel import in_threads
from frostline.scenes.columns import Table
from frostline.scenes.dataset import Dataset
from frostline.scenes.layout import COLUMNS
from frostline.store.network import locks_reach_others
from frostline.store.room import CacheError, Room, alone, locked, on_disk, release, touch

SPARE = 1 << 30  # bytes that a copy leaves free on the node's disk
AT_ONCE = 8  # files copied at the same time, as each waits for the network
READ = 1 << 20


def node_folder() -> Path | None:
    """What is ours of the folder that NODE_FOLDER names, where variables stand for what they are on this node.

    None where it names none, or one that cannot be used, which is said.
    """
    named = os.environ.get(NODE_FOLDER, "")
    return _ours(os.path.expandvars(named)) if named else None


@cache
def _ours(named: str) -> Path | None:
    folder = Path(named, f"frostline-{os.getuid()}")
    try:
        if "$" in named:
            raise CacheError(f"no such variable is set on {platform.node()}")
        if not folder.is_absolute():
            raise CacheError("that is no absolute path")
        folder.mkdir(0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):  # who else may write there decides results
            raise CacheError(f"{folder} is another user's")
    except (CacheError, OSError) as error:
        why = getattr(error, "strerror", None) or error
        _say(f"{NODE_FOLDER} is '{named}', and {why}: this run does without the node's own folder.")
        return None
    return folder


def cache_folder(configured: str) -> Path:
    """Where pictures and activations are kept. configured: cache.folder, where no folder of the node's own is named.

    Where a lock there is one node's alone, each node has a folder in it: another one would remove what is read here.
    """
    if (node := node_folder()) is not None:
        return node / "cache"
    folder = Path(configured)
    return folder if locks_reach_others(folder) else folder / f"node-{platform.node()}"


@contextmanager
def near(dataset: Dataset) -> Iterator[Dataset]:
    """Within, the same dataset, whose files are read from a copy in the node's own folder, if there is one.

    The copy is made once, whoever asks at the same time, and stays: where the disk has no room for another one, the
    least recently used of those that nobody reads go. Pictures that stay where they are (dataset.store=reference) are
    not copied. Raises FrostlineError where a file of the dataset is not as it was prepared.
    """
    node = node_folder()
    if node is None or dataset.info.get("store") == "reference":
        yield dataset
        return
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(_held(dataset, Room(node / "datasets", 0)))
        except (CacheError, OSError) as error:
            why = getattr(error, "strerror", None) or error
            _say(f"{node / 'datasets'} gets no copy of the dataset, as {why}: {dataset.path} itself is read.")
            yield dataset
        else:
            yield dataset.read_from(copy)


@contextmanager
def _held(dataset: Dataset, room: Room) -> Iterator[Path]:
    """The copy, which nobody removes within; made where there is none."""
    room.root.mkdir(parents=True, exist_ok=True)
    copy = room.root / sha256(json.dumps(dataset.info, sort_keys=True).encode()).hexdigest()[:32]
    if (lock := _hold(copy, dataset)) is None:
        with FileLock(room.root / ".lock"):
            if (lock := _hold(copy, dataset)) is None:
                _make(dataset, room, copy)
                lock = locked(copy, fcntl.LOCK_SH)
    touch(copy)
    try:
        yield copy
    finally:
        touch(copy)
        release(lock)


def _hold(copy: Path, dataset: Dataset) -> int | None:
    """A descriptor that keeps the copy where it is; None where there is none that is whole."""
    lock = None
    with suppress(OSError):
        lock = locked(copy, fcntl.LOCK_SH)
        # As where files are removed by their age, one by one. Counted: to ask for each takes longer than to list them.
        stored = {name: sum(1 for _ in os.scandir(copy / name)) for name in dataset.info["stored"]}
        if stored == dataset.info["stored"] and (copy / COLUMNS).stat().st_size == _table(dataset).size:
            return lock
    if lock is not None:
        release(lock)
    return None


def _make(dataset: Dataset, room: Room, copy: Path) -> None:
    """Copy the dataset, as who alone does so on this node."""
    aside = room.root / ".partial"
    shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
    if copy.exists():
        with alone(copy) as free:
            if not free:
                raise CacheError(f"files are gone from {copy}, which others still read")
            room.discard(copy)
    size = sum(map(on_disk, _sizes(dataset)))
    _make_room(room, size)
    folders = [aside / name for name in dataset.info["stored"]]
    for folder in folders:
        folder.mkdir(parents=True)
    wanted = ((dataset.path / name, aside / name, digest) for name, digest in _files(dataset))
    title = f"copying dataset {dataset.name} to {platform.node()}"
    try:
        with tqdm(total=size, desc=title, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as shown:
            for copied in in_threads(lambda one: _copy(*one), wanted, AT_ONCE):
                shown.update(on_disk(copied))
        aside.rename(copy)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _make_room(room: Room, needed: int) -> None:
    """Have the disk hold so many bytes more, and leave it some. Raises CacheError where it cannot."""
    room.sweep()
    free = shutil.disk_usage(room.root).free - SPARE
    costs = ((other, sum(on_disk(size) for size in _tree(other))) for other in room.folders())
    if (found := room.make_way(free, needed, costs)) < needed:
        raise CacheError(
            f"it takes {needed / 1e9:.3g} GB, and beside {SPARE / 1e9:.3g} GB that stay free the disk has "
            f"{max(0, found) / 1e9:.3g} GB for it"
        )


def _files(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """What a run reads of a dataset: names and sha256. The lists for other tools stay where they are."""
    lists = dataset.info["files"]
    yield COLUMNS, lists[COLUMNS]
    yield from ((name, digest) for name, digest in dataset.files() if name not in lists)


def _sizes(dataset: Dataset) -> Iterator[int]:
    yield _table(dataset).size
    for name in dataset.info["stored"]:
        yield from _tree(dataset.path / name)


def _table(dataset: Dataset) -> Table:
    return dataset.columns.table


def _tree(folder: Path) -> Iterator[int]:
    """The sizes of all files in a folder, however deep."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _tree(Path(entry.path))
        else:
            yield entry.stat(follow_symlinks=False).st_size


def _copy(source: Path, target: Path, digest: str) -> int:
    """One file, looked at on its way; its size. Raises FrostlineError where it is not what was prepared."""
    found, size = sha256(), 0
    try:
        file = source.open("rb")
    except OSError as error:
        raise FrostlineError(
            f"{source}, which the dataset needs, cannot be read ({error.strerror}): prepare the dataset anew."
        ) from error
    with file, target.open("wb") as into:
        while content := file.read(READ):
            found.update(content)
            size += into.write(content)
    if found.hexdigest() != digest:
        raise FrostlineError(f"{source} has changed since the dataset was prepared: prepare the dataset anew.")
    return size


def _say(sentence: str) -> None:
    """By the first process of a run on this node."""
    if os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")) == "0":
        print(f"frostline: {sentence}", file=sys.stderr, flush=True)
