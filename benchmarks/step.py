"""A training step through r1lab against TRL's own trainer doing the same work.

    python -m benchmarks.step [--kind sft|grpo] [--control]

Two processes train the same tiny model on the same rows with the same arguments, seed and rewards.
One calls r1lab's worker code (`r1lab.run.run`, with MLflow in SQLite, the metrics' lines and the
completions' tables), the other builds `trl.SFTTrainer` or `trl.GRPOTrainer` itself, without
callbacks or reports. They take turns, a block of steps each, in the order A B, B A, A B, ..., and a
machine that slows down slows both. Every logged number that says what was computed (loss, gradient
norm, reward, length) must be equal, step by step, or there is no ratio.

A block's time is from the start of its first step to the start of the next block's first: the data
loader, the optimizer, the callbacks and the log are inside. What r1lab writes on a background
thread is waited for inside its own block, so that it can neither spill into the other's turn nor go
uncounted: the ratio is an upper bound. CPU seconds are those of all threads of the process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

GOAL = 1.02
RESAMPLES = 10_000
#: What r1lab's parent sets for a worker on a CPU; here for both sides.
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "CUDA_VISIBLE_DEVICES": "",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "TOKENIZERS_PARALLELISM": "false",
}
#: Equal on both sides, where they are logged.
COMPARED = (
    *("loss", "grad_norm", "learning_rate", "num_tokens", "mean_token_accuracy", "entropy"),
    *("reward", "reward_std", "kl", "completions/mean_length"),
)
PARTS = ("generate", "reward", "update")


@dataclass(frozen=True)
class Setting:
    """What one comparison trains: Hydra overrides, and blocks of how many steps."""

    overrides: tuple[str, ...]
    blocks: int
    steps: int


SETTINGS = {
    "sft": Setting(("trainer=sft", "data.train_size=6400"), blocks=9, steps=8),
    "grpo": Setting(
        (
            *("trainer=grpo", "rewards=[accuracy,cosine]", "data.train_size=2000"),
            "trainer.args.per_device_train_batch_size=32",
            # Twice as often as by default: every block has its table.
            "callbacks.completions.every_steps=5",
        ),
        blocks=9,
        steps=5,
    ),
}
#: For both: nothing between two steps that is no step (evaluations, checkpoints).
COMMON = (
    *("hardware=cpu", "model=tiny", "resume=never", "tracking.register=false"),
    *("trainer.evaluation.enabled=false", "+trainer.args.save_strategy=no"),
)


@dataclass(frozen=True)
class Block:
    """What a side did in one turn; ``logs`` has an entry a step."""

    seconds: float
    cpu: float
    logs: list[dict[str, float]]


class Finished(Exception):
    """Raised inside a trainer to leave it when all blocks are done."""


class Side:
    """A process that trains in turns; what it prints goes to a file."""

    def __init__(self, name: str, kind: str, setting: Setting, folder: Path):
        context = multiprocessing.get_context("spawn")
        self.name, self._log = name, folder / "log.txt"
        self._pipe, theirs = context.Pipe()
        arguments = (name, kind, setting, folder, self._log, theirs)
        folder.mkdir()
        self._process = context.Process(target=_train, args=arguments)
        self._process.start()
        theirs.close()

    def receive(self) -> Any:
        """Its next message; an error with the end of its log where it died instead."""
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join()
            end = "\n".join(self._log.read_text().splitlines()[-30:])
            raise SystemExit(f"{end}\nthe {self.name} side ended, see above") from None

    def turn(self) -> Block:
        """Let it run one block while the other waits."""
        self._pipe.send("go")
        block: Block = self.receive()
        return block

    def close(self) -> None:
        """Let it end (it raises :class:`Finished` inside), or end it."""
        if self._process.is_alive():
            with suppress(BrokenPipeError):
                self._pipe.send("stop")
        self._process.join(60)
        if self._process.is_alive():
            self._process.kill()


def _train(
    name: str, kind: str, setting: Setting, folder: Path, log: Path, pipe: Connection
) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from r1lab.compose import compose, resolve

    most = f"trainer.args.max_steps={setting.blocks * setting.steps + 1}"
    config = resolve(compose([*setting.overrides, *COMMON, most, f"output_dir={folder}"]))
    _take_turns(kind, setting, pipe)
    try:
        if name.startswith("r1lab"):
            through_r1lab(config, folder)
        else:
            plain_trl(config, folder)
    except Finished:
        pipe.close()


def through_r1lab(config: dict[str, Any], folder: Path, device: str = "cpu") -> None:
    """What ``python -m r1lab`` starts in its worker process."""
    from r1lab.run import run
    from r1lab.start import check
    from r1lab.worker import StopRequest, set_up_logging

    check(config)
    set_up_logging(folder, config["log_level"])
    facts = {
        "dir": str(folder),
        "name": "benchmark",
        "run_id": None,
        "attempt": 1,
        "checkpoint": None,
        "deepspeed_file": None,
        "engine_url": None,
        "command": "python -m benchmarks.step",
        "device": device,
    }
    run({"config": config, "plan": {}, "run": facts}, StopRequest())


def plain_trl(config: dict[str, Any], folder: Path, device: str = "cpu") -> None:
    """TRL's trainer with the same model, rows and rewards; nothing else of r1lab."""
    from transformers import set_seed
    from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

    from r1lab import targets
    from r1lab.data.build import build_data
    from r1lab.launch.settings import precision
    from r1lab.models.load import load
    from r1lab.rewards.build import build_rewards

    set_seed(config["seed"])
    kind = config["trainer"]["kind"]
    rewards, weights = build_rewards(config["rewards"])
    data = build_data(targets.build(config["data"]), kind, need_solution=kind == "grpo")
    loaded = load(config["model"], device)
    settings = {
        **config["trainer"]["args"],
        "output_dir": str(folder),
        "seed": config["seed"],
        "report_to": [],
        "use_cpu": device == "cpu",
        "bf16": precision(config["hardware"]["mixed_precision"], device) == "bf16",
    }
    if kind == "sft":
        trainer = SFTTrainer(
            model=loaded.model,
            args=SFTConfig(**settings),
            train_dataset=data.train,
            processing_class=loaded.tokenizer,
        )
    else:
        trainer = GRPOTrainer(
            model=loaded.model,
            reward_funcs=list(rewards),
            args=GRPOConfig(**settings, reward_weights=weights, remove_unused_columns=False),
            train_dataset=data.train,
            processing_class=loaded.tokenizer,
        )
    trainer.train()


def _take_turns(kind: str, setting: Setting, pipe: Connection) -> None:
    """Make TRL's trainer, which r1lab's derives from, wait for its turn before each block."""
    from trl import GRPOTrainer, SFTTrainer

    trainer_class = SFTTrainer if kind == "sft" else GRPOTrainer
    original = trainer_class.training_step
    step, start, cpu = 0, 0.0, 0.0

    def training_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal step, start, cpu
        if step % setting.steps == 0:
            if step:
                wait_for_tracker(self)
                seconds, used = time.perf_counter() - start, time.process_time() - cpu
                pipe.send(Block(seconds, used, _numbers(self.state.log_history[-setting.steps :])))
            else:
                pipe.send("ready")
            if pipe.recv() == "stop":
                raise Finished
            start, cpu = time.perf_counter(), time.process_time()
        step += 1
        return original(self, *args, **kwargs)

    trainer_class.training_step = training_step


def wait_for_tracker(trainer: Any) -> None:
    from r1lab.callbacks.metrics import Metrics

    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, Metrics):
            callback.run.tracker.flush()


def _numbers(logs: list[dict[str, Any]]) -> list[dict[str, float]]:
    wanted = (*COMPARED, *(f"time/{part}_s" for part in PARTS))
    return [{key: float(log[key]) for key in wanted if key in log} for log in logs]


def compare(kind: str, setting: Setting, names: tuple[str, str]) -> bool:
    """Run both sides in turns and print what they took; whether the ratio is within the goal."""
    first, second = names
    with tempfile.TemporaryDirectory(prefix="r1lab-step-") as temporary:
        sides = {name: Side(name, kind, setting, Path(temporary) / name) for name in names}
        blocks: dict[str, list[Block]] = {name: [] for name in names}
        try:
            for side in sides.values():
                assert side.receive() == "ready"
            for number in range(setting.blocks):
                for name in names if number % 2 == 0 else names[::-1]:
                    blocks[name].append(sides[name].turn())
                _must_be_equal(kind, number * setting.steps, *(blocks[name][-1] for name in names))
        finally:
            for side in sides.values():
                side.close()
    blocks = {name: done[1:] for name, done in blocks.items()}  # the first one warms up

    batch = "64 rows" if kind == "sft" else "32 completions"
    measured = (setting.blocks - 1) * setting.steps
    print(f"\n{kind}: {measured} steps of {batch} a side, in blocks of {setting.steps}")
    for name in names:
        wall = statistics.median(block.seconds for block in blocks[name]) / setting.steps
        used = statistics.median(block.cpu for block in blocks[name]) / setting.steps
        print(f"  {name:<14} {wall:.4f} s/step   CPU {used:.4f} s/step")
    met = True
    for what in ("seconds", "cpu"):
        pairs = zip(blocks[first], blocks[second], strict=True)
        ratios = [getattr(a, what) / getattr(b, what) for a, b in pairs]
        low, high = interval(ratios)
        ratio = statistics.median(ratios)
        label = "time" if what == "seconds" else "CPU time"
        print(f"  {label} {first} / {second}: {ratio:.4f}  [{low:.4f}, {high:.4f}]")
        met &= what != "seconds" or ratio <= GOAL
    _print_parts(blocks[first])
    losses = "equal at every step: " + ", ".join(
        key for key in COMPARED if key in blocks[first][0].logs[0]
    )
    print(f"  {losses}")
    print(f"  goal: at most {GOAL}: {'met' if met else 'missed'}")
    return met


def _print_parts(blocks: Sequence[Block]) -> None:
    logs = [log for block in blocks for log in block.logs]
    found = [part for part in PARTS if f"time/{part}_s" in logs[0]]
    if found:
        medians = {part: statistics.median(log[f"time/{part}_s"] for log in logs) for part in found}
        print("  of r1lab's step: " + ", ".join(f"{k} {v:.4f} s" for k, v in medians.items()))


def _must_be_equal(kind: str, before: int, mine: Block, theirs: Block) -> None:
    for offset, (a, b) in enumerate(zip(mine.logs, theirs.logs, strict=True), start=1):
        for key in COMPARED:
            if a.get(key) != b.get(key) or "loss" not in a:
                different(f"{kind}, step {before + offset}: {key} {a.get(key)} and {b.get(key)}")


def different(what: str) -> NoReturn:
    """No ratio can be given: the two sides did different work."""
    raise SystemExit(f"the two sides differ, so their times say nothing: {what}")


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """A 95% bootstrap interval of the median, over pairs of blocks."""
    draw = random.Random(0)
    medians = sorted(
        statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)
    )
    return medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]


def main() -> int:
    """Compare SFT and GRPO; the exit code is 1 where a ratio is over the goal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kind", choices=sorted(SETTINGS), action="append", help="only this one")
    parser.add_argument("--blocks", type=int, help="turns a side, the first of which warms up")
    parser.add_argument(
        "--control", action="store_true", help="TRL against itself: what the machine's noise does"
    )
    given = parser.parse_args()
    names = ("TRL-again", "TRL") if given.control else ("r1lab", "TRL")
    os.environ.update({key: os.environ.get(key, value) for key, value in ENVIRONMENT.items()})
    met = True
    started = time.perf_counter()
    for kind in given.kind or list(SETTINGS):
        setting = SETTINGS[kind]
        blocks = given.blocks or setting.blocks
        met &= compare(kind, Setting(setting.overrides, blocks, setting.steps), names)
    print(
        f"\n{time.perf_counter() - started:.0f} s in all; {os.cpu_count()} cores, "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    return 0 if met or given.control else 1


if __name__ == "__main__":
    sys.exit(main())
