"""Every shipped reward: config, class, table of tests, docstring and example belong together."""

from __future__ import annotations

import inspect
import math
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from r1lab import targets
from r1lab.rewards.base import Reward, needed_columns
from r1lab.rewards.build import construct_reward

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "conf" / "rewards").glob("*.yaml"))


def node(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((ROOT / f"conf/rewards/{name}.yaml").read_text())
    return values


@pytest.mark.parametrize("name", NAMES)
def test_the_config_holds_every_parameter_with_its_default(name: str) -> None:
    package, said, *_ = (ROOT / f"conf/rewards/{name}.yaml").read_text().splitlines()
    assert package == f"# @package rewards.{name}"
    assert said.startswith("# ") and said.endswith(".")
    values = node(name)
    target, weight = values.pop("_target_"), values.pop("weight")
    parameters = inspect.signature(targets.resolve(target)).parameters
    assert values == {p.name: p.default for p in parameters.values()}
    assert (list(values), weight) == (list(parameters), 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_class_of_its_own_file_with_tests(name: str) -> None:
    kind = targets.resolve(node(name)["_target_"])
    assert kind.__module__ == f"r1lab.rewards.{name}"
    assert issubclass(kind, Reward) and kind().__name__ == name
    assert (ROOT / f"tests/rewards/test_{name}.py").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_begins_with_a_sentence_and_names_every_parameter(name: str) -> None:
    kind = targets.resolve(node(name)["_target_"])
    first, *rest = inspect.cleandoc(kind.__doc__).split("\n")
    assert first.endswith(".") and rest[:1] == [""]
    own = set(inspect.signature(kind).parameters)
    if "provider" in own:
        own -= set(node("code"))  # the rewards that run programs refer to the first of them
    said = re.findall(r"\w+", kind.__doc__)
    assert own - set(said) == set()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_callable_and_picklable_as_configured(name: str) -> None:
    reward = construct_reward(name, node(name))
    copy = pickle.loads(pickle.dumps(reward))
    assert (copy.__name__, needed_columns(copy)) == (name, needed_columns(reward))
    assert reward([], **{column: [] for column in needed_columns(reward)}, completion_ids=[]) == []


@pytest.mark.parametrize("name", NAMES)
def test_its_example_shows_it_at_its_defaults(name: str) -> None:
    reward = construct_reward(name, node(name))
    example = reward.reward.example  # type: ignore[attr-defined]
    if not example:
        pytest.skip("its example needs more than a call")
    assert {"completions", *needed_columns(reward)} <= set(example)
    assert 2 <= len(example["completions"]) <= 5
    if "provider" in node(name):
        pytest.skip("runs programs, in a sandbox that not every machine has")
    values = reward(**example)
    assert all(value is not None and math.isfinite(value) for value in values)
    assert len(set(values)) > 1
