"""Each preset resolves to the objective of its paper, and leaves nothing of another behind."""

from pathlib import Path

import pytest
import yaml

from r1lab.compose import compose, resolve
from r1lab.groups import config_dir, group_options
from r1lab.planning.trl_fields import trainer_fields

COMMON = {
    "scale_rewards": "group",
    "importance_sampling_level": "token",
    "epsilon": 0.2,
    "epsilon_high": None,
    "delta": None,
    "beta": 0.0,
    "use_bias_correction_kl": False,
    "num_iterations": 1,
    "mask_truncated_completions": False,
}
PAPERS = {
    "grpo": ("2402.03300", {"loss_type": "grpo", "beta": 0.04}),
    "dr_grpo": ("2503.20783", {"loss_type": "dr_grpo", "scale_rewards": "none"}),
    "dapo": (
        "2503.14476",
        {"loss_type": "dapo", "epsilon_high": 0.28, "mask_truncated_completions": True},
    ),
    "gspo": (
        "2507.18071",
        {
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "epsilon": 3e-4,
            "epsilon_high": 4e-4,
        },
    ),
    "cispo": ("2506.13585", {"loss_type": "cispo", "epsilon_high": 5.0}),
}


def files() -> dict[str, Path]:
    return {path.stem: path for path in (config_dir() / "trainer" / "algo").glob("*.yaml")}


def test_every_preset_is_checked_here():
    assert set(group_options("trainer/algo")) == set(PAPERS)


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_resolves_to_the_papers_flags(name):
    paper, flags = PAPERS[name]
    trainer = resolve(compose([f"trainer/algo={name}"]))["trainer"]
    args = trainer["args"]
    assert trainer["dynamic_sampling"]["enabled"] is (name == "dapo")
    assert {key: args[key] for key in (*COMMON, "loss_type")} == {**COMMON, **flags}
    assert paper in files()[name].read_text()


def test_presets_set_the_same_keys_so_that_switching_is_complete():
    read = {name: yaml.safe_load(path.read_text()) for name, path in files().items()}
    for part in ("args", "dynamic_sampling"):
        keys = {name: set(preset[part]) for name, preset in read.items()}
        assert len(set(map(frozenset, keys.values()))) == 1, keys
    assert all(set(preset) == {"args", "dynamic_sampling"} for preset in read.values())


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_trl_has_these_fields_and_takes_these_values(name):
    fields = trainer_fields("grpo")
    for key, value in yaml.safe_load(files()[name].read_text())["args"].items():
        assert fields[key].accepts(value), key
