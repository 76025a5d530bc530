r"""`[accuracy, cosine, format, length]` against a straightforward sequential implementation.

    python -m benchmarks.rewards [--quick] [--rounds N] [--step]

Batches as GRPO makes them: groups of 8, 16 and 64 completions of 200 to 8,000 tokens, reasoning
with mathematics in it, four characters a token. A group's answers are drawn from one to three right
spellings and two to five wrong answers; one in twelve completions has no answer, one in twelve is
cut off. Golds are mostly numbers, then fractions, roots, intervals, points, polynomials and words.
Every round has new problems, so nothing is known from the round before.

The sequential side does what open-r1's rewards do: each of the three that need the verdict parses
the gold and the whole completion with math-verify and compares them, one after the other. Its golds
are in dollars, so that it can read all of them. Both sides score the same batches in the order
A B, B A, A B, ...; where their verdicts differ, the answers are listed.

The first batch of a process is timed with the imports in it, in processes of their own. `--step`
trains the tiny model for a few steps and tells what share of a step the rewards take.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

NAMES = ("accuracy", "cosine", "format", "length")
CONF = Path(__file__).resolve().parents[1] / "conf" / "rewards"
GOAL = 20.0
#: Completions a group and groups a batch.
SHAPES = ((8, 8), (16, 4), (64, 1), (16, 16))
TOKENS = (200, 8000)
CHARS_A_TOKEN = 4
#: What a model takes to load, as a rule more: the time that `prepare` has for the processes.
LOADING_S = 5.0

Score = Callable[[dict[str, Any]], dict[str, list[float | None]]]


@dataclass(frozen=True)
class Problem:
    """A gold, spellings of the right answer, and wrong answers."""

    gold: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def number(rng: random.Random) -> Problem:
    n = rng.choice((rng.randint(-20, 100), rng.randint(100, 30_000)))
    right = (str(n), f"{n:,}".replace(",", "{,}"), f"x = {n}")
    return Problem(str(n), right, (str(n - 1), str(n + 1), str(n + 10), str(-n or 1), f"{n}.5"))


def fraction(rng: random.Random) -> Problem:
    b = rng.randint(2, 60)
    a = rng.choice([a for a in range(1, 3 * b) if math.gcd(a, b) == 1])
    right = (rf"\frac{{{a}}}{{{b}}}", rf"\dfrac{{{a}}}{{{b}}}", f"{a}/{b}")
    wrong = (rf"\frac{{{b}}}{{{a}}}", rf"\frac{{{a + 1}}}{{{b}}}", f"{a}/{b + 1}", f"{a / b:.2f}")
    return Problem(right[0], right, (*wrong, str(a)))


def root(rng: random.Random) -> Problem:
    a, b = rng.randint(2, 12), rng.choice((2, 3, 5, 6, 7, 10, 11))
    right = (rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}", rf"{a} \cdot \sqrt{{{b}}}")
    wrong = (rf"{a + 1}\sqrt{{{b}}}", rf"{a}\sqrt{{{b + 2}}}", rf"\sqrt{{{a * b}}}", str(a * b))
    return Problem(right[0], right, (*wrong, rf"\frac{{\sqrt{{{b}}}}}{{{a}}}"))


def interval(rng: random.Random) -> Problem:
    a = rng.randint(-9, 9)
    b = a + rng.randint(1, 12)
    right = (f"({a},{b}]", rf"\left({a}, {b}\right]", rf"{a} < x \le {b}")
    return Problem(right[0], right, (f"[{a},{b}]", f"({a},{b})", f"({a},{b + 1}]", f"[{a},{b})"))


def point(rng: random.Random) -> Problem:
    a, b = rng.randint(-9, 9), rng.randint(10, 40)
    right = (f"({a},{b})", rf"\left({a}, {b}\right)", f"({a}, {b})")
    return Problem(right[0], right, (f"({b},{a})", f"({a},{b + 1})", f"({-a - 1},{b})", str(b)))


def polynomial(rng: random.Random) -> Problem:
    a, b = rng.sample(range(1, 12), 2)
    right = (f"x^2+{a + b}x+{a * b}", f"(x+{a})(x+{b})", f"x^2 + {a + b}x + {a * b}")
    wrong = (f"x^2-{a + b}x+{a * b}", f"(x-{a})(x-{b})", f"x^2+{a + b}", f"x^2+{a * b}x+{a + b}")
    return Problem(right[0], right, wrong)


def words(rng: random.Random) -> Problem:
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
    day, *others = rng.sample(days, 4)
    return Problem(rf"\text{{{day}}}", (rf"\text{{{day}}}", day), tuple(others))


KINDS = (number, fraction, root, interval, point, polynomial, words)
SHARES = (60, 17, 8, 4, 4, 4, 3)

STEPS = (
    "We have ${a}x + {b} = {c}$, so $x = \\frac{{{c} - {b}}}{{{a}}}$.",
    "Let me check this again. If $n = {a}$ then $n^2 + {b} = {c}$, which is what we want.",
    "Wait, that cannot be right, because {a} times {b} is not {c}.",
    "First, expand: $$(x + {a})^2 = x^2 + {b}x + {c}$$ and compare the coefficients.",
    "The sum over all $k$ from {a} to {b} is therefore at most {c}.",
    "Hmm, so the area would be ${a}\\sqrt{{{b}}}$, and the answer might be {c}?",
    "By symmetry it is enough to look at the cases where $a \\le b$ and $a + b \\le {c}$.",
)


def reasoning(rng: random.Random, chars: int) -> str:
    parts: list[str] = []
    length = 0
    while length < chars:
        a, b, c = (rng.randint(2, 99) for _ in range(3))
        parts.append(rng.choice(STEPS).format(a=a, b=b, c=c))
        length += len(parts[-1]) + 1
    return "\n".join(parts)[:chars]


def batch(seed: int, size: int, groups: int, longest: int = TOKENS[1]) -> dict[str, Any]:
    """What TRL hands to a reward for ``groups`` prompts with ``size`` completions each."""
    rng = random.Random(seed)
    columns: dict[str, Any] = {k: [] for k in ("prompts", "completions", "solution")}
    columns["completion_ids"] = []
    for group in range(groups):
        problem = rng.choices(KINDS, SHARES)[0](rng)
        right = rng.sample(problem.right, rng.randint(1, min(3, len(problem.right))))
        wrong = rng.sample(problem.wrong, rng.randint(2, min(5, len(problem.wrong))))
        ability = rng.choice((0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0))
        for _ in range(size):
            tokens = round(math.exp(rng.uniform(math.log(TOKENS[0]), math.log(longest))))
            text = f"<think>\n{reasoning(rng, tokens * CHARS_A_TOKEN)}\n</think>\n<answer>\n"
            kind = rng.random()
            if kind < 1 / 12:
                text = text[: -len("\n</think>\n<answer>\n")]  # cut off
            elif kind < 1 / 6:
                text += "I could not find it.\n</answer>"
            else:
                # Some spellings and mistakes are more common than others.
                forms = right if rng.random() < ability else wrong
                answer = rng.choice(forms[: rng.randint(1, 5)])
                text += f"The answer is $\\boxed{{{answer}}}$.\n</answer>"
            columns["prompts"].append([{"role": "user", "content": f"Problem {seed}.{group}"}])
            columns["completions"].append([{"role": "assistant", "content": text}])
            columns["solution"].append(f"${problem.gold}$")
            columns["completion_ids"].append(list(range(tokens)))
    return columns


def ours(prepare: bool = True) -> Score:
    """The rewards as a run builds them."""
    from r1lab.rewards.build import build_rewards

    nodes = {name: yaml.safe_load((CONF / f"{name}.yaml").read_text()) for name in NAMES}
    rewards, _ = build_rewards(nodes)
    if prepare:
        for reward in rewards:
            reward.prepare()

    def score(columns: dict[str, Any]) -> dict[str, list[float | None]]:
        return {reward.__name__: reward(**columns) for reward in rewards}

    return score


def sequential() -> Score:
    """A reward after the other, a completion after the other, everything parsed each time."""
    import logging

    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse, verify

    logging.disable(logging.WARNING)  # math-verify warns of a deprecated option at every call
    options = {"nits": False, "malformed_operators": False, "basic_latex": True}
    reading = LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            **options, equations=True, boxed="all", units=True
        ),
        boxed_match_priority=0,
        try_extract_without_anchor=False,
    )
    form = re.compile(r"^<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>$", re.DOTALL)

    def right(text: str, gold: str) -> bool | None:
        parsed = parse(gold, extraction_mode="first_match")
        if not parsed:
            return None
        answer = parse(text, extraction_config=[reading], extraction_mode="first_match")
        return bool(verify(parsed, answer))

    def cosine(correct: bool, length: int) -> float:
        start, end = (1.0, 0.5) if correct else (-1.0, -0.5)
        return end + 0.5 * (start - end) * (1 + math.cos(math.pi * min(1.0, length / 1000)))

    def score(columns: dict[str, Any]) -> dict[str, list[float | None]]:
        texts = [completion[0]["content"] for completion in columns["completions"]]
        golds, sizes = columns["solution"], [len(ids) for ids in columns["completion_ids"]]
        accuracy = [right(text, gold) for text, gold in zip(texts, golds, strict=True)]
        again = [right(text, gold) for text, gold in zip(texts, golds, strict=True)]
        cosines = [cosine(bool(r), size) for r, size in zip(again, sizes, strict=True)]
        formats = [float(bool(form.match(text))) for text in texts]
        third = [right(text, gold) for text, gold in zip(texts, golds, strict=True)]
        low, spread = min(sizes), max(sizes) - min(sizes) or 1
        places = [0.5 - (size - low) / spread for size in sizes]
        lengths = [p if r else min(0.0, p) for r, p in zip(third, places, strict=True)]
        values = [None if r is None else float(r) for r in accuracy]
        return dict(zip(NAMES, (values, cosines, formats, lengths), strict=True))

    return score


def timed(score: Score, columns: dict[str, Any]) -> tuple[float, list[float | None]]:
    start = time.perf_counter()
    values = score(columns)
    return time.perf_counter() - start, values["accuracy"]


def compare(rounds: int, shapes: Sequence[tuple[int, int]], longest: int) -> float:
    """Alternate the two on new batches; print a line a shape and return the smallest median."""
    sides = (ours(), sequential())
    for side in sides:
        side(batch(0, 8, 2, longest))
    differ: Counter[tuple[str, str, float | None, float | None]] = Counter()
    total, worst = 0, math.inf
    print("batch of          completions/s        ratio")
    print("groups x size     ours  sequential   median [min, max]")
    for shape, (size, groups) in enumerate(shapes):
        ratios, speeds = [], ([], [])  # type: tuple[list[float], tuple[list[float], list[float]]]
        for turn in range(rounds):
            columns = batch(1 + turn + 1000 * shape, size, groups, longest)
            order = (0, 1) if turn % 2 == 0 else (1, 0)
            found = {side: timed(sides[side], columns) for side in order}
            for side, (seconds, _) in found.items():
                speeds[side].append(size * groups / seconds)
            ratios.append(found[1][0] / found[0][0])
            total += size * groups
            pairs = zip(columns["solution"], columns["completions"], strict=True)
            for (gold, completion), *said in zip(pairs, found[0][1], found[1][1], strict=True):
                if said[0] != said[1]:
                    end = completion[0]["content"][-60:].partition("<answer>")[2].strip()
                    differ[gold, end.removesuffix("</answer>").strip(), *said] += 1
        median = statistics.median(ratios)
        worst = min(worst, median)
        fast, slow = map(statistics.median, speeds)
        spread = f"[{min(ratios):.1f}, {max(ratios):.1f}]"
        print(
            f"{groups:6} x {size:<6}{fast:9,.0f} {slow:9,.0f}  {median:8.1f} {spread}", flush=True
        )
    print(f"\nverdicts: {total - differ.total()} of {total} the same")
    for (gold, end, mine, theirs), count in differ.most_common(12):
        print(f"  {count} x gold {gold}: {end!r}: ours {mine}, sequential {theirs}")
    return worst


def first_batch(side: str) -> None:
    """In a process of its own: the first batch, imports included; prints the seconds."""
    columns = batch(7, 8, 8)
    start = time.perf_counter()
    if side == "ours, prepared":
        score = ours()
        time.sleep(LOADING_S)
        start = time.perf_counter()
    else:
        score = sequential() if side == "sequential" else ours(prepare=False)
    score(columns)
    print(json.dumps(time.perf_counter() - start))


def first_batches(rounds: int) -> None:
    sides = ("sequential", "ours, not prepared", "ours, prepared")
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds):
        for side in sides if turn % 2 == 0 else sides[::-1]:
            command = [sys.executable, "-m", "benchmarks.rewards", "--first", side]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[side].append(json.loads(done.stdout.splitlines()[-1]))
    print("\nfirst batch of a process, 8 x 8, seconds: median [min, max]")
    for side, found in seconds.items():
        print(f"{side:20}{statistics.median(found):6.2f} [{min(found):.2f}, {max(found):.2f}]")


def step() -> None:
    """Train the tiny model for a few steps; print where the time of a step went."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            *("trainer=grpo", f"rewards=[{','.join(NAMES)}]", "model=tiny", "hardware=cpu"),
            *("trainer.args.max_steps=5", "trainer.args.per_device_train_batch_size=32"),
            *("trainer.evaluation.enabled=false", "resume=never", f"output_dir={folder}"),
            *("tracking.register=false", "data.train_size=500"),
        ]
        command = [sys.executable, "-m", "r1lab", *overrides]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        metrics = json.loads(next(Path(folder).rglob("metrics.json")).read_text())
    shares = {name: value for name, value in metrics.items() if name.startswith("time/")}
    print("\nshares of a training step (tiny model, 32 completions, CPU):")
    for name, value in sorted(shares.items()):
        print(f"  {name:24}{value:8.2%}" if name.endswith("_share") else f"  {name:24}{value:8.3f}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rewards")
    parser.add_argument("--rounds", type=int, default=9, help="batches of each shape (9)")
    parser.add_argument("--quick", action="store_true", help="a smoke test: short and few")
    parser.add_argument("--step", action="store_true", help="also train, and print the shares")
    parser.add_argument("--first", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first:
        first_batch(options.first)
        return 0
    if options.quick:
        compare(2, SHAPES[:1], longest=400)
        return 0
    worst = compare(options.rounds, SHAPES, TOKENS[1])
    first_batches(max(1, options.rounds // 2))
    if options.step:
        step()
    print(f"\nat least {GOAL:.0f} times as fast: {'yes' if worst >= GOAL else 'no'} ({worst:.1f})")
    return 0 if worst >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
