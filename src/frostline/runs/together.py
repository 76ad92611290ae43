"""The processes of one run: started on this machine by torchrun's own agent, and brought together.

Each does what one process of a run does; `shares` says what they compute together.
"""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from frostline.environment import importing
from frostline.errors import FrostlineError
from frostline.parallel import cores, have_all_cores, keep_to_own_cores
from frostline.ranks import Member

STARTER = "FROSTLINE_STARTED_BY"  # in the environment of a process that `start` began: the number of the one that did
LOOK = 1.0  # seconds between two looks whether that one lives
ASK = 0.1  # seconds between two looks for an answer
PORTS = 15000, 10000  # of a step of SLURM: the first one, and how many from there


def start(devices: int, arguments: Sequence[str]) -> None:
    """Have `frostline` with these arguments done by so many processes, and wait for them.

    Where one of them ends, the others are ended. Raises FrostlineError where one has failed, which has said why.
    """
    os.environ[STARTER] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // devices)))  # torch reads it when it loads
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # else it asks the network for this machine's name
    with importing():
        from torch.distributed.elastic.multiprocessing import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic"):  # which tells at length who has failed or was told to stop
            logging.getLogger(name).setLevel(logging.CRITICAL)
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="127.0.0.1",
        max_restarts=0,
    )
    handled = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        elastic_launch(launch, sys.executable)("-m", "frostline", *arguments)
    except SignalException as told:
        for number, handler in handled.items():
            signal.signal(number, handler)
        os.kill(os.getpid(), told.sigval)  # the processes have ended: this one as it would have
        time.sleep(LOOK)
    except ChildFailedError as failed:
        rank, why = failed.get_first_failure()
        how = f"was killed by signal {-why.exitcode}" if why.exitcode < 0 else f"ended with status {why.exitcode}"
        raise FrostlineError(
            f"Of the {devices} processes of this run number {rank} {how}, and the others were ended: the same "
            "command goes on from the last epoch."
        ) from None


def was_started() -> bool:
    """Whether `start` began this process."""
    return os.environ.get(STARTER) == str(os.getppid())


@contextmanager
def joined(this: Member, accelerator: str) -> Iterator[None]:
    """Within, the processes of a run know each other."""
    import torch
    from torch import distributed
    from torch._C._distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if was_started():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGUSR1})  # as who started it may have them
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    if this.by == "slurm":
        os.environ |= _meeting_place(os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_STEP_ID", "0"))
    on_gpus = accelerator != "cpu" and torch.cuda.is_available()
    local = int(os.environ["LOCAL_RANK" if this.by == "torchrun" else "SLURM_LOCALID"])
    if on_gpus:
        torch.cuda.set_device(local)
    elif was_started():
        keep_to_own_cores(local, this.size)
    backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
    store, *_ = next(rendezvous("env://", this.rank, this.size))
    if this.by == "torchrun":
        store = PrefixStore(agreed(store, this.rank, this.size), store)
    distributed.init_process_group(backend, store=store, rank=this.rank, world_size=this.size)
    try:
        yield
    finally:
        leave()


def leave() -> None:
    """From here on each process is for itself."""
    from torch import distributed

    have_all_cores()
    if distributed.is_initialized():
        distributed.destroy_process_group()


def agreed(store: Any, rank: int, size: int) -> str:
    """A name that these processes alone have, all of them the same, for a store that others may have used before.

    torchrun keeps its store when it starts a run's processes again, and in it stands where those of before were to be
    reached: the new ones would call the dead. How often it has started them is no name, as on several nodes each
    counts for itself. So the first process names this start, and tells who asks for it now: those of before are dead.
    """
    asked = [f"frostline/{each}" for each in range(size)]
    if rank == 0:
        name = uuid.uuid4().hex
        for question in asked[1:]:
            store.delete_key(question)
        for question in asked[1:]:
            while not store.check([question]):
                time.sleep(ASK)
            store.set(store.get(question).decode(), name)
        return name
    answer = f"frostline/{uuid.uuid4().hex}"
    while not store.check([answer]):
        store.set(asked[rank], answer)  # again and again, as the first may come late and forget it
        time.sleep(ASK)
    return str(store.get(answer).decode())


def _meeting_place(job: str, step: str) -> dict[str, str]:
    """Where the processes of a step of SLURM meet: on its first node, at a port of the step's own.

    What the submitting shell exported is none of it: by a port from there, steps of two jobs would train as one run.
    """
    first, count = PORTS
    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST", "127.0.0.1")
    alone = os.environ.get("SLURM_STEP_NUM_NODES", "1") == "1"
    address = "127.0.0.1" if alone else _address(nodes)
    port = first + (int(job) + 7919 * int(step)) % count  # a prime, so that steps of jobs side by side differ
    return {"MASTER_ADDR": address, "MASTER_PORT": str(port)}


def _address(nodes: str) -> str:
    """Of the first of these nodes, as `SLURM_JOB_NODELIST` has them. Raises FrostlineError where nobody knows it."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    node = SLURMEnvironment.resolve_root_node_address(nodes)
    try:
        socket.getaddrinfo(node, None)
        return node
    except OSError:  # no machine is called so, but SLURM may know where it is
        asked = subprocess.run(["scontrol", "show", "node", node], capture_output=True, text=True, check=False)
    if known := re.search(r"NodeAddr=(\S+)", asked.stdout):
        return known[1]
    raise FrostlineError(
        f"The processes of this run were to meet on {node}, the first of its nodes, and nobody here knows its address: "
        "have your cluster's names resolve on its nodes."
    )


def _end_with(starter: int) -> None:
    """End this process once the one that started it is gone, however it went: nobody would end it otherwise."""
    while os.getppid() == starter:
        time.sleep(LOOK)
    os._exit(1)
