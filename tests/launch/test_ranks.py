from __future__ import annotations

import pytest

from r1lab.errors import ConfigError
from r1lab.launch.ranks import ALONE, Rank, adopted, error_file, from_environment

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}


def test_a_process_without_a_launcher_is_alone():
    assert from_environment({}) == ALONE
    assert ALONE.is_first


def test_a_launchers_variables_are_read():
    me = from_environment(TORCHRUN)
    assert me == Rank(5, 8, 1, 4)
    assert (me.nodes, me.is_first) == (2, False)


def config(processes: object = 1, nodes: int = 1, distributed: str = "none") -> dict:
    return {"hardware": {"processes": processes, "nodes": nodes, "distributed": distributed}}


@pytest.mark.parametrize(
    ("given", "strategy"),
    [
        (config(), "ddp"),
        (config("auto", 1, "deepspeed"), "deepspeed"),
        (config(4, 2, "fsdp"), "fsdp"),
    ],
)
def test_the_launchers_processes_are_adopted(given, strategy):
    hardware = adopted(given, Rank(0, 8, 0, 4))["hardware"]
    assert hardware == {"processes": 4, "nodes": 2, "distributed": strategy}


@pytest.mark.parametrize(
    ("given", "key"),
    [(config(8, 1, "ddp"), "processes"), (config(4, 3, "ddp"), "nodes")],
)
def test_numbers_that_contradict_the_launcher_are_told(given, key):
    with pytest.raises(ConfigError, match=f"hardware.{key}"):
        adopted(given, Rank(0, 8, 0, 4))


def test_every_rank_leaves_its_own_reason(tmp_path):
    assert len({error_file(tmp_path, rank) for rank in range(4)}) == 4
