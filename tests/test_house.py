"""The house rules that a program can hold: light imports, one tracker, short files, true docs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "r1lab").rglob("*.py"))

#: What costs seconds to import. The parent (`plan`, validation) imports every module's classes.
HEAVY = (
    "accelerate",
    "datasets",
    "math_verify",
    "mlflow",
    "pandas",
    "peft",
    "pyarrow",
    "reasoning_gym",
    "torch",
    "transformers",
    "trl",
)
#: The worker's half, and the processes of servers, LightEval and distilabel: never the parent's.
WORKER_ONLY = re.compile(
    r"r1lab\.(worker|run|engines\.app(\..+)?|evaluation\.inside\..+"
    r"|generation\.distilabel_(steps|worker))"
)
#: Scripts of an environment of their own, and what that is made from.
INSIDE = ROOT / "r1lab" / "evaluation" / "inside"
INSIDE_NEEDS = ROOT / "launchers" / "eval-env" / "requirements.in"

MOST_LINES = 400


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(tree: ast.AST) -> set[str]:
    """The packages that are imported anywhere in a module, functions included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_importing_any_module_loads_nothing_heavy():
    names = [name for name in map(dotted, MODULES) if not WORKER_ONLY.fullmatch(name)]
    assert names
    script = """
import importlib, json, sys
names, heavy = json.load(sys.stdin)
culprits, seen = {}, set()
for name in names:
    importlib.import_module(name)
    new = {package for package in heavy if package in sys.modules} - seen
    if new:
        culprits[name] = sorted(new)
        seen |= new
print(json.dumps(culprits))
"""
    # A process of its own: pytest's may have loaded all of them for other tests.
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([names, HEAVY]),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}, "import these inside functions"


def test_every_import_is_a_declared_dependency():
    """What comes along with another package today may not tomorrow."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = chain(project["dependencies"], *project["optional-dependencies"].values())
    declared = {canonicalize_name(Requirement(row).name) for row in rows}
    distributions = packages_distributions()
    there = {canonicalize_name(Requirement(row).name) for row in requirements(INSIDE_NEEDS)}
    siblings = {path.stem for path in INSIDE.glob("*.py")}
    missing = {}
    for path in MODULES:
        inside = path.is_relative_to(INSIDE)
        own = siblings if inside else {"r1lab"}  # the one environment has no r1lab
        for name in imports(ast.parse(path.read_text())) - sys.stdlib_module_names - own:
            owners = {canonicalize_name(owner) for owner in distributions.get(name, [name])}
            if not owners & (there if inside else declared):
                missing.setdefault(name, relative(path))
    assert missing == {}


def requirements(path: Path) -> list[str]:
    rows = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [row for row in rows if row]


def test_only_tracking_imports_mlflow():
    found = [relative(path) for path in MODULES if "mlflow" in imports(ast.parse(path.read_text()))]
    assert set(found) <= {"r1lab/tracking.py"}


def test_no_file_is_too_long():
    files = [*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    lengths = {relative(path): len(path.read_text().splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def is_broad(handler: ast.ExceptHandler) -> bool:
    kind = handler.type
    return kind is None or (
        isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")
    )


def test_nothing_is_swallowed():
    """`except Exception: pass` hides what went wrong; an exception that is expected has a name."""
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and is_broad(node):
                silent = all(isinstance(statement, ast.Pass) for statement in node.body)
                found += [f"{relative(path)}:{node.lineno}"] if silent else []
    assert found == []


def code_in(markdown: str) -> list[str]:
    """Lines of code in a page: fenced, indented by four, or in backquotes."""
    lines, fenced = [], False
    for line in markdown.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(line.strip())
        else:
            lines += re.findall(r"`([^`]+)`", line)
    return lines


def make_targets(line: str) -> list[str]:
    """`make lint types ARGS=...` -> lint, types; nothing where the line does not run make."""
    found = re.search(r"(?:^|&& |; |\$ )(?:[A-Z0-9_]+=\S+ )*make((?: [a-z][a-z0-9-]*)+)", line)
    return found.group(1).split() if found else []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "launchers/README.md"])
def test_every_make_command_of_the_docs_exists(page):
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.M))
    told = {t for line in code_in((ROOT / page).read_text()) for t in make_targets(line)}
    assert told <= targets
    if page == "README.md":
        assert told, "the first screen gives the commands that set up, run and test"


def test_outputs_keeps_only_its_own_gitignore():
    assert (ROOT / "outputs/.gitignore").read_text().split() == ["*", "!.gitignore"]


def test_ci_script_can_be_executed():
    assert os.access(ROOT / ".ci/run", os.X_OK)
