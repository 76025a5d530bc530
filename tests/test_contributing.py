"""CONTRIBUTING.md is true: its examples work as they stand, from outside the package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from r1lab import targets

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()

#: Group and name of each example, with the override that selects it.
EXAMPLES = {
    ("rewards", "closeness"): "rewards=[accuracy,closeness]",
    ("data", "squares"): "data=squares",
    ("callbacks", "heartbeat"): "callbacks=[heartbeat]",
    ("steps", "length"): "steps=[verify,length]",
}
#: Where the classes of a group are, below r1lab/, if not in a folder of its name.
FOLDERS = {"steps": "generation/steps"}
each = pytest.mark.parametrize("example", EXAMPLES, ids="/".join)


def files_of_the_guide() -> dict[str, str]:
    """A path in backquotes on a line of its own, then a fenced block: that file's content."""
    blocks = re.findall(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```$", GUIDE, re.M | re.S)
    return dict(blocks)


def folder(group: str) -> str:
    return FOLDERS.get(group, group)


def package(group: str) -> str:
    """Of the example, outside r1lab."""
    return f"lab_{folder(group).split('/')[0]}"


def moved(text: str) -> str:
    """What the guide says to change outside the package: the dotted path."""
    for group, name in EXAMPLES:
        path = f"{folder(group).replace('/', '.')}.{name}"
        text = text.replace(f"r1lab.{path}", f"lab_{path}")
    return text


#: The checks of ``generate``, as JSON; what comes after them would start a model.
CHECK = """
import json, sys
from r1lab.errors import ConfigError
from r1lab.generation.generate import checked
found = {"errors": [], "config": None}
try:
    found["config"] = checked([sys.argv[1]], ["my_conf"], "").config
except ConfigError as error:
    found["errors"] = [{"key": each.key, "fix": each.fix} for each in error.problems]
print(json.dumps(found))
"""


@dataclass
class Outside:
    """Packages and a config folder of somebody who installed r1lab."""

    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("R1LAB")}
        return {**clean, "PYTHONPATH": f"{self.home}{os.pathsep}{ROOT}", **more}

    def python(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.home,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    def plan(self, *overrides: str, packages: str) -> dict:
        command = ("-m", "r1lab", "plan", "--json", "--config-dir", "my_conf", *overrides)
        done = self.python(*command, R1LAB_PACKAGES=packages)
        assert done.stdout, done.stderr
        plan = json.loads(done.stdout)
        assert (done.returncode != 0) == bool(plan["errors"])
        return plan

    def select(self, example: tuple[str, str], packages: str) -> tuple[list[dict], dict]:
        """What is wrong with a command that selects the example, and its node in the config."""
        group, name = example
        if group == "steps":  # plan is of trainings
            done = self.python("-c", CHECK, EXAMPLES[example], R1LAB_PACKAGES=packages)
            assert done.returncode == 0, done.stderr
            found = json.loads(done.stdout)
        else:
            found = self.plan(EXAMPLES[example], packages=packages)
        node = (found["config"] or {}).get(group, {})
        return found["errors"], node if group == "data" else node.get(name)


@pytest.fixture(scope="module")
def outside(tmp_path_factory) -> Outside:
    home = tmp_path_factory.mktemp("outside")
    for name, text in files_of_the_guide().items():
        top, rest = name.split("/", 1)
        folder = {"r1lab": "lab_", "conf": "my_conf/", "tests": "tests/"}[top]
        path = home / f"{folder}{rest}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(moved(text))
    return Outside(home)


@each
def test_the_guide_shows_the_three_files(example):
    group, name = example
    wanted = {
        f"r1lab/{folder(group)}/{name}.py",
        f"conf/{group}/{name}.yaml",
        f"tests/{folder(group)}/test_{name}.py",
    }
    assert wanted <= set(files_of_the_guide())


@each
def test_its_own_tests_pass(example, outside):
    group, name = example
    test = f"tests/{folder(group)}/test_{name}.py"
    done = outside.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", test)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)


@each
def test_it_is_accepted_from_outside_the_package(example, outside):
    group, name = example
    errors, node = outside.select(example, f"other_lab, {package(group)}")
    assert errors == []
    assert node["_target_"].startswith(f"lab_{folder(group).replace('/', '.')}.{name}.")


@each
def test_it_is_refused_until_its_package_is_registered(example, outside):
    (error,), _ = outside.select(example, "other_lab")
    assert f"R1LAB_PACKAGES={package(example[0])}" in error["fix"]


@each
def test_its_config_holds_every_parameter_with_its_default(example, outside, monkeypatch):
    group, name = example
    monkeypatch.syspath_prepend(str(outside.home))
    monkeypatch.setenv("R1LAB_PACKAGES", package(group))
    node = yaml.safe_load((outside.home / f"my_conf/{group}/{name}.yaml").read_text())
    path = node.pop("_target_")
    node.pop("weight", None)
    defaults = {name: parameter.default for name, parameter in targets.parameters(path).items()}
    assert set(node) == set(defaults)
    made = {name for name, default in defaults.items() if str(default) == "<factory>"}
    assert {k: node[k] for k in node if k not in made} == {
        k: v for k, v in defaults.items() if k not in made
    }


def test_a_misspelt_parameter_of_the_example_gets_its_name(outside):
    overrides = ("rewards=[accuracy,closeness]", "rewards.closeness.scal=2")
    (error,) = outside.plan(*overrides, packages="lab_rewards")["errors"]
    assert "rewards.closeness.scal" in error["key"]
    assert "rewards.closeness.scale" in error["fix"]


def test_a_wrong_value_gets_the_examples_own_message(outside):
    overrides = ("rewards=[accuracy,closeness]", "rewards.closeness.scale=0")
    (error,) = outside.plan(*overrides, packages="lab_rewards")["errors"]
    assert error["key"] == "rewards.closeness.scale"
    assert error["fix"] == "give a number above 0"
