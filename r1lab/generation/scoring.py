"""The reward library on the answers of a generation: one reward, called as a trainer calls it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from r1lab import components
from r1lab.errors import ConfigError, Problem, RunFailed, suggest
from r1lab.generation.request import Prompt
from r1lab.generation.steps.base import Context, Group, Sample
from r1lab.groups import config_dir, group_options
from r1lab.lab.lengths import wants_tokens
from r1lab.rewards.base import TRAINER_ARGUMENTS, RewardError, needed_columns
from r1lab.rewards.build import CheckedReward, construct_reward

#: A sample with the prompt that it answers.
Item = tuple[Prompt, Sample]
#: Samples that are scored in one call: enough to keep the verifier's processes busy, and few
#: enough that long answers take no memory to speak of.
BATCH_SAMPLES = 2048


class Scorer:
    """The reward ``name``: its node in the config's ``rewards``, else its file with its defaults.

    :meth:`check` says what is wrong with it and learns which columns it reads; :meth:`prepare`
    builds it.
    """

    def __init__(self, name: str):
        self.name = name
        self._columns: list[str] = []
        self._reward: CheckedReward | None = None

    @property
    def reward(self) -> CheckedReward:
        """The reward, once prepared."""
        assert self._reward is not None, "prepare() comes first"
        return self._reward

    @property
    def columns(self) -> list[str]:
        """The raw columns of the data that it cannot do without, as far as checked."""
        return [name for name in self._columns if name != "solution"]

    def check(self, key: str, context: Context) -> list[Problem]:
        """What is wrong; ``key`` is where the reward's name was written."""
        node = _node(self.name, context.config)
        if node is None:
            known = {*(context.config.get("rewards") or {}), *group_options("rewards")}
            fix = suggest(self.name, sorted(known))
            return [Problem(key, self.name, "there is no such reward", fix)]
        reward, problems = components.check(f"rewards.{self.name}", node, skip=("weight",))
        self._columns = [] if reward is None else needed_columns(reward)
        if "solution" in self._columns and not context.has_gold:
            message = f"{self.name} compares with a solution, and the data has none"
            fix = "name its column (data.columns.solution=COLUMN), or leave the step out"
            problems = [*problems, Problem(key, self.name, message, fix)]
        return problems

    def prepare(self, context: Context) -> None:
        """Build the reward and start what it needs."""
        node = _node(self.name, context.config)
        assert node is not None, "check() comes first"
        self._reward = construct_reward(self.name, node)
        self._columns = needed_columns(self._reward)
        self._reward.prepare()

    def __call__(self, items: Sequence[Item]) -> list[float | None]:
        """A value a sample. Samples of one prompt, if they are compared, are in one call.

        Raises ``RunFailed`` with the row and the sample where the reward fails, ``ConfigError``
        where lengths in tokens are asked for that the server did not count.
        """
        if not items:
            return []
        arguments = columns(items)
        if wants_tokens(self.reward):
            arguments["completion_ids"] = self._lengths(items)
        completions = [
            [{"role": "assistant", "content": sample.answer.whole()}] for _, sample in items
        ]
        prompts = [prompt.messages for prompt, _ in items]
        try:
            return self.reward(completions=completions, prompts=prompts, **arguments)
        except RewardError as error:
            raise RunFailed(f"{self.name} failed{_where(items, error)}: {error.message}") from error

    def _lengths(self, items: Sequence[Item]) -> list[range]:
        counted = [sample.answer.completion_tokens for _, sample in items]
        lengths = [range(count) for count in counted if count is not None]
        if len(lengths) < len(items):
            message = "counts tokens, and the server did not say how many there are"
            fix = f"count characters: rewards.{self.name}.length_unit=chars"
            fix += f" (with {self.name} in rewards=[...])"
            raise ConfigError(Problem(f"rewards.{self.name}", None, message, fix))
        return lengths


def batches(groups: Iterable[Group], samples: int = BATCH_SAMPLES) -> Iterator[list[Group]]:
    """Whole groups of ``samples`` samples together, the last group going over it."""
    batch: list[Group] = []
    held = 0
    for group in groups:
        batch.append(group)
        held += len(group.samples)
        if held >= samples:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def items_of(groups: Iterable[Group]) -> list[Item]:
    """The samples of groups, each with its prompt."""
    return [(group.prompt, sample) for group in groups for sample in group.samples]


def columns(items: Sequence[Item]) -> dict[str, list[Any]]:
    """The data's columns, a value a sample, with the gold as ``solution``; None where one lacks."""
    names = dict.fromkeys(name for prompt, _ in items for name in prompt.values)
    found = {
        name: [prompt.values.get(name) for prompt, _ in items]
        for name in names
        if name not in TRAINER_ARGUMENTS and name != "prompt"
    }
    return {**found, "solution": [prompt.gold for prompt, _ in items]}


def weight_of(name: str, config: Mapping[str, Any]) -> float:
    """A reward's weight in the config, 1 where it has none."""
    node = _node(name, config) or {}
    return float(node.get("weight", 1.0))


def _node(name: str, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    chosen = config.get("rewards") or {}
    if name in chosen:
        node: Mapping[str, Any] = chosen[name]
        return node
    file = config_dir() / "rewards" / f"{name}.yaml"
    if name not in group_options("rewards"):
        return None
    shipped: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return shipped


def _where(items: Sequence[Item], error: RewardError) -> str:
    if error.row is None:
        return ""
    prompt, sample = items[error.row]
    return f" on row {prompt.row} of the data, sample {sample.number}"
