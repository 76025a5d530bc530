"""Dynamic sampling: groups whose rewards are all equal are replaced before they are trained on.

Yu et al. 2025 (DAPO), https://arxiv.org/abs/2503.14476, section 3.2: a group of completions that
are all right or all wrong has no advantage, so it takes a place in the batch and teaches nothing.
Theirs fills a batch from whole new ones; here just the missing groups are generated, up to
``max_rounds`` times, and what has no signal then stays in the batch and is counted.

TRL generates, scores and prepares a batch in one method. It is called once, for the batch that is
full: the rounds before it generate and score only, and what they found is then given to TRL in
place of its own generation and rewards. So padding, masks, log-probabilities, advantages, the
number of tokens, metrics and tables are TRL's, of the final batch.

Every rank decides from the gathered rewards, so all of them take the same steps.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from r1lab.errors import ConfigError, Problem, suggest

if TYPE_CHECKING:
    from torch import Tensor

#: Rewards closer than this are one: float32 sums of the same parts in another order are.
SAME_REWARD = 1e-6


def has_signal(scores: Tensor, group_size: int) -> list[bool]:
    """For each group, whether its completions' scores differ.

    scores: (completions, scores), groups one after the other; NaN is no score, and a group with
    fewer than two has no signal. With several scores, one that differs is enough.
    """
    values = scores.view(-1, group_size, scores.shape[1])
    unknown = values.isnan()
    highest = values.masked_fill(unknown, -math.inf).amax(dim=1)
    lowest = values.masked_fill(unknown, math.inf).amin(dim=1)
    return [bool(differs) for differs in (highest - lowest > SAME_REWARD).any(dim=1)]


def groups_to_generate(missing: int, group_size: int, processes: int) -> int:
    """At least ``missing``: so many that each process generates the same number of completions."""
    unit = processes // math.gcd(processes, group_size)
    return math.ceil(missing / unit) * unit


def fresh_rows(dataset: Any, seed: str, used: set[str]) -> Iterator[int]:
    """Rows to draw new prompts from, without end: the same for the same ``seed``.

    First those whose prompts are not ``used`` (:func:`prompt_key`), each prompt once. A data set
    that has no more gives each of its prompts again.
    """
    for number in count():
        for index in shuffled(len(dataset), f"{seed}/{number}"):
            key = prompt_key(dataset[index]["prompt"])
            if key not in used:
                used.add(key)
                yield index
        used = set()


def shuffled(size: int, seed: str) -> Iterator[int]:
    """A seeded order of ``range(size)`` (Fisher and Yates'), made as far as it is read: a batch
    wants a few of a million rows."""
    draw = random.Random(seed)
    moved: dict[int, int] = {}
    for place in range(size):
        other = draw.randrange(place, size)
        yield moved.get(other, other)
        moved[other] = moved.get(place, place)


def check(config: dict[str, Any]) -> list[Problem]:
    """What is wrong with `trainer.dynamic_sampling`; imports nothing heavy."""
    key, settings = "trainer.dynamic_sampling", config["trainer"]["dynamic_sampling"]
    found = []
    if settings["enabled"] and config["trainer"]["kind"] == "sft":
        message = "supervised fine-tuning generates no groups"
        fix = "set it to false, or train with trainer=grpo"
        found.append(Problem(f"{key}.enabled", True, message, fix))
    elif settings["reward"] is not None and settings["reward"] not in config["rewards"]:
        fix = suggest(settings["reward"], list(config["rewards"]))
        found.append(Problem(f"{key}.reward", settings["reward"], "is no reward of this run", fix))
    if settings["max_rounds"] < 1:
        message = "replaces no group"
        fix = f"give 1 or more, or set {key}.enabled=false"
        found.append(Problem(f"{key}.max_rounds", settings["max_rounds"], message, fix))
    return found


def check_columns(columns: Sequence[str]) -> None:
    """Raises ConfigError for data with images: TRL prepares those where rounds do not pass."""
    found = [name for name in ("image", "images") if name in columns]
    if found:
        message = f"cannot draw prompts with images, and the data has the column {found[0]!r}"
        fix = "set trainer.dynamic_sampling.enabled=false"
        raise ConfigError(Problem("trainer.dynamic_sampling.enabled", True, message, fix))


def prompt_key(prompt: Any) -> str:
    """What tells one prompt from another, and is short to send."""
    return hashlib.sha256(repr(prompt).encode()).hexdigest()


@dataclass
class Completion:
    """What was generated for one row, and what its rewards want in the table of completions."""

    ids: list[int]
    logprobs: list[float] | None
    columns: dict[str, Any]


@dataclass
class Batch:
    """Rows with their completions: those of this process, in the order of the data."""

    inputs: list[dict[str, Any]]
    completions: list[Completion]
    rewards: Tensor  # (completions of all processes, reward functions)


class DynamicSampling:
    """Fills the batches of one trainer.

    max_rounds: generations for one batch beside the first. reward: the name of the reward that a
    group has to differ in (the paper's: accuracy), None for the weighted sum, which is what TRL
    makes advantages of.
    """

    def __init__(self, max_rounds: int, reward: str | None = None):
        self.max_rounds = max_rounds
        self.reward = reward
        #: The full batch while TRL prepares it, else None.
        self.batch: Batch | None = None
        self._last = (-1, -1)

    @contextmanager
    def filled(self, trainer: Any, inputs: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        """The rows of a batch full of signal; inside, :meth:`generated` and :meth:`rewards` give
        what was generated for them."""
        self.batch = self._fill(trainer, inputs)
        seen = trainer.state.num_input_tokens_seen
        try:
            yield self.batch.inputs
        finally:
            self.batch = None
        # The rounds have counted what they generated; TRL has just counted the batch again.
        trainer.state.num_input_tokens_seen = seen
        trainer._metrics["train"]["num_tokens"] = [seen]

    def generated(self) -> tuple[list[list[int]], list[list[float]] | None]:
        """Token ids and log-probabilities, as TRL's ``_generate_single_turn`` returns them."""
        assert self.batch is not None
        made = self.batch.completions
        logprobs = [one.logprobs for one in made if one.logprobs is not None]
        return [one.ids for one in made], logprobs or None

    def rewards(self, trainer: Any) -> Tensor:
        """Rewards, as TRL's ``_calculate_rewards`` returns them and logs their columns."""
        assert self.batch is not None
        made = self.batch.completions
        for column in sorted({name for one in made for name in one.columns}):
            trainer._log_completion_extra(column, [one.columns.get(column) for one in made])
        return self.batch.rewards

    def _fill(self, trainer: Any, inputs: list[dict[str, Any]]) -> Batch:
        size, processes = trainer.num_generations, trainer.accelerator.num_processes
        with _apart(trainer):
            batch = _generate_and_score(trainer, list(inputs))
            groups = len(batch.rewards) // size
            counts = {"rounds": 0, "groups_generated": groups}
            dead = self._dead(trainer, batch.rewards)
            at_first, before = len(dead), _mean_reward(trainer, batch.rewards)
            rows = self._rows(trainer, inputs) if dead else iter(())
            while dead and counts["rounds"] < self.max_rounds:
                drawn = list(islice(rows, groups_to_generate(len(dead), size, processes)))
                counts["rounds"] += 1
                counts["groups_generated"] += len(drawn)
                dead = self._replace(trainer, batch, dead, drawn)
        counts["groups_replaced"] = at_first - len(dead)
        counts["groups_without_signal"] = len(dead)
        for name, value in {**counts, "reward_unfiltered": before}.items():
            trainer._metrics["train"][f"dynamic_sampling/{name}"].append(value)
        return batch

    def _rows(self, trainer: Any, inputs: list[dict[str, Any]]) -> Iterator[int]:
        """Rows for this batch: their seed is made of what a resumed run knows as well."""
        from accelerate.utils import gather_object

        step = trainer.state.global_step
        # A step may generate several times, for some of its micro-steps each.
        number = self._last[1] + 1 if self._last[0] == step else 0
        self._last = (step, number)
        used = set(gather_object([prompt_key(row["prompt"]) for row in inputs]))
        return fresh_rows(trainer.train_dataset, f"{trainer.args.seed}/{step}/{number}", used)

    def _dead(self, trainer: Any, rewards: Tensor) -> list[int]:
        """The groups without signal; found on the CPU, where all processes round alike."""
        scores = self._scores(trainer, rewards.cpu().double())
        signal = has_signal(scores, trainer.num_generations)
        return [group for group, teaches in enumerate(signal) if not teaches]

    def _scores(self, trainer: Any, rewards: Tensor) -> Tensor:
        """What has to differ in a group: (completions, scores)."""
        if self.reward is not None:
            place = trainer.reward_func_names.index(self.reward)
            return rewards[:, place : place + 1]
        if trainer.multi_objective_aggregation == "normalize_then_sum":
            return rewards[:, trainer.reward_weights.to(rewards.device) != 0]
        return _totals(trainer, rewards).unsqueeze(1)

    def _replace(self, trainer: Any, batch: Batch, dead: list[int], drawn: list[int]) -> list[int]:
        """Generate for the drawn rows, put groups with signal into the places of dead ones;
        returns the places that are left."""
        from accelerate.utils import gather_object

        size, rank = trainer.num_generations, trainer.accelerator.process_index
        data = trainer.train_dataset
        spread = [index for index in drawn for _ in range(size)]
        each = len(spread) // trainer.accelerator.num_processes
        mine = spread[rank * each : (rank + 1) * each]
        new = _generate_and_score(trainer, [dict(data[index]) for index in mine])
        without = set(self._dead(trainer, new.rewards))
        taken = zip(dead, (g for g in range(len(drawn)) if g not in without), strict=False)
        # Row of the new completions, of all processes -> row of the batch that it takes.
        places = {g * size + k: d * size + k for d, g in taken for k in range(size)}
        if not places:
            return dead
        numbered = enumerate(new.completions, rank * each)
        sent = [(row, made) for row, made in numbered if row in places]
        first = rank * len(batch.inputs)
        for row, made in gather_object(sent):
            place = places[row] - first
            if 0 <= place < len(batch.inputs):
                batch.inputs[place] = dict(data[spread[row]])
                batch.completions[place] = made
        batch.rewards[list(places.values())] = new.rewards[list(places)]
        return dead[len(places) // size :]


def _generate_and_score(trainer: Any, inputs: list[dict[str, Any]]) -> Batch:
    prompts = [row["prompt"] for row in inputs]
    _, ids, _, completions, logprobs, *_ = trainer._generate(prompts)
    rewards = trainer._score(inputs, prompts, completions, ids)
    columns = dict(trainer._pending_extra_logs)
    trainer._pending_extra_logs.clear()
    for name, values in columns.items():
        if len(values) != len(inputs):
            raise ValueError(
                f"the rewards logged {len(values)} values in the column {name!r} of the "
                f"completions' table, for {len(inputs)} completions: log one for each"
            )
    made = [
        Completion(
            ids[i],
            None if logprobs is None else logprobs[i],
            {name: values[i] for name, values in columns.items()},
        )
        for i in range(len(inputs))
    ]
    return Batch(inputs, made, rewards)


def _totals(trainer: Any, rewards: Tensor) -> Tensor:
    """TRL's total of each completion, without rewards that do not apply; NaN if none does."""
    weighted = rewards * trainer.reward_weights.to(rewards.device)
    return weighted.nansum(dim=1).masked_fill(rewards.isnan().all(dim=1), math.nan)


def _mean_reward(trainer: Any, rewards: Tensor) -> float:
    return float(_totals(trainer, rewards).nanmean())


@contextmanager
def _apart(trainer: Any) -> Iterator[None]:
    """Keep the metrics of rounds away from the batch's: TRL logs those when the batch is full."""
    kept = trainer._metrics["train"]
    trainer._metrics["train"] = defaultdict(list)
    try:
        yield
    finally:
        trainer._metrics["train"] = kept
