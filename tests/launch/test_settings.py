from __future__ import annotations

import json

import pytest

from r1lab.errors import ConfigError
from r1lab.launch.settings import (
    deepspeed_file,
    environment,
    launchers_dir,
    precision,
    read_deepspeed,
)

ENGINE = {"engine": {"kind": "auto"}}
Z3 = {
    "kind": "deepspeed_z3",
    "distributed": "deepspeed",
    "zero_stage": 3,
    "offload": False,
    "mixed_precision": "auto",
    "deepspeed_config": None,
}


@pytest.mark.parametrize(("stage", "offload"), [(2, False), (2, True), (3, False), (3, True)])
def test_every_stage_has_a_file_that_says_so(stage, offload):
    found = read_deepspeed({**Z3, "zero_stage": stage, "offload": offload})
    zero = found["zero_optimization"]
    assert zero["stage"] == stage
    assert ("offload_optimizer" in zero) is offload
    assert ("offload_param" in zero) is (offload and stage == 3)


def test_a_file_is_named_or_given_by_its_path(tmp_path):
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"zero_optimization": {"stage": 1}}))
    assert deepspeed_file({**Z3, "deepspeed_config": str(own)}) == own
    named = deepspeed_file({**Z3, "deepspeed_config": "zero2_offload"})
    assert named == launchers_dir() / "deepspeed" / "zero2_offload.json"


def test_a_misspelt_file_gets_the_nearest():
    with pytest.raises(ConfigError, match="did you mean zero3_offload"):
        deepspeed_file({**Z3, "deepspeed_config": "zero3_ofload"})


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_file_is_named(tmp_path, text):
    own = tmp_path / "own.json"
    own.write_text(text)
    with pytest.raises(ConfigError, match=str(own)):
        read_deepspeed({**Z3, "deepspeed_config": str(own)})


def test_r1labs_strategy_replaces_what_another_launcher_set(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", "theirs.json")
    monkeypatch.setenv("FSDP_VERSION", "1")
    ddp = environment({"hardware": {**Z3, "distributed": "ddp"}, **ENGINE}, "cpu")
    assert not [name for name in ddp if "DEEPSPEED" in name or name.startswith("FSDP")]
    ours = environment({"hardware": Z3, **ENGINE}, "cuda")
    assert ours["ACCELERATE_DEEPSPEED_CONFIG_FILE"].endswith("launchers/deepspeed/zero3.json")
    assert ours["ACCELERATE_DEEPSPEED_ZERO3_INIT"] == "true"
    assert ours["ACCELERATE_MIXED_PRECISION"] == "bf16"


def test_fsdp_is_told_by_variables():
    found = environment(
        {"hardware": {**Z3, "distributed": "fsdp", "offload": True}, **ENGINE}, "cuda"
    )
    assert found["ACCELERATE_USE_FSDP"] == "true"
    assert found["FSDP_OFFLOAD_PARAMS"] == "true"


@pytest.mark.parametrize(
    ("wanted", "device", "found"),
    [
        ("auto", "cpu", "no"),
        ("auto", "cuda", "bf16"),
        ("fp16", "cuda", "fp16"),
        ("no", "cuda", "no"),
    ],
)
def test_precision(wanted, device, found):
    assert precision(wanted, device) == found
