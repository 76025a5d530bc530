"""``python -m r1lab rewards score | audit | attack``: reading the command line, printing results.

Overrides are composed as ``train`` composes them, and only what the subcommand uses is checked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1lab import components, validate
from r1lab.compose import attempt, resolve
from r1lab.errors import INTERRUPTED, ConfigError, Problem, nearest, suggest

USAGE = """\
r1lab rewards: try rewards on completions, golds and known hacks; no GPU, no training

  python -m r1lab rewards score FILE [OVERRIDE ...]     completions by rewards, and what they say
  python -m r1lab rewards audit data=NAME [OVERRIDE ...]   can the golds be parsed and verified?
  python -m r1lab rewards attack [OVERRIDE ...]         what known reward hacks would earn

FILE is JSON Lines: `completion` (a string, or a list of messages), optionally `prompt`, `id`,
`group`, `completion_ids` or `completion_tokens`, and the columns that rewards need (`solution`,
...). It may also be - for standard input, or the folder of a run, whose logged completions are read
and whose own rewards are the default.

flags
  --json              one JSON object on standard output
  --rows N            score: rows shown; audit: offenders shown; attack: problems played (20, 20, 8)
  --slowest N         score: rows timed alone (5, with --json 0)
  --prefill TEXT      score: what the chat template writes at the start of every answer
  --from NAME         score: what of a run's folder: completions, heldout, heldout_before,
                      benchmark_NAME
  --strict            audit, attack: exit code 1 when an offender or a paying hack is found
  --config-dir DIR    a folder of your own configs

examples
  python -m r1lab rewards score answers.jsonl 'rewards=[accuracy,cosine]' --json
  python -m r1lab rewards score outputs/RUN
  python -m r1lab rewards audit data=gsm8k
  python -m r1lab rewards attack 'rewards=[accuracy,format]' rewards.format.weight=0.2
"""
COMMANDS = ("score", "audit", "attack")
_SWITCHES = {
    "--json": COMMANDS,
    "--strict": ("audit", "attack"),
    "--rows": COMMANDS,
    "--slowest": ("score",),
    "--prefill": ("score",),
    "--from": ("score",),
    "--config-dir": COMMANDS,
}
_PLAIN = ("--json", "--strict")
_NUMBERS = ("--rows", "--slowest")
#: What each subcommand reads of a config, by the first part of a key.
USES = {
    "score": ("rewards", "model", "trainer", "experiment"),
    "audit": ("data", "experiment"),
    "attack": ("rewards", "data", "model", "trainer", "experiment", "seed"),
}


@dataclass
class Request:
    """A command line, taken apart."""

    command: str
    files: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    dirs: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> bool:
        return "--json" in self.values

    @property
    def strict(self) -> bool:
        return "--strict" in self.values

    def number(self, flag: str, default: int) -> int:
        return int(self.values.get(flag, default))


def main(arguments: Sequence[str]) -> int:
    """Run one subcommand; returns the exit code."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE, end="")
        return 0
    try:
        return _run(parse(arguments))
    except ConfigError as error:
        if "--json" in arguments:
            print(json.dumps({"errors": [problem.to_dict() for problem in error.problems]}))
        raise
    except KeyboardInterrupt:
        print("r1lab: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(request: Request) -> int:
    for key in _unused(request):
        warn(f"{key} is not used by `rewards {request.command}`")
    if request.command == "score":
        from r1lab.lab.score import run
    elif request.command == "audit":
        from r1lab.lab.audit import run
    else:
        from r1lab.lab.attack import run
    return run(request)


def parse(arguments: Sequence[str]) -> Request:
    """Take a command line apart; raises :class:`ConfigError` for what is not part of one."""
    command = next((item for item in arguments if item[:1] != "-"), arguments[0])
    if command not in COMMANDS:
        known = list(COMMANDS)
        fix = suggest(command, known) + "; python -m r1lab rewards --help shows all"
        message = "is not a subcommand of rewards"
        raise ConfigError(Problem(command, None, message, fix))
    request, problems = Request(command), []
    rest = list(arguments)
    rest.remove(command)
    items = iter(rest)
    for item in items:
        name, equals, value = item.partition("=")
        name = {"-cd": "--config-dir"}.get(name, name)
        if item == "-" or not item.startswith("-"):
            listed = request.files if _is_file(item) else request.overrides
            listed.append(item)
            continue
        if name not in _SWITCHES:
            near = nearest(name, _SWITCHES)
            fix = f"did you mean {near}?" if near else "see python -m r1lab rewards --help"
            if equals and name.lstrip("-").split(".")[0] in USES[command]:
                fix = f"an override has no dashes: {item.lstrip('-')}"
            problems.append(Problem(item, None, "is not a flag of rewards", fix))
            continue
        if command not in _SWITCHES[name]:
            message = f"is a flag of `rewards {'` and `'.join(_SWITCHES[name])}` only"
            problems.append(Problem(name, None, message, "leave it out"))
        if name not in _PLAIN:
            value = value if equals else next(items, "")
            problems += _check_value(name, value)
        if name == "--config-dir":
            request.dirs.append(value)
        else:
            request.values[name] = value
    problems += _check_files(request)
    if problems:
        raise ConfigError(problems)
    return request


def composed(
    request: Request, check: Callable[[dict[str, Any]], list[Problem]], extra: Sequence[str] = ()
) -> dict[str, Any]:
    """The resolved config; a :class:`ConfigError` holds what composing and ``check`` find."""
    found, problems = attempt([*extra, *request.overrides], request.dirs)
    if found is None:
        raise ConfigError(problems)
    config = resolve(found)
    known = {problem.key for problem in problems}
    problems += [problem for problem in check(config) if problem.key not in known]
    if problems:
        raise ConfigError(problems)
    return config


def check_rewards(config: dict[str, Any]) -> list[Problem]:
    """What is wrong with the rewards of a config; the trainer that has rewards is implied."""
    return validate.check_rewards(_grpo(config))[1]


def check_data(config: dict[str, Any]) -> list[Problem]:
    """What is wrong with the data of a config, as far as it shows without loading it."""
    source, problems = components.check("data", config["data"])
    return problems if source is None else source.check()


def check_both(config: dict[str, Any]) -> list[Problem]:
    """The rewards, the data, and whether the data has the columns that the rewards need."""
    rewards, problems = validate.check_rewards(_grpo(config))
    source, found = components.check("data", config["data"])
    if source is None:
        return [*problems, *found]
    return [*problems, *validate.check_data(_grpo(config), source, rewards)]


def _grpo(config: dict[str, Any]) -> dict[str, Any]:
    return {**config, "trainer": {**config["trainer"], "kind": "grpo"}}


def warn(message: str) -> None:
    """Say something that is no result, where results are not."""
    print(f"r1lab: warning: {message}", file=sys.stderr)


def emit(value: dict[str, Any]) -> None:
    """Print the one JSON object; NaN, which JSON has no word for, cannot be in it."""
    print(json.dumps(value, allow_nan=False))


def _is_file(item: str) -> bool:
    """Whether an argument is FILE; a path may hold a ``=``, as run folders of sweeps do."""
    return item == "-" or Path(item).expanduser().exists() or not _looks_like_override(item)


def _looks_like_override(item: str) -> bool:
    return "=" in item or item[:1] in "~+"


def _check_files(request: Request) -> list[Problem]:
    files = request.files
    if request.command != "score":
        fix = "write key=value, as in data=gsm8k"
        return [
            Problem(item, None, f"`rewards {request.command}` reads no file", fix) for item in files
        ]
    if not files:
        fix = "python -m r1lab rewards score FILE.jsonl 'rewards=[accuracy]'"
        return [Problem("FILE", None, "is missing: score what?", fix)]
    if len(files) > 1:
        fix = "name one; rewards are chosen with 'rewards=[accuracy,format]'"
        return [Problem("FILE", files, "are several, and one is scored at a time", fix)]
    return []


def _check_value(name: str, value: str) -> list[Problem]:
    if name in _NUMBERS and not value.isdecimal():
        return [Problem(name, value, "is no number of rows", f"write {name} 10")]
    if not value:
        return [Problem(name, None, "needs a value", f"write {name} VALUE")]
    return []


def _unused(request: Request) -> list[str]:
    keys = [item.lstrip("+~").partition("=")[0].partition("@")[0] for item in request.overrides]
    roots = {key: key.replace("/", ".").split(".")[0] for key in keys}
    known = (*USES[request.command], "hydra")
    return [key for key, root in roots.items() if root not in known]
