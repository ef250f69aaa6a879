"""Which process of how many this one is, as torchrun and srun say it; and what is none of their doing."""

import pytest

from tests.soak import cases, seed
from trainctl.errors import ConfigError
from trainctl.machine.environment import Place, outside_step, read

RUN = {
    "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "node1",
    "MASTER_PORT": "29500",
}  # fmt: skip
STEP = {
    "SLURM_JOB_ID": "123456", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1", "SLURM_STEP_NODELIST": "node[1-2]", "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
}  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        (RUN, Place(3, 4, 1, 2, "node1", 29500, "torchrun")),
        (RUN | {"TRAINCTL_PROCESS": "5"}, Place(3, 4, 1, 2, "node1", 29500, "trainctl")),
        (RUN | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}, None),
        ({"MASTER_ADDR": "node1", "MASTER_PORT": "1"}, None),  # a cluster may set these everywhere
        ({"LOCAL_RANK": "0"}, None),
        ({"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "node1"}, None),
        (STEP, Place(2, 4, 0, 2, "node1", 18456, "srun")),
        (STEP | {"MASTER_PORT": "4000", "MASTER_ADDR": "a"}, Place(2, 4, 0, 2, "a", 4000, "srun")),
        (STEP | {"SLURM_STEP_NUM_TASKS": "1"}, None),  # srun -n 1 inside an allocation of four
        (STEP | {"SLURM_NTASKS": "1"}, None),
        (STEP | {"SLURM_JOB_NAME": "bash"}, None),  # srun --pty bash
        ({key: value for key, value in STEP.items() if key != "SLURM_STEP_ID"}, None),  # sbatch without srun
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4"}, None),  # a shell of salloc
        (RUN | STEP, Place(3, 4, 1, 2, "node1", 29500, "torchrun")),  # torchrun inside a job
    ],
)
def test_the_environment_says_which_process_this_is(environment, expected):
    assert read(environment, lambda hosts: "node1") == expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"},
            "MASTER_ADDR, MASTER_PORT are not: start with torchrun, or unset them",
        ),
        ({"RANK": "0"}, "RANK is set, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is set, RANK, LOCAL_RANK"),
        (RUN | {"RANK": "four"}, "RANK=four: expected a whole number"),
        (
            RUN | {"RANK": "4"},
            "RANK=4, WORLD_SIZE=4, LOCAL_RANK=1, LOCAL_WORLD_SIZE=2, MASTER_PORT=29500: these are inconsistent",
        ),
        (RUN | {"MASTER_PORT": "0"}, "MASTER_PORT=0: these are inconsistent"),
        (STEP | {"SLURM_PROCID": "x"}, "SLURM_PROCID=x: expected a whole number"),
        (STEP | {"SLURM_PROCID": "4"}, "SLURM_PROCID=4, SLURM_NTASKS=4"),
    ],
)
def test_what_does_not_belong_together_is_refused_by_name(environment, message):
    with pytest.raises(ConfigError) as caught:
        read(environment, lambda hosts: "node1")
    assert message in str(caught.value)


def test_an_allocation_of_several_tasks_without_srun_gets_a_note():
    note = "SLURM_NTASKS=4, but this is not a task of srun, so one process trains; to use all 4: srun trainctl ..."
    assert outside_step({"SLURM_NTASKS": "4"}) == note
    assert outside_step(STEP) == outside_step({}) == outside_step({"SLURM_NTASKS": "1"}) == ""


def test_the_first_machine_of_a_list_is_asked_of_scontrol(tmp_path, monkeypatch):
    script = tmp_path / "scontrol"
    script.write_text('#!/bin/sh\n[ "$1 $2 $3" = "show hostnames node[1-2]" ] && printf "node1\\nnode2\\n"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert read(STEP).address == "node1"
    assert read(STEP | {"SLURM_STEP_NODELIST": "alone"}).address == "alone"
    script.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ConfigError, match="set MASTER_ADDR to the first machine"):
        read(STEP)


TEXTS = (
    "",
    "0",
    "1",
    "2",
    "-1",
    "x",
    "1.5",
    " 1 ",
    "0x1",
    "9" * 5000,
    "٣",
    "²",
    "2(x3)",
    "2(x999999),1",
    "a[1-9]",
    "\x1b]0;x\x07",
    "::1",
)


@pytest.mark.soak
def test_any_variables_of_launchers_are_a_place_or_one_error():
    source = seed("variables of launchers")
    for _ in range(cases(300)):
        environment = dict(source.choice((RUN, STEP, RUN | STEP, {})))
        for name in source.sample(sorted({*RUN, *STEP, "SLURM_STEP_NUM_TASKS", "TRAINCTL_PROCESS"}), 3):
            environment[name] = source.choice(TEXTS)
        try:
            place = read(environment, lambda hosts: "node1")
        except ConfigError:
            continue
        assert place is None or (0 <= place.rank < place.size and 0 < place.port < 1 << 16)
