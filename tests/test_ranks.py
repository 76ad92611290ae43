"""Which process of a run this is, by what torchrun and SLURM say in the environment."""

import pytest

from frostline.errors import FrostlineError
from frostline.ranks import Member, member

TORCHRUN = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "h", "MASTER_PORT": "1"}
STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "4", "SLURM_PROCID": "2"}


@pytest.mark.parametrize(
    "env", [{}, {"SLURM_NTASKS": "4"}, {"SLURM_PROCID": "1"}, STEP, {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1"}]
)
def test_a_run_of_one_process_is_itself_in_whatever_allocation(env):
    # Catches a run that waits for others, or trains on a share of its pictures, as somebody else's job has four tasks.
    assert member(1, 1, env) is None


def test_who_has_started_the_processes_says_which_one_this_is():
    assert member(4, 1, TORCHRUN) == member(2, 2, TORCHRUN) == Member(3, 4, "torchrun")
    assert member(4, 1, STEP) == member(2, 2, STEP) == Member(2, 4, "slurm")
    assert member(4, 1, TORCHRUN | STEP) == Member(3, 4, "torchrun")  # within a job
    assert member(4, 1, STEP | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "1"}) == Member(2, 4, "slurm")


@pytest.mark.parametrize("env", [{}, {"SLURM_JOB_ID": "7"}, {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}])
def test_where_nobody_has_they_are_to_be_started(env):
    assert member(2, 1, env) is None


@pytest.mark.parametrize(
    ("devices", "nodes", "env", "words"),
    [
        (1, 1, TORCHRUN, "torchrun began 4 process"),
        (2, 1, TORCHRUN, "--nproc-per-node=2"),
        (2, 1, {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, "SLURM began 1 task.* is 2: .*srun --nodes=1 --ntasks=2"),
        (2, 1, STEP | {"SLURM_STEP_NUM_TASKS": "1"}, "SLURM began 1 task"),
        (4, 2, STEP, "is 8: .*srun --nodes=2 --ntasks=8 --ntasks-per-node=4"),
        (1, 2, {}, "trainer.num_nodes is 2, and this command is on one"),
    ],
)
def test_another_number_than_the_run_wants_is_refused(devices, nodes, env, words):
    # Lightning trains one task with two devices in one process, on half of the pictures, without a word.
    with pytest.raises(FrostlineError, match=words):
        member(devices, nodes, env)
