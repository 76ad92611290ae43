import errno
import fcntl
import inspect
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from frostline.store.room import CacheError
from frostline.store.rows import Store

GB = 10**9
KB = 1024


def values_of(rows, shape=(3, 5)):
    """Every row different, every element different."""
    rows = torch.as_tensor(np.asarray(rows), dtype=torch.float32)
    count = int(np.prod(shape))
    return (rows[:, None] * 1000 + torch.arange(count)).view(len(rows), *shape)


def fill(entry, log=None, shape=(3, 5), rows=None, batch=4):
    """What a run does: compute and write what is absent. `log` gets a line for each row that was computed."""
    with entry.filling():
        rows = np.flatnonzero(~entry.present) if rows is None else np.asarray(rows)
        for start in range(0, len(rows), batch):
            chunk = rows[start : start + batch]
            if log is not None:
                with open(log, "a") as file:
                    file.write("".join(f"{row}\n" for row in chunk))
            entry.write(chunk, values_of(chunk, shape))


SERVER = f"""
import json, os, sys, time
from pathlib import Path
import numpy as np, torch
from frostline.store.room import CacheError
from frostline.store.rows import Store
{inspect.getsource(values_of)}
{inspect.getsource(fill)}
print(flush=True)
for line in sys.stdin:
    answer = None
    exec(json.loads(line))
    print(json.dumps(answer), flush=True)
"""


class Process:
    """Another process that does what it is told; importing torch takes it seconds, so the tests share it."""

    def __init__(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", SERVER]
        self.popen = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, bufsize=1, env=environment)
        self.ready = False

    def start(self, code):
        if not self.ready:
            assert self.popen.stdout.readline() == "\n"
            self.ready = True
        self.popen.stdin.write(json.dumps(code) + "\n")

    def answers(self, within):
        return bool(select.select([self.popen.stdout], [], [], within)[0])

    def answer(self):
        return json.loads(self.popen.stdout.readline())

    def do(self, code):
        self.start(code)
        return self.answer()


@pytest.fixture(scope="module", autouse=True)
def processes():
    started = [Process(), Process()]  # early, so that they import while the first tests run
    yield started
    for process in started:
        process.popen.kill()
        process.popen.wait()


@pytest.fixture
def other(processes):
    """A process that lives on; what it opened as `entry` is closed after the test."""
    yield processes[0]
    processes[0].do("globals().get('entry') and (entry.close(), globals().pop('entry'))")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache", GB)


def disk(root):
    return sum(path.lstat().st_blocks * 512 for path in root.rglob("*"))


def logged(log):
    return sorted(int(line) for line in log.read_text().split()) if log.exists() else []


def set_used(entry, when):
    """Closed, and last used at this second."""
    entry.close()
    os.utime(entry.folder / "used", (when, when))


BATCHES = {
    "float32": torch.tensor([[float("nan"), -0.0, float("inf")], [1e-42, 1.5, -2.0]]),
    "float16": torch.randn(5, 7).half(),
    "bfloat16": torch.randn(5, 2, 3).bfloat16(),
    "uint8": torch.arange(60, dtype=torch.uint8).view(5, 3, 4),
    "int64": torch.tensor([2**62, -1, 3]),  # shape ()
    "bool": torch.tensor([[True, False], [False, False]]),
    "float32 maps": torch.randn(4, 3, 5, 6),
    "float32 channels_last": torch.randn(4, 3, 5, 6).contiguous(memory_format=torch.channels_last),
    "bfloat16 channels_last": torch.randn(4, 3, 5, 6).bfloat16().contiguous(memory_format=torch.channels_last),
    "no bytes": torch.zeros(3, 0, 4),  # boxes, where there are none
}


@pytest.mark.parametrize("name", BATCHES)
def test_what_goes_in_comes_out(store, name):
    values = BATCHES[name]
    # A NaN with a payload: bits must stay, not only values.
    if name == "float32":
        values.view(torch.int32)[1, 2] = 0x7FC12345
    rows = np.array([7, 0, 3, 5, 8])[: len(values)]
    entry = store.open({"name": name}, 9)
    with entry.filling():
        entry.write(rows, values)
        entry.write([], values[:0])
        check(entry, rows, values)
    entry.close()
    check(store.open({"name": name}, 9), rows, values)


def check(entry, rows, values):
    assert np.flatnonzero(entry.present).tolist() == sorted(rows)
    order = np.array([1, 0, 1, *range(len(rows))])
    read = entry.read(rows[order])
    want = values[torch.from_numpy(order)]
    assert read.dtype == values.dtype and read.shape == want.shape and read.stride() == want.stride()
    assert bits(read) == bits(want)
    read.zero_()  # the reader's own memory
    assert bits(entry.read(rows)) == bits(values)
    assert entry.read([]).shape == (0, *values.shape[1:])


def bits(values):
    return values.contiguous().view(-1).view(torch.uint8).tolist()


def test_an_entry_is_filled_bit_by_bit(store, tmp_path):
    log = tmp_path / "log"
    for rows in ([5, 2, 9], [0, 2, 5, 1], None):
        entry = store.open({"weights": "abc"}, 12)
        fill(entry, log, rows=rows)
        entry.close()
    entry = store.open({"weights": "abc"}, 12)
    assert entry.present.all() and entry.rows == 12
    first, second = entry.read(range(12)), entry.read(range(12))
    assert torch.equal(first, values_of(range(12))) and first.data_ptr() != second.data_ptr()


def test_what_is_present_stays(store):
    """Another process may be reading it."""
    entry = store.open({}, 4)
    fill(entry, rows=[1, 2])
    with entry.filling():
        entry.write([2, 3], -values_of([2, 3]))
    assert torch.equal(entry.read([1, 2, 3]), torch.cat([values_of([1, 2]), -values_of([3])]))


def test_a_batch_in_another_layout_becomes_the_entrys(store):
    values = torch.randn(4, 3, 5, 6)
    entry = store.open({}, 4)
    with entry.filling():
        entry.write([0, 1], values[:2].contiguous(memory_format=torch.channels_last))
        entry.write([2, 3], values[2:])
    read = entry.read(range(4))
    assert torch.equal(read, values) and read.is_contiguous(memory_format=torch.channels_last)


def test_misuse_is_refused(store):
    entry = store.open({}, 4)
    with pytest.raises(CacheError, match="lacks rows"):
        entry.read([0])
    with pytest.raises(AssertionError):
        entry.write([0], values_of([0]))
    fill(entry, rows=[0])
    with pytest.raises(CacheError, match="lacks rows"):
        entry.read([0, 1])
    for wrong in (values_of([1], (5, 3)), values_of([1]).int()):
        with pytest.raises(CacheError, match="same key"), entry.filling():
            entry.write([1], wrong)
    assert torch.equal(entry.read([0]), values_of([0]))


def test_the_key_decides(store):
    key = {"weights": "abc", "line": 3, "view": {"seed": 1, "flip": True}}
    turned = {"view": {"flip": True, "seed": 1}, "line": 3, "weights": "abc"}
    fill(store.open(key, 6))
    assert store.open(turned, 6).present.all()
    for another, rows in ((key, 7), (key | {"line": 4}, 6), (key | {"view": {"seed": 2, "flip": True}}, 6)):
        assert not store.open(another, rows).present.any()


def edit_meta(**changes):
    def edit(folder):
        path = folder / "meta.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def cut(name, length):
    return lambda folder: os.truncate(folder / name, length)


def flip(name, at):
    def damage(folder):
        data = bytearray((folder / name).read_bytes())
        data[at] ^= 1
        (folder / name).write_bytes(data)

    return damage


ROW = 3 * 5 * 4  # bytes
ALL = list(range(12))
DAMAGES = {  # what happens to the folder, and which rows are lost
    "a flipped bit": (flip("rows.bin", 4 * ROW + 7), [4]),
    "a flipped bit of a sum": (flip("sums.bin", 4 * 5), [5]),
    "rows cut within one": (cut("rows.bin", 9 * ROW + 1), [9, 10, 11]),
    "rows cut to nothing": (cut("rows.bin", 0), ALL),
    "rows gone": (lambda folder: (folder / "rows.bin").unlink(), ALL),
    "sums cut within one": (cut("sums.bin", 4 * 10 + 3), [10, 11]),
    "sums gone": (lambda folder: (folder / "sums.bin").unlink(), ALL),
    "meta garbage": (lambda folder: (folder / "meta.json").write_bytes(b"\xff{"), ALL),
    "meta no mapping": (lambda folder: (folder / "meta.json").write_text("[1]"), ALL),
    "meta gone": (lambda folder: (folder / "meta.json").unlink(), ALL),
    "another format": (edit_meta(format=99), ALL),
    "another key": (edit_meta(key={"weights": "xyz"}), ALL),
    "another shape of as many bytes": (edit_meta(shape=[5, 3]), ALL),
    "a smaller shape": (edit_meta(shape=[3]), ALL),
    "no shape": (edit_meta(shape=None), ALL),
    "another dtype of as many bytes": (edit_meta(dtype="int32"), ALL),
    "no dtype": (edit_meta(dtype="nn"), ALL),
    "another layout": (edit_meta(layout="channels_last"), ALL),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_mended(store, tmp_path, name):
    damage, lost = DAMAGES[name]
    entry = store.open({"weights": "abc"}, 12)
    fill(entry)
    entry.close()
    damage(entry.folder)
    log = tmp_path / "log"
    entry = store.open({"weights": "abc"}, 12)
    assert np.flatnonzero(~entry.present).tolist() == lost
    fill(entry, log)
    assert logged(log) == lost
    assert torch.equal(entry.read(ALL), values_of(ALL))
    again = store.open({"weights": "abc"}, 12)
    assert again.present.all() and torch.equal(again.read(ALL), values_of(ALL))


def test_damage_that_comes_while_an_entry_is_open_is_found_when_filling(store):
    entry = store.open({}, 12)
    fill(entry, rows=range(6))
    cut("rows.bin", 3 * ROW)(entry.folder)
    with entry.filling():
        assert np.flatnonzero(entry.present).tolist() == [0, 1, 2]
    fill(entry)
    assert torch.equal(entry.read(ALL), values_of(ALL))


def test_starting_afresh_leaves_a_reader_its_rows(store):
    """Files are removed, not cut: a process that reads beyond the end of a mapped file dies of SIGBUS."""
    shape = (64 * KB,)
    reader = store.open({}, 4)
    fill(reader, shape=shape)
    (reader.folder / "meta.json").unlink()
    fill(store.open({}, 4), shape=(2,), rows=[0, 1])
    assert torch.equal(reader.read(range(4)), values_of(range(4), shape))
    flip("rows.bin", 8)(reader.folder)
    with reader.filling():  # another file, of which it knows nothing yet
        assert reader.present.tolist() == [True, False, False, False]


def test_a_sum_of_zero_is_no_absence(store, monkeypatch):
    monkeypatch.setattr(zlib, "crc32", lambda *_: 0)
    fill(store.open({}, 3))
    assert store.open({}, 3).present.all()


def test_two_processes_compute_each_row_once(store, tmp_path, other):
    log = tmp_path / "log"
    entry = store.open({}, 40)
    other.do(f"store = Store(Path({str(store.root)!r}), {GB}); entry = store.open({{}}, 40)")
    with entry.filling():
        other.start(f"fill(entry, {str(log)!r}); answer = torch.equal(entry.read(range(40)), values_of(range(40)))")
        for row in range(20):
            time.sleep(0.01)
            with open(log, "a") as file:
                file.write(f"{row}\n")
            entry.write([row], values_of([row]))
        assert not other.answers(0.2)  # it waits
    assert other.answer() is True
    fill(entry, log)
    assert logged(log) == list(range(40))
    assert torch.equal(entry.read(range(40)), values_of(range(40)))


def test_a_killed_process_blocks_nobody_and_leaves_its_whole_rows(tmp_path, processes):
    root, log, shape = tmp_path / "cache", tmp_path / "log", (KB,)
    doomed = processes[1]
    doomed.start(f"""
entry = Store(Path({str(root)!r}), {400 * KB}).open({{}}, 64)
whole, rows = os.pwrite, iter(range(1000))
def pwrite(file, data, offset):
    if len(data) > 4 and next(rows) == 10:
        whole(file, data[:1000], offset)
        print("null", flush=True)
        time.sleep(1000)
    return whole(file, data, offset)
os.pwrite = pwrite
fill(entry, {str(log)!r}, {shape}, batch=1)
""")
    assert doomed.answer() is None
    doomed.popen.kill()
    doomed.popen.wait()
    store = Store(root, 400 * KB)
    entry = store.open({}, 64)
    assert np.flatnonzero(entry.present).tolist() == list(range(10))
    # Nor does what was granted to it (256 KB and more) count any longer.
    fill(store.open({"another": 1}, 75), shape=shape)
    log.unlink()
    Store(root, GB)
    store.limit = GB
    fill(entry, log, shape)
    assert logged(log) == list(range(10, 64))
    assert torch.equal(entry.read(range(64)), values_of(range(64), shape))


def test_a_forked_worker_keeps_no_lock(store):
    """Loaders fork workers while an entry is filled; they inherit its descriptors, and outlive the filling."""
    entry = store.open({}, 4)
    read, write = os.pipe()
    with entry.filling():
        entry.write([0], values_of([0]))
        if not (child := os.fork()):
            os.read(read, 1)
            os._exit(0)
    try:
        with open(entry.folder / "filling") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        entry.close()
        assert store.clear()[0] == 1
    finally:
        os.write(write, b".")
        os.waitpid(child, 0)


PAGES = (KB,)  # a row is one block


def filled(store, name, rows=64):
    entry = store.open({"name": name}, rows)
    fill(entry, shape=PAGES)
    return entry


def test_the_least_recently_used_goes_first_and_the_limit_holds(tmp_path):
    store = Store(tmp_path / "cache", 1000 * KB)
    foreign = store.root / "holiday.2026"
    foreign.mkdir(parents=True)
    (foreign / "beach.jpg").write_bytes(bytes(10 * KB))
    a, b, c = (filled(store, name) for name in "abc")  # 256 KB and a little each
    for entry, when in ((b, 1000), (c, 2000), (a, 3000)):
        set_used(entry, when)
    trash = store.root / ".trash-of-a-killed-process"
    trash.mkdir()
    d = store.open({"name": "d"}, 64)
    with d.filling():
        for row in range(64):
            d.write([row], values_of([row], PAGES))
            assert disk(store.root) - 16 * KB <= 1000 * KB  # what is not the store's
            assert (row < 32) <= b.folder.exists()  # it goes when it must
    assert [entry.folder.exists() for entry in (a, b, c, d)] == [True, False, True, True]
    assert torch.equal(d.read(range(64)), values_of(range(64), PAGES))
    assert not trash.exists() and (foreign / "beach.jpg").exists()


def test_opening_is_using(tmp_path):
    store = Store(tmp_path / "cache", 1000 * KB)
    a, b, c = (filled(store, name) for name in "abc")
    for entry, when in ((a, 1000), (b, 2000), (c, 3000)):
        set_used(entry, when)
    store.open({"name": "a"}, 64).close()
    filled(store, "d")
    assert [entry.folder.exists() for entry in (a, b, c)] == [True, False, True]


def test_what_is_held_stays(tmp_path, other):
    store = Store(tmp_path / "cache", 1000 * KB)
    a, b, c = (filled(store, name) for name in "abc")
    for entry, when in ((a, 1000), (b, 2000), (c, 3000)):
        set_used(entry, when)
    held = other.do(
        f"entry = Store(Path({str(store.root)!r}), {GB}).open({{'name': 'a'}}, 64); answer = bool(entry.present.all())"
    )
    assert held is True
    set_used(a, 1000)  # still the least recently used
    d = filled(store, "d")
    assert [entry.folder.exists() for entry in (a, b, c)] == [True, False, True]

    # More than can go: nothing goes.
    with pytest.raises(CacheError, match=r"no room for 0\.001.. GB.*limit of 0\.00102 GB.*cache\.size_gb.*cache clear"):
        fill(store.open({"name": "e"}, 256), shape=PAGES, batch=256)
    assert c.folder.exists()

    usage = {entry.key.get("name"): entry for entry in store.usage()}
    assert [usage[name].held for name in "acd"] == [True, False, True]
    assert disk(a.folder) <= usage["a"].size <= disk(a.folder) + 4 * KB
    assert (usage["c"].present, usage["c"].rows) == (64, 64) and usage["c"].key == {"name": "c"}
    assert usage["c"].used == datetime.fromtimestamp(3000, UTC) and store.usage()[0].key == {"name": "a"}

    size = usage["c"].size
    removed, freed = store.clear()  # c, and e, which is empty, is still held
    assert (removed, freed) == (1, size)
    assert [entry.folder.exists() for entry in (a, c, d)] == [True, False, True]
    other.do("entry.close()")
    assert store.clear()[0] == 1 and not a.folder.exists()


def test_two_that_fill_at_once_stay_within_the_limit_together(tmp_path, other):
    limit = 400 * KB  # for one and a half
    store = Store(tmp_path / "cache", limit)
    entry = store.open({"name": "a"}, 64)
    with entry.filling():
        entry.write([0], values_of([0], PAGES))
        answer = other.do(f"""
entry = Store(Path({str(store.root)!r}), {limit}).open({{"name": "b"}}, 64)
try:
    fill(entry, None, {PAGES}, batch=1)
except CacheError:
    answer = int(entry.present.sum())
""")
        assert answer is not None and 16 < answer < 40
        for row in range(1, 64):
            entry.write([row], values_of([row], PAGES))
    assert disk(store.root) <= limit


def test_the_store_is_not_scanned_at_every_write(store, monkeypatch):
    scans = []
    reserve = Store.reserve
    monkeypatch.setattr(Store, "reserve", lambda *args: scans.append(1) or reserve(*args))
    fill(store.open({}, 500), batch=1)
    assert len(scans) == 1


def test_an_entry_evicted_while_another_opens_it_is_made_anew(store):
    entry = store.open({}, 12)
    fill(entry)
    entry.close()
    opened = []
    with open(entry.folder / "held") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as who evicts
        opening = threading.Thread(target=lambda: opened.append(store.open({}, 12)), daemon=True)
        opening.start()
        time.sleep(0.2)
        assert not opened
        entry.folder.rename(store.root / ".trash-1")
        shutil.rmtree(store.root / ".trash-1")
    opening.join(10)
    assert not opened[0].present.any()
    fill(opened[0])
    assert torch.equal(opened[0].read(ALL), values_of(ALL))
    assert store.clear() == (0, 0)


def refuse(code):
    raise OSError(code, os.strerror(code))


@pytest.fixture
def read_only(monkeypatch):
    """A read-only file system, as far as the store can tell; permissions would not stop root, who may run the tests."""

    def freeze():
        really = os.open
        writing = os.O_RDWR | os.O_WRONLY | os.O_CREAT
        monkeypatch.setattr(os, "open", lambda p, f, *a, **k: refuse(errno.EROFS) if f & writing else really(p, f, *a))
        for name in ("mkdir", "utime", "rename", "replace", "unlink"):
            monkeypatch.setattr(os, name, lambda path, *_, **__: refuse(errno.EROFS))

    return freeze


@pytest.mark.parametrize("locks", [True, False])
def test_a_read_only_store_is_read(store, read_only, monkeypatch, locks):
    entry = store.open({}, 12)
    fill(entry)
    entry.close()
    if not locks:
        (entry.folder / "held").unlink()
        monkeypatch.setattr(fcntl, "flock", lambda *_: refuse(errno.ENOLCK))
    read_only()
    entry = store.open({}, 12)
    assert torch.equal(entry.read(ALL), values_of(ALL))
    with pytest.raises(CacheError, match="cannot fill .*Read-only"), entry.filling():
        pass
    with pytest.raises(CacheError, match="cannot make .*Read-only"):
        store.open({"another": 1}, 12)
    if locks:
        assert [entry.held for entry in store.usage()] == [True]
    entry.close()


def test_without_locks_nothing_is_evicted(store, monkeypatch):
    fill(store.open({}, 12))
    monkeypatch.setattr(fcntl, "flock", lambda *_: refuse(errno.ENOLCK))
    assert store.clear() == (0, 0) and len(store.usage()) == 1


def test_a_full_disk_is_told_and_what_was_written_stays(store, monkeypatch):
    entry = store.open({}, 12)
    really, left = os.pwrite, [5 * (ROW + 4) + 10]

    def pwrite(file, data, offset):
        if not left[0]:
            refuse(errno.ENOSPC)
        written = really(file, data[: min(len(data), left[0], 17)], offset)  # pieces: less may be written than asked
        left[0] -= written
        return written

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(CacheError, match="cannot write to .*No space left"):
        fill(entry)
    assert np.flatnonzero(entry.present).tolist() == [0, 1, 2, 3, 4]
    again = store.open({}, 12)
    assert again.present.tolist() == entry.present.tolist()
    left[0] = GB
    fill(again)
    fill(entry)
    for whole in (entry, again, store.open({}, 12)):
        assert torch.equal(whole.read(ALL), values_of(ALL))


@pytest.mark.parametrize("refused", ["rows.bin", "sums.bin", "meta.json"])
def test_a_failed_write_can_be_tried_again(store, monkeypatch, refused):
    entry = store.open({}, 12)
    if refused == "sums.bin":  # and when the entry has rows
        fill(entry, rows=[3])
    really = os.open, Path.write_bytes
    with entry.filling():
        with monkeypatch.context() as patch, pytest.raises(CacheError, match="cannot write to .*No space left"):
            full = lambda path: Path(path).name.endswith(refused) and refuse(errno.ENOSPC)  # noqa: E731
            patch.setattr(os, "open", lambda path, *args: full(path) or really[0](path, *args))
            patch.setattr(Path, "write_bytes", lambda path, *args: full(path) or really[1](path, *args))
            entry.write([1], values_of([1]))
        entry.write([1, 2], values_of([1, 2]))
    assert torch.equal(entry.read([1, 2]), values_of([1, 2]))
    assert store.open({}, 12).present[[1, 2]].all()


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "cache").write_text("no folder")
    store = Store(tmp_path / "cache", GB)
    with pytest.raises(CacheError, match="cannot make"):
        store.open({}, 3)
    assert store.usage() == [] and store.clear() == (0, 0)


def test_a_store_that_is_not_there_is_empty(tmp_path):
    store = Store(tmp_path / "nothing", GB)
    assert store.usage() == [] and store.clear() == (0, 0) and not store.root.exists()
