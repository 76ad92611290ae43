"""Which locks are known to hold on one node alone."""

import os
import platform
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from frostline.environment import NODE_FOLDER
from frostline.store import network
from frostline.store.nearby import cache_folder
from frostline.store.network import locks_reach_others
from frostline.store.rows import Store

SFTP = Path("/usr/lib/openssh/sftp-server")
NFS = "rw,vers={},rsize=1048576,hard,proto=tcp,sec=sys,{}addr=10.0.0.1"
KINDS = [
    ("ext4", "rw", True),
    ("nfs", NFS.format(3, "mountvers=3,local_lock=none,"), True),
    ("nfs", NFS.format(3, "nolock,local_lock=all,"), False),
    ("nfs4", NFS.format("4.2", "clientaddr=10.0.0.2,local_lock=none,"), True),
    ("nfs4", NFS.format("4.1", "local_lock=flock,"), False),
    ("nfs4", NFS.format("4.1", "local_lock=posix,"), True),  # ours are flock's
    ("lustre", "rw,checksum,flock,user_xattr", True),
    ("lustre", "rw,checksum,localflock,user_xattr", False),
    ("lustre", "rw,checksum,user_xattr", False),
    ("fuse.glusterfs", "rw,user_id=0,allow_other", True),
    ("fuse.sshfs", "rw,user_id=0", False),
    ("fuse.s3fs", "rw,user_id=0", False),
    ("9p", "rw,trans=virtio", False),
    ("beegfs", "rw,cfgFile=/etc/beegfs/beegfs-client.conf", False),
    ("cifs", "rw,vers=3.1.1,nobrl", False),
]


@pytest.mark.parametrize(("kind", "options", "reach"), KINDS)
def test_what_a_mount_says(kind, options, reach, tmp_path, monkeypatch):
    place = str(tmp_path / "our data").replace(" ", "\\040")
    lines = [
        f"44 27 0:41 / {place} rw,nosuid - {kind} server:/export/x {options}",
        f"45 44 0:42 / {place}/deeper rw - tmpfs tmpfs rw",
        f"46 27 0:43 / {place}2 rw - nfs server:/x rw,nolock",
        "22 27 0:21 / / rw,relatime shared:1 - ext4 /dev/vda rw",  # last, as where the root was changed
    ]
    (tmp_path / "mountinfo").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(network, "MOUNTS", tmp_path / "mountinfo")
    monkeypatch.delenv(NODE_FOLDER, raising=False)
    folder = tmp_path / "our data" / "runs/cache"
    assert locks_reach_others(folder) is reach
    assert locks_reach_others(tmp_path / "our data/deeper/x") and locks_reach_others(tmp_path)
    assert not locks_reach_others(tmp_path / "our data2")
    # Where a lock is one node's, so is the folder: nobody of another node evicts what is read here.
    assert cache_folder(str(folder)) == (folder if reach else folder / f"node-{platform.node()}")


def test_where_nobody_tells_locks_are_trusted(tmp_path, monkeypatch):
    assert locks_reach_others(tmp_path)
    monkeypatch.setattr(network, "MOUNTS", tmp_path / "none")
    assert locks_reach_others(tmp_path)


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("sshfs") or not SFTP.is_file() or not Path("/dev/fuse").exists(),
    reason="needs root and a network file system without locks (Debian: apt-get install sshfs openssh-sftp-server)",
)
def test_on_a_real_file_system_whose_locks_are_one_nodes(tmp_path, monkeypatch):
    """Mounted twice, as two nodes have it: what one reads, the other one would take away."""
    monkeypatch.delenv(NODE_FOLDER, raising=False)
    (tmp_path / "server").mkdir()
    connect = tmp_path / "connect"
    connect.write_text(f"#!/bin/sh\nexec {SFTP}\n")
    connect.chmod(0o755)
    with ExitStack() as mounted:
        for node in ("one", "two"):
            (tmp_path / node).mkdir()
            command = ["sshfs", "-o", f"ssh_command={connect}", f"localhost:{tmp_path / 'server'}", tmp_path / node]
            subprocess.run(command, check=True, timeout=30, stdin=subprocess.DEVNULL)
            mounted.callback(subprocess.run, ["umount", "-l", tmp_path / node], check=True)
        read = Store(tmp_path / "one/cache", 10**9).open({"a": "key"}, 3)
        with read.filling():
            read.write([0], torch.zeros(1, 5))
        assert Store(tmp_path / "two/cache", 10**9).clear()[0] == 1  # the danger
        read.close()
        folders = []
        for node in ("one", "two"):
            monkeypatch.setattr(platform, "node", lambda node=node: node)
            folders.append(cache_folder(str(tmp_path / node / "cache")))
        assert [folder.relative_to(tmp_path) for folder in folders] == [
            Path("one/cache/node-one"),
            Path("two/cache/node-two"),
        ]
