"""The command line: a verb, then Hydra overrides. The only place that knows Hydra's decorator.

One run is composed here directly (0.1 s); a sweep (``-m``) and Hydra's own inspections (``--cfg``,
``--info``) go through ``hydra.main``. Imports no torch: mistakes are answered in under a second.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from omegaconf import DictConfig, OmegaConf

from r1lab import schema
from r1lab.compose import compose
from r1lab.errors import (
    FAILED,
    MISTAKE,
    ConfigError,
    Problem,
    R1labError,
    RunFailed,
    nearest,
    suggest,
)
from r1lab.groups import config_dir, group_options
from r1lab.launch.ranks import from_environment
from r1lab.record.provenance import command_line
from r1lab.secrets import redact_text
from r1lab.sweep.composing import composed

#: Seconds by which other ranks fail later: launchers end all of them when one does.
_LATER_S = 2.0
_HYDRA_FLAGS = (
    "--cfg",
    "-c",
    "--resolve",
    "--package",
    "-p",
    "--info",
    "-i",
    "--hydra-help",
    "--shell-completion",
    "-sc",
)
_HELP = """\
r1lab: train reasoning models with verifiable rewards

  python -m r1lab [VERB] [OVERRIDE ...]        VERB is train when it is left out

verbs
  train     compose, validate, plan, train, evaluate, register; the same line again resumes
  plan      the same checks and estimates, without training (--json: one object)
  evaluate  LightEval's benchmarks on a model: model=... 'evaluate=[aime24,math_500]' (--json: one
            object); the same line again asks nothing twice
  generate  answers to the prompts of data=..., kept as they come, and data to train on made of
            them: generate.base_url=URL, or model=... (--json: one object)
  serve     start an engine for model=RUN|RUN@last|FOLDER|HUB_ID|NAME, until Ctrl-C (--json: one
            line once it answers)
  compare   two evaluations, question by question (`compare --help`)
  rewards   score completions, audit golds, play known hacks (`rewards --help`)
  sweep     status, resume, cancel, table of a sweep's folder (`sweep --help`)

flags
  -m, --multirun      sweep: an override with several values becomes several runs; the same line
                      again runs what is missing (hydra.launcher.parallel=N runs N at once)
  --config-dir DIR    a folder of your own configs (DIR/rewards/mine.yaml, DIR/experiment/x.yaml)
  --cfg job           print the composed configuration
  --version

groups (write GROUP=NAME; rewards, callbacks, evaluate and steps take lists)
{groups}

examples
  python -m r1lab trainer=grpo 'rewards=[accuracy,cosine]'
  python -m r1lab plan trainer=grpo model=qwen2_5_7b data=gsm8k hardware=deepspeed_z3
  python -m r1lab -m trainer.args.learning_rate=1e-5,3e-5 'sweep.seeds=[1,2,3]'
  python -m r1lab -m hydra/sweeper=optuna 'trainer.args.learning_rate=tag(log,interval(1e-6,1e-4))'
  python -m r1lab sweep status outputs/sweeps/NAME
  python -m r1lab serve model=outputs/RUN engine=vllm
  python -m r1lab evaluate model=outputs/RUN 'evaluate=[aime24,math_500]'
  python -m r1lab generate data=gsm8k generate.base_url=http://localhost:8000/v1 \\
      generate.num_generations=4
  python -m r1lab compare outputs/RUN_A outputs/RUN_B
  python -m r1lab rewards score answers.jsonl 'rewards=[accuracy,cosine]'
"""
_GROUPS = (
    "model",
    "model/peft",
    "data",
    "trainer",
    "trainer/algo",
    "rewards",
    "callbacks",
    "evaluate",
    "steps",
    "hardware",
    "engine",
    "experiment",
    "hydra/launcher",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # the `r1lab` script, unlike `python -m`, leaves it out
    try:
        return _run(arguments)
    except R1labError as error:
        if arguments[:1] == ["plan"] and "--json" in arguments and isinstance(error, ConfigError):
            _print_json(error.problems)
        elif from_environment().is_first:  # every rank of a launcher's finds the same
            show_error(error)
        else:
            time.sleep(_LATER_S)
        return FAILED if isinstance(error, RunFailed) else MISTAKE
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def show_error(error: R1labError) -> None:
    """Say what is wrong on standard error, without a traceback."""
    if isinstance(error, ConfigError):
        count = len(error.problems)
        print(
            f"r1lab: {count} problem{'s' if count != 1 else ''} in the configuration",
            file=sys.stderr,
        )
        for problem in error.problems:
            print(redact_text(f"  {problem}"), file=sys.stderr)
    else:
        print(redact_text(f"r1lab: {error}"), file=sys.stderr)


def _run(arguments: list[str]) -> int:
    verb, rest = _split_verb(arguments)
    if verb == "rewards":
        from r1lab.lab.command import main as lab

        return lab(rest)
    if verb == "compare":
        from r1lab.evaluation.compare_command import main as compare

        return compare(rest)
    if verb == "sweep":
        from r1lab.sweep.command import main as sweep

        return sweep(rest, again=_sweep)
    if "-h" in rest or "--help" in rest:
        print(_help())
        return 0
    if "--version" in rest:
        print(_version())
        return 0
    flags, overrides, dirs = _split_flags(rest, verb)
    if "--multirun" in flags:
        return _sweep(overrides, dirs, verb)
    if any(flag in _HYDRA_FLAGS for flag in flags):
        compose(overrides, dirs)
        _hydra_main([item for item in rest if item != "--json"], _nothing)
        return 0
    if verb == "serve":
        from r1lab.serve import serve

        return serve(overrides, dirs, "--json" in flags)
    command = command_line(arguments)
    if verb == "evaluate":
        from r1lab.evaluation.evaluate import evaluate

        return evaluate(overrides, dirs, "--json" in flags, command)
    if verb == "generate":
        from r1lab.generation.generate import generate

        return generate(overrides, dirs, "--json" in flags, command)
    from r1lab import start

    config = composed(overrides, dirs)
    if config["sweep"]["seeds"] or config["sweep"]["name"]:
        said = "belongs to a sweep, and this is a single run"
        raise ConfigError(Problem("sweep", config["sweep"], said, "add -m, or leave it out"))
    if verb == "plan":
        return start.plan(config, "--json" in flags, _launcher(overrides, dirs))
    return start.train(config, command)


def _launcher(overrides: list[str], dirs: list[str]) -> dict[str, Any]:
    """The ``hydra.launcher`` that is named, as a sweep would use it; empty where none is."""
    if not any(item.startswith("hydra/launcher") for item in overrides):
        return {}
    node = OmegaConf.to_container(compose(overrides, dirs).hydra.launcher, resolve=True)
    return {str(key): value for key, value in node.items()} if isinstance(node, dict) else {}


def _split_verb(arguments: list[str]) -> tuple[str, list[str]]:
    if arguments and "=" not in arguments[0] and arguments[0][:1] not in ("-", "+", "~"):
        verb, rest = arguments[0], arguments[1:]
        if verb not in schema.VERBS:
            fix = suggest(verb, schema.VERBS)
            raise ConfigError(Problem("verb", verb, "is not a verb of r1lab", fix))
        return verb, rest
    return "train", arguments


def _split_flags(rest: list[str], verb: str) -> tuple[list[str], list[str], list[str]]:
    """Flags by their long name, overrides, and the folders given with ``--config-dir``."""
    flags: list[str] = []
    overrides: list[str] = []
    dirs: list[str] = []
    items = iter(rest)
    for item in items:
        name, _, value = item.partition("=")
        if name in ("--config-dir", "-cd"):
            dirs.append(value or next(items, ""))
        elif item in ("-m", "--multirun"):
            flags.append("--multirun")
        elif item == "--json":
            if verb not in ("plan", "serve", "evaluate", "generate"):
                raise ConfigError(
                    Problem(
                        "--json",
                        None,
                        "only plan, serve, evaluate and generate print JSON",
                        "write: python -m r1lab plan --json ...",
                    )
                )
            flags.append(item)
        elif name in _HYDRA_FLAGS:
            flags.append(name)
            if name in ("--cfg", "-c", "--package", "-p", "--info", "-i") and not value:
                next(items, None)
        elif item.startswith("-"):
            known = ["--multirun", "--config-dir", "--json", "--help", "--version", *_HYDRA_FLAGS]
            near = nearest(item, known)
            raise ConfigError(
                Problem(
                    item,
                    None,
                    "is not a flag of r1lab",
                    f"did you mean {near}?" if near else "see --help",
                )
            )
        else:
            overrides.append(item)
    return flags, overrides, dirs


def _sweep(overrides: list[str], dirs: list[str], verb: str) -> int:
    """Check the whole sweep, let Hydra run it, and say what came of it."""
    if verb != "train":
        raise ConfigError(Problem("verb", verb, "does not sweep", "leave out -m, or the verb"))
    from r1lab.sweep import ending, request

    checked = request.check(overrides, dirs)
    for warning in checked.warnings:
        print(f"r1lab: warning: {warning}", file=sys.stderr)
    with ending.concluded() as outcome:
        _hydra_main(checked.arguments, _nothing)
    return outcome.code


def _hydra_main(arguments: list[str], function: Callable[[DictConfig], Any]) -> None:
    import hydra

    schema.register()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    sys.argv = ["r1lab", *arguments]
    hydra.main(config_path=str(config_dir()), config_name="config", version_base="1.3")(function)()


def _nothing(config: DictConfig) -> None:
    """``--cfg`` and ``--info`` return before the task would run; a sweep's points run elsewhere."""


def _help() -> str:
    rows = []
    for group in _GROUPS:
        names, line = group_options(group), ""
        for name in names:
            if len(line) + len(name) > 78:
                rows.append((group, line))
                group, line = "", ""
            line += f"{name} "
        rows.append((group, line))
    return _HELP.format(groups="\n".join(f"  {group:<14} {line.rstrip()}" for group, line in rows))


def _version() -> str:
    try:
        return f"r1lab {version('r1lab')}"
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "r1lab (not installed)"


def _print_json(problems: Sequence[Problem]) -> None:
    names = ("layout", "batch", "memory", "cost", "config")
    empty: dict[str, Any] = {"warnings": [], **dict.fromkeys(names)}
    print(json.dumps({"errors": [problem.to_dict() for problem in problems], **empty}, indent=2))
