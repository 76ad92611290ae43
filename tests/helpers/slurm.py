"""A real SLURM on this machine, in a folder of its own: two nodes, and nothing of the system's is read or changed.

Debian's packages munge, slurmctld, slurmd and slurm-client are enough. Every daemon has its own socket, port and state,
and commands find them by SLURM_CONF, so a SLURM that is already there goes on beside it.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

DAEMONS = ("munged", "slurmctld", "slurmd")
NODES = ("n1", "n2")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # where Debian has daemons
# A job that is requeued waits for as long as its last credential holds (cred_expire): two minutes, if nothing is said.
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=6
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
KillWait=15
SchedulerParameters=sched_interval=1,bf_interval=1
MaxArraySize=2001
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=8000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=8000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=off
"""


def missing() -> str | None:
    """What this machine lacks to have one; None where nothing."""
    lacking = [name for name in (*DAEMONS, "sbatch", "srun") if shutil.which(name, path=PATH) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (Debian: munge slurmctld slurmd slurm-client)"
    return None if os.geteuid() == 0 else "slurmd starts jobs as root alone"


class Cluster:
    """What tests ask of it. folder: its own; conf: what SLURM_CONF names."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.conf = folder, folder / "slurm.conf"

    def call(self, *command: str, check: bool = True) -> str:
        """What a command of SLURM's prints."""
        done = self._run(command)
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def works(self, *command: str) -> bool:
        return self._run(command).returncode == 0

    def _run(self, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    def jobs(self) -> list[tuple[str, str]]:
        """Each element that is queued or runs, and its state."""
        lines = self.call("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return [(job, state) for job, state in (line.split() for line in lines)]

    def idle(self) -> bool:
        """Whether all nodes are."""
        told = self.call("sinfo", "--noheader", "-N", "--partition=main", "--format=%T", check=False)
        return told.split() == ["idle"] * len(NODES)

    def clear(self) -> None:
        """No job is left, and both nodes take some."""
        self.call("scancel", f"--user={os.getuid()}")
        wait(lambda: not self.jobs(), 40)
        for node in NODES:  # an idle one takes no such update
            self.call("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        wait(self.idle, 30)

    @contextmanager
    def without(self, node: str) -> Iterator[None]:
        """Within, the node is as one whose power is off: its daemon and all that ran there are killed."""
        fallen = [process for process in _ours(self.conf) if _of(process, node)]
        for process in [*fallen, *_daemons(self.conf, node)]:
            with suppress(psutil.Error):
                process.kill()
        self.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        try:
            yield
        finally:
            _start(self, node, "slurmd", "-D", "-N", node, "-f", str(self.conf))
            self.call("scontrol", "update", f"nodename={node}", "state=resume", check=False)

    def now(self, job: str) -> None:
        """A requeued job need not wait any longer."""
        self.call("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)


def wait(until, seconds: float, every: float = 0.3):
    """What `until` gives, once that is true; fails where it is not in time."""
    end = time.monotonic() + seconds
    while not (found := until()):
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(every)
    return found


def trainers(run: str) -> list[psutil.Process]:
    """The processes that train a run of the study `mine` here: the one that srun began, and workers that it forked."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            # Of this working directory: tests of another checkout may train runs called alike.
            if f"runs/mine/plan/{run}.yaml" in line and "srun" not in line[0] and process.cwd() == os.getcwd():
                found.append(process)
    return found


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Within, it is up, both nodes idle; afterwards nothing of it is left but the folder."""
    for name in ("state", *NODES):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    made = Cluster(folder)
    made.conf.write_text(
        CONF.format(host=socket.gethostname().split(".")[0], user="root", folder=folder, ports=_ports(3))
    )
    munged = ["munged", "--foreground", f"--socket={folder}/munge.socket", f"--key-file={key}"]
    munged += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/seed"]
    daemons = []
    try:
        daemons.append(_start(made, "munged", *munged))
        wait((folder / "munge.socket").exists, 10)
        daemons.append(_start(made, "slurmctld", "slurmctld", "-D", "-c", "-f", str(made.conf)))
        daemons += [_start(made, node, "slurmd", "-D", "-N", node, "-f", str(made.conf)) for node in NODES]
        wait(
            lambda: made.call("sinfo", "-h", "-N", "-p", "main", "-o", "%T", check=False).split() == ["idle", "idle"],
            60,
        )
        yield made
    except AssertionError as error:
        for log in sorted(folder.glob("*.out")):
            error.add_note(f"{log.name}: {log.read_text(errors='replace')[-2000:]}")
        raise
    finally:
        with suppress(AssertionError, subprocess.SubprocessError):
            made.call("scancel", f"--user={os.getuid()}", check=False)
            wait(lambda: not made.jobs(), 20)
        for daemon in reversed(daemons):
            daemon.terminate()
        for process in _ours(made.conf):  # of jobs that did not end
            with suppress(psutil.Error):
                process.kill()
        for daemon in daemons:
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
            daemon.kill()


def _start(made: Cluster, name: str, *command: str) -> subprocess.Popen[bytes]:
    """It ends with this process, also where that is killed."""
    with (made.folder / f"{name}.out").open("wb") as log:
        environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(made.conf)}
        with_parent = ["setpriv", "--pdeathsig", "TERM", *command]
        return subprocess.Popen(with_parent, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _daemons(conf: Path, node: str) -> Iterator[psutil.Process]:
    """The one of a node, and what it has begun for its jobs."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            if line[:1] == ["slurmd"] and node in line and str(conf) in line:
                yield process


def _of(process: psutil.Process, node: str) -> bool:
    """Whether a job's process is on this node; those above it, of SLURM's own, are where what they began is."""
    for each in [process, *process.children()]:
        with suppress(psutil.Error):
            if each.environ().get("SLURMD_NODENAME") == node:
                return True
    return False


def _ports(count: int) -> list[int]:
    """That are free."""
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    found = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return found


def _ours(conf: Path) -> Iterator[psutil.Process]:
    """Processes that the cluster's jobs began, and the slurmstepd above them."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get("SLURM_CONF") == str(conf):
                yield from (above for above in process.parents() if above.name() == "slurmstepd")
                yield process
