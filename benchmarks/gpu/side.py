"""A process that trains in turns on the device, through r1lab or through plain TRL.

As in :mod:`benchmarks.step`, whose code the training is: a block of steps a turn, from the start of
its first step to the start of the next block's, what r1lab writes in the background waited for.
Here the device is waited for too, at both ends, and tokens and memory are counted.

All sides are forked from one server that has imported torch and TRL, where that server has not
touched CUDA (which a fork does not survive); else each imports them anew.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from benchmarks.gpu.arithmetic import synchronize
from benchmarks.step import COMPARED, PARTS, Finished, plain_trl, through_r1lab, wait_for_tracker

#: What vLLM's tokens were given by it, and by the trainer: TRL's mean absolute difference.
VLLM_DIFFERENCE = "sampling/sampling_logp_difference/mean"


class Failed(Exception):
    """A side, or another process of the benchmark, ended without what it was asked for."""


@dataclass(frozen=True)
class Spec:
    """What a side trains. ``gradients`` is a file for the loss's gradients at the first step."""

    config: dict[str, Any]
    device: str
    steps: int
    plain: bool = False
    gradients: Path | None = None


@dataclass(frozen=True)
class Turn:
    """What a side did in one turn. ``lengths`` are the real tokens of each trained sequence,
    ``width`` all tokens that the model was given, ``completions`` the generated ones' lengths;
    ``logs`` has an entry a step. ``peak_bytes`` is the most that torch held since the start."""

    seconds: float
    lengths: list[int]
    width: int
    completions: list[int]
    logs: list[dict[str, float]]
    peak_bytes: int | None


@dataclass
class _Counts:
    """Tensors of the block's lengths: reading them would make the device's work wait."""

    lengths: list[Any] = field(default_factory=list)
    completions: list[Any] = field(default_factory=list)
    width: int = 0

    def read(self, tensors: list[Any]) -> list[int]:
        return [int(length) for tensor in tensors for length in tensor.tolist()]


class Side:
    """The parent's end of a side; every wait has an end, after which the side is killed."""

    def __init__(self, name: str, spec: Spec, folder: Path, context: BaseContext):
        folder.mkdir(parents=True)
        self.name, self.spec, self._log = name, spec, folder / "log.txt"
        self._pipe, theirs = context.Pipe()
        arguments = (spec, folder, self._log, theirs)
        self._process = context.Process(target=_train, args=arguments)  # type: ignore[attr-defined]
        self._process.start()
        theirs.close()
        self._is_ready = False

    def ready(self, seconds: float) -> None:
        """Wait until its first step is about to begin, or return at once where it has begun."""
        if not self._is_ready:
            self._receive(seconds)
            self._is_ready = True

    def turn(self, seconds: float) -> Turn:
        """Let it run one block while the others wait."""
        self._pipe.send("go")
        turn: Turn = self._receive(seconds)
        return turn

    def _receive(self, seconds: float) -> Any:
        if not self._pipe.poll(max(seconds, 0)):
            raise Failed(f"{self.name}: no answer in {seconds:.0f} s")
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join()
            raise Failed(f"{self.name}: {self._last_words()}") from None

    def _last_words(self) -> str:
        text = self._log.read_text() if self._log.is_file() else ""
        if "OutOfMemoryError" in text or "out of memory" in text:
            return "out of memory"
        lines = [line for line in text.splitlines() if line.strip()]
        print("\n".join(lines[-25:]), flush=True)
        return lines[-1] if lines else f"ended with exit code {self._process.exitcode}"

    def close(self) -> None:
        """Let it end (it raises :class:`Finished` inside), or end it."""
        if self._process.is_alive():
            with suppress(BrokenPipeError):
                self._pipe.send("stop")
        self._process.join(20)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def call(
    context: BaseContext, function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float
) -> Any:
    """What ``function(*arguments)`` returns in a process of its own; Failed where it raises."""
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(function, arguments, theirs))  # type: ignore[attr-defined]
    process.start()
    theirs.close()
    try:
        if not ours.poll(max(seconds, 0)):
            raise Failed(f"{function.__name__}: no answer in {seconds:.0f} s")
        good, value = ours.recv()
    except EOFError:
        raise Failed(f"{function.__name__}: its process ended") from None
    finally:
        process.kill()
        process.join()
    if not good:
        raise Failed(f"{function.__name__}: {value}")
    return value


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...], pipe: Connection) -> None:
    try:
        pipe.send((True, function(*arguments)))
    except Exception as error:
        traceback.print_exc()
        pipe.send((False, f"{type(error).__name__}: {error}"))
    pipe.recv()  # killed here: what it printed and sent is out


def _train(spec: Spec, folder: Path, log: Path, pipe: Connection) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from r1lab.launch.settings import environment

    # What r1lab's parent sets for a worker; here for both sides.
    os.environ.update(environment(spec.config, spec.device))
    if spec.gradients:
        _be_deterministic()
    _take_turns(spec, pipe)
    train = plain_trl if spec.plain else through_r1lab
    try:
        train({**spec.config, "output_dir": str(folder)}, folder, spec.device)
    except Finished:
        pipe.close()


def _be_deterministic() -> None:
    """Two sides can then be compared to the last bits: else atomics add in any order."""
    import torch

    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True, warn_only=True)


def _take_turns(spec: Spec, pipe: Connection) -> None:
    """Make TRL's trainer, which r1lab's derives from, wait for its turn before each block."""
    from transformers import TrainerCallback
    from trl import GRPOTrainer, SFTTrainer

    grpo = spec.config["trainer"]["kind"] == "grpo"
    trainer_class = GRPOTrainer if grpo else SFTTrainer
    original, build = trainer_class.training_step, trainer_class.__init__
    counts, step, start = _Counts(), 0, 0.0

    class Turns(TrainerCallback):  # type: ignore[misc]
        """Before a step, not in it: r1lab times the step's parts."""

        def __init__(self, trainer: Any):
            self.trainer = trainer

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            nonlocal counts, step, start
            if step % spec.steps == 0:
                if step:
                    wait_for_tracker(self.trainer)
                    synchronize(spec.device)
                    pipe.send(_turn(self.trainer, counts, time.perf_counter() - start, spec))
                    counts = _Counts()
                else:
                    pipe.send("ready")
                if pipe.recv() == "stop":
                    raise Finished
                synchronize(spec.device)
                start = time.perf_counter()
            step += 1

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        self.add_callback(Turns(self))

    def training_step(self: Any, model: Any, inputs: Any, *others: Any) -> Any:
        if not grpo:
            _count_sft(counts, inputs)
        loss = original(self, model, inputs, *others)
        if spec.gradients and step == 1:
            _save_gradients(self, loss, spec.gradients)
        if grpo:  # else the backward pass would be timed as a part of what waits for it next
            synchronize(spec.device)
        return loss

    trainer_class.__init__, trainer_class.training_step = __init__, training_step
    if grpo:
        scored = GRPOTrainer._generate_and_score_completions

        def generate_and_score(self: Any, inputs: Any) -> Any:
            output = scored(self, inputs)
            prompts, completions = output["prompt_mask"], output["completion_mask"]
            counts.completions.append(completions.sum(1))
            counts.lengths.append(prompts.sum(1) + completions.sum(1))
            counts.width += prompts.numel() + completions.numel()
            return output

        GRPOTrainer._generate_and_score_completions = generate_and_score


def _count_sft(counts: _Counts, inputs: Any) -> None:
    counts.width += inputs["input_ids"].numel()
    if "attention_mask" in inputs:
        counts.lengths.append(inputs["attention_mask"].sum(1))
    else:  # flattened: where each sequence begins
        counts.lengths.append(inputs["cu_seq_lens_q"].diff())


def _turn(trainer: Any, counts: _Counts, seconds: float, spec: Spec) -> Turn:
    import torch

    wanted = (*COMPARED, *(f"time/{part}_s" for part in PARTS), VLLM_DIFFERENCE)
    logs = trainer.state.log_history[-spec.steps :]
    return Turn(
        seconds,
        counts.read(counts.lengths),
        counts.width,
        counts.read(counts.completions),
        [{key: float(log[key]) for key in wanted if key in log} for log in logs],
        torch.cuda.max_memory_allocated() if spec.device == "cuda" else None,
    )


def _save_gradients(trainer: Any, loss: Any, path: Path) -> None:
    """The first step's, before they are clipped, in float32."""
    import torch
    from safetensors.torch import save_file

    found = {
        name: p.grad.detach().float().cpu().contiguous()
        for name, p in trainer.model.named_parameters()
        if p.grad is not None
    }
    found["loss"] = torch.tensor([float(loss)])
    save_file(found, str(path))
