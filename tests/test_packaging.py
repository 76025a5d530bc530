"""The wheel is the whole of r1lab: the same commands, with its configs, from any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import venv
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow  # builds a wheel and makes an environment


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that a build leaves nothing in the checkout."""
    copy, out = tmp_path_factory.mktemp("source") / "r1lab", tmp_path_factory.mktemp("wheel")
    kept_out = (".git", ".venv", "outputs", "__pycache__", "*_cache")
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*kept_out))
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(out), str(copy)]
    done = subprocess.run([sys.executable, "-m", "pip", *build], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


@dataclass
class Installed:
    """An environment that has the wheel, and a folder to work in that is not the repository."""

    venv: Path
    home: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "R1LAB"))}
        return subprocess.run(
            [str(self.venv / "bin" / command[0]), *command[1:]],
            cwd=self.home,
            env={**clean, **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    def plan(self, *overrides: str, **environment: str) -> dict:
        command = ("python", "-m", "r1lab", "plan", "--json", *overrides)
        done = self.run(*command, **environment)
        assert done.stdout, done.stderr
        plan = json.loads(done.stdout)
        assert (done.returncode != 0) == bool(plan["errors"])
        return plan


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv/bin/python"
    # The dependencies are this environment's, by a path file: its own .pth files, and with them an
    # editable r1lab, are not read.
    site = next((folder / "venv/lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run([sys.executable, "-m", "pip", *install], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    home = folder / "elsewhere"
    home.mkdir()
    return Installed(folder / "venv", home)


def test_the_wheel_holds_configs_launchers_and_the_tiny_model(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("conf", "launchers"):
        files = [
            p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in str(p)
        ]
        missing = {f"r1lab/{path.relative_to(ROOT)}" for path in files} - names
        assert files and not missing
    assert {"r1lab/models/tiny/config.json", "r1lab/models/tiny/model.safetensors"} <= names
    assert {"r1lab/models/tiny/tokenizer.json", "r1lab/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "conf/", "outputs/"))]


def test_the_metadata_says_what_pip_needs(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Name"] == "r1lab"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"dev", "smollm2", "slurm", "wandb"} <= set(metadata.get_all("Provides-Extra"))


def test_the_package_that_answers_is_the_installed_one(installed):
    done = installed.run("python", "-c", "import r1lab; print(r1lab.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(installed.venv)


def test_plan_works_from_any_folder_and_writes_nothing(installed):
    plan = installed.plan("trainer=grpo", "rewards=[accuracy,cosine]")
    assert plan["errors"] == []
    assert set(plan["config"]["rewards"]) == {"accuracy", "cosine"}
    assert plan["batch"] and plan["memory"]
    assert list(installed.home.iterdir()) == []


def test_hydra_finds_the_launchers_of_the_wheel(installed):
    code = """
        from hydra.core.plugins import Plugins
        from hydra.plugins.launcher import Launcher
        for found in Plugins.instance().discover(Launcher):
            print(found.__module__, __import__(found.__module__, fromlist=["x"]).__file__)
    """
    done = installed.run("python", "-c", textwrap.dedent(code))
    found = dict(line.split() for line in done.stdout.splitlines())
    for name in ("local", "submitit"):
        path = Path(found[f"hydra_plugins.r1lab_launchers.{name}"])
        assert path.is_relative_to(installed.venv)


@pytest.mark.parametrize("command", [("r1lab",), ("python", "-m", "r1lab")])
def test_both_commands_show_the_same_help(installed, command):
    done = installed.run(*command, "--help")
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout and "plan" in done.stdout
    assert "cosine" in done.stdout, "the options of the groups come from the installed configs"


SHOUT = """
    class Shout:
        \"\"\"1 for a completion in capitals.\"\"\"

        def __init__(self, mark: str = "!"):
            self.mark = mark

        def __call__(self, completions, **kwargs):
            return [float(str(c).isupper()) for c in completions]
"""
SHOUT_YAML = """
    # @package rewards.shout
    _target_: shoutlab.Shout
    weight: 0.5
    mark: "!"
"""


@pytest.fixture
def user(installed):
    """A user's own package and config folder, beside nothing of ours."""
    (installed.home / "shoutlab.py").write_text(textwrap.dedent(SHOUT))
    config = installed.home / "my_conf/rewards/shout.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(textwrap.dedent(SHOUT_YAML).lstrip())
    yield installed
    for path in installed.home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_users_config_folder_adds_a_reward(user):
    overrides = ("--config-dir", "my_conf", "rewards=[accuracy,shout]", "rewards.shout.mark=?")
    plan = user.plan(*overrides, R1LAB_PACKAGES="shoutlab")
    assert plan["errors"] == []
    shout = plan["config"]["rewards"]["shout"]
    assert (shout["_target_"], shout["weight"], shout["mark"]) == ("shoutlab.Shout", 0.5, "?")


def test_a_package_that_is_not_registered_is_refused_with_the_way_to_register_it(user):
    plan = user.plan("--config-dir", "my_conf", "rewards=[accuracy,shout]")
    (error,) = plan["errors"]
    assert error["key"] == "rewards.shout._target_"
    assert "R1LAB_PACKAGES=shoutlab" in error["fix"]


def test_an_installed_package_registers_itself_by_an_entry_point(user):
    metadata = user.home / "shoutlab-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shoutlab\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[r1lab.packages]\nshoutlab = shoutlab\n")
    plan = user.plan("--config-dir", "my_conf", "rewards=[shout]", PYTHONPATH=str(user.home))
    assert plan["errors"] == []
