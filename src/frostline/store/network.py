"""Whether a lock on a file reaches other nodes that have the file: some network file systems keep it to this one."""

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# By kind of file system, the options with which a lock (flock) is this node's alone. Kinds that are not here are those
# of one machine, or lock for all nodes: GPFS, CephFS, GlusterFS, NFS 4.
ALONE = {"nfs": {"nolock", "local_lock=all", "local_lock=flock"}, "cifs": {"nobrl"}, "smb3": {"nobrl"}}
ALONE["nfs4"] = ALONE["nfs"]
ALWAYS_ALONE = {"beegfs", "9p", "virtiofs"}  # BeeGFS unless tuneUseGlobalFileLocks is set, of which its mount is silent
REACHES = {"fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse"}  # and no other of fuse's


def locks_reach_others(folder: Path) -> bool:
    """Whether a lock in this folder holds for other nodes that have it, as far as its mount tells."""
    kind, options = _mount_of(folder)
    if kind == "lustre":
        return "flock" in options  # localflock: alone; none of both: no locks
    if kind in ALWAYS_ALONE or (kind.startswith("fuse") and kind not in REACHES):
        return False
    return not ALONE.get(kind, set()) & options


def _mount_of(folder: Path) -> tuple[str, set[str]]:
    """The kind and the options of the file system that a folder is on, or will be; empty where nobody knows."""
    wanted, found, longest = folder.resolve(), ("", set[str]()), -1
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not on Linux
        return found
    for line in lines:
        before, _, behind = line.partition(" - ")
        fields, (kind, _, options) = before.split(" "), behind.split(" ", 2)
        # A space or a backslash in it stands as its octal number.
        place = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[4]))
        if wanted.is_relative_to(place) and len(place.parts) >= longest:  # of two at one place the later one is seen
            longest, found = len(place.parts), (kind, {*fields[5].split(","), *options.split(",")})
    return found
