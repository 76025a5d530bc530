"""``rewards attack``: what known hacks would earn with these rewards and weights.

Each hack is played on a seeded sample of the data's rows, in a group of its own with an honest
right and an honest wrong answer to the same problem, since some rewards compare within a group.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

from r1lab import targets
from r1lab.errors import FAILED
from r1lab.lab import show
from r1lab.lab.command import Request, check_both, composed, emit, warn
from r1lab.lab.hacks import MARGIN, Hack, hacks_for
from r1lab.lab.lengths import Lengths
from r1lab.lab.problem import Played, form_of, played
from r1lab.lab.rows import ListedRows
from r1lab.lab.scoring import Scores, score
from r1lab.rewards.base import needed_columns
from r1lab.rewards.build import CheckedReward, build_rewards

PROBLEMS = 8
#: Rows that are loaded to sample from.
LOADED = 512
#: Differences below it are the rounding of means.
_SAME = 1e-6
#: Characters of the best played completion that the JSON object holds.
_TAIL = 200


def run(request: Request) -> int:
    """Play all hacks, and print the object or the table."""
    config = composed(request, check_both)
    start = time.perf_counter()
    rewards, weights = build_rewards(config["rewards"])
    for reward in rewards:
        reward.prepare()
    sample = _sample(config, rewards, request.number("--rows", PROBLEMS))
    form = form_of(rewards, list(sample[0]))
    rng = random.Random(config["seed"])
    problems = [played(row, sample, rewards, form, rng) for row in sample]
    stage = _Stage(sample, problems, rewards, weights, Lengths(config["model"], True))

    honest = stage.play(None)
    attacks = [stage.attack(hack) for hack in hacks_for(form.mark)]
    found: dict[str, Any] = {
        "data": config["data"].get("name", "data"),
        "problems": len(sample),
        "weights": dict(zip((reward.__name__ for reward in rewards), weights, strict=True)),
        "honest": {
            "right": honest["right"],
            "wrong": honest["wrong"],
        },
        "attacks": [item for item in attacks if item is not None],
        "not_played": [
            hack.name
            for hack, item in zip(hacks_for(form.mark), attacks, strict=True)
            if item is None
        ],
        "notes": _notes(honest, problems),
        "seconds": time.perf_counter() - start,
    }
    if stage.lengths.note and not request.json:
        warn("lengths in tokens are those of " + str(config["model"]["id"]))
    if request.json:
        emit(found)
    else:
        show.attacks(found)
    pays = any(item["pays"] for item in found["attacks"])
    return FAILED if pays and request.strict else 0


class _Stage:
    """The sampled problems and the rewards that they are played against."""

    def __init__(
        self,
        sample: Sequence[dict[str, Any]],
        problems: Sequence[Played],
        rewards: Sequence[CheckedReward],
        weights: Sequence[float],
        lengths: Lengths,
    ):
        self.sample, self.problems = sample, problems
        self.rewards, self.weights, self.lengths = rewards, weights, lengths

    def attack(self, hack: Hack) -> dict[str, Any] | None:
        """What a hack earns, and whether that is more than honesty does beside it."""
        part = self.play(hack)
        if part["hack"] is None:
            return None
        earned, right, wrong = (part[who]["total"] for who in ("hack", "right", "wrong"))
        return {
            "name": hack.name,
            "what": hack.what,
            **part["hack"],
            "beside": {"right": right, "wrong": wrong},
            "pays": earned is not None and earned > (wrong or 0.0) + _margin(right, wrong),
            "beats_right": None not in (earned, right) and earned >= right - _SAME,
            "best": part["best"],
        }

    def play(self, hack: Hack | None) -> dict[str, Any]:
        """Mean values of the honest answers, and of the hack where one is played."""
        rows: list[dict[str, Any]] = []
        who: list[str] = []
        pairs = list(zip(self.sample, self.problems, strict=True))
        for number, (row, problem) in enumerate(pairs[: hack.most if hack else None]):
            texts = {
                "right": problem.right_text(),
                "wrong": problem.wrong_text(),
                "hack": None if hack is None else hack.play(problem),
            }
            if hack is not None and texts["hack"] is None:
                continue
            for name, text in texts.items():
                if text is not None:
                    rows.append({**row, "completion": text, "group": number})
                    who.append(name)
        if not rows:
            return {"right": None, "wrong": None, "hack": None}
        scores = score(ListedRows("the hacks", rows), self.rewards, self.weights, self.lengths)
        found: dict[str, Any] = {n: _mean(scores, who, n) for n in ("right", "wrong", "hack")}
        played = [index for index, kind in enumerate(who) if kind == "hack"]
        if played:
            best = max(played, key=lambda index: scores.total[index] or 0.0)
            found["best"] = {
                "gold": self.problems[rows[best]["group"]].gold,
                "ends_in": rows[best]["completion"][-_TAIL:],
                "total": scores.total[best],
            }
        return found


def _margin(right: float | None, wrong: float | None) -> float:
    if right is None or wrong is None:
        return _SAME
    return max(_SAME, MARGIN * (right - wrong))


def _mean(scores: Scores, who: Sequence[str], name: str) -> dict[str, Any] | None:
    """Mean of each reward and of the total over the rows of one kind, where they apply."""
    rows = [index for index, kind in enumerate(who) if kind == name]
    if not rows:
        return None

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for index in rows if (value := values[index]) is not None]
        return sum(known) / len(known) if known else None

    return {
        "rewards": {reward: mean(values) for reward, values in scores.rewards.items()},
        "total": mean(scores.total),
    }


def _sample(
    config: dict[str, Any], rewards: Sequence[CheckedReward], count: int
) -> list[dict[str, Any]]:
    """Rows of the training data with different prompts, as a trainer would pass them."""
    from r1lab.data.build import build_data

    need = {column for reward in rewards for column in needed_columns(reward)}
    most = config["data"].get("max_train") or LOADED
    node = {**config["data"], "bad_rows": "drop", "max_train": min(most, LOADED)}
    if "train_size" in node:  # generated: ten thousand rows of a slow task take minutes
        node |= {"train_size": min(node["train_size"], LOADED), "test_size": 0}
    source = targets.build(node)
    bundle = build_data(source, "grpo", need_solution="solution" in need, need=need)
    order = list(range(len(bundle.train)))
    random.Random(config["seed"]).shuffle(order)
    rows: dict[str, dict[str, Any]] = {}
    for index in order:
        row = dict(bundle.train[index])
        rows.setdefault(str(row["prompt"]), row)
        if len(rows) == max(1, count):
            break
    return list(rows.values())


def _notes(honest: dict[str, Any], problems: Sequence[Played]) -> list[str]:
    """What the honest answers alone say about the rewards."""
    notes = []
    right, wrong = honest["right"], honest["wrong"]
    if right is None:
        notes.append("no honest right answer can be written from the data's columns")
    elif right["total"] is None or wrong["total"] is None:
        notes.append("the rewards do not apply to honest answers: see `rewards audit`")
    elif right["total"] <= wrong["total"] + _SAME:
        notes.append("an honest right answer earns no more than a wrong one: nothing rewards truth")
    unknown = sum(problem.gold is None for problem in problems)
    if unknown and right is not None:
        notes.append(f"{unknown} of {len(problems)} problems have no right answer to write")
    return notes
