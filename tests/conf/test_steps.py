"""Every shipped step: config, class and tests belong together."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from r1lab import targets
from r1lab.generation.steps.base import Step

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "conf" / "steps").glob("*.yaml"))


def node(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((ROOT / f"conf/steps/{name}.yaml").read_text())
    return values


def written(default: Any, value: Any) -> Any:
    """A default as a config file writes it, where Python wants one that nobody can change."""
    if default is None and value == {}:
        return {}
    return list(default) if isinstance(default, tuple) else default


@pytest.mark.parametrize("name", NAMES)
def test_the_config_holds_every_parameter_with_its_default(name: str) -> None:
    package, said, *_ = (ROOT / f"conf/steps/{name}.yaml").read_text().splitlines()
    assert package == f"# @package steps.{name}"
    assert said.startswith("# ") and said.endswith(".")
    values = node(name)
    parameters = inspect.signature(targets.resolve(values.pop("_target_"))).parameters
    assert values == {p.name: written(p.default, values.get(p.name)) for p in parameters.values()}
    assert list(values) == list(parameters)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_class_of_its_own_file_with_tests(name: str) -> None:
    kind = targets.resolve(node(name)["_target_"])
    assert kind.__module__ == f"r1lab.generation.steps.{name}"
    assert issubclass(kind, Step)
    assert (ROOT / f"tests/generation/steps/test_{name}.py").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_its_docstring_begins_with_a_sentence_and_names_every_parameter(name: str) -> None:
    kind = targets.resolve(node(name)["_target_"])
    assert inspect.cleandoc(kind.__doc__).split("\n\n")[0].endswith(".")
    assert set(inspect.signature(kind).parameters) - set(re.findall(r"\w+", kind.__doc__)) == set()
