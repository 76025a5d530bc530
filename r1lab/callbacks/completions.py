"""The step's completions with their rewards, as a table in MLflow (TRL gives MLflow none)."""

from __future__ import annotations

import math
from typing import Any

from r1lab.callbacks.base import Callback
from r1lab.errors import ConfigError, Problem


class Completions(Callback):
    """Log what the model wrote: prompt, completion, reward by function, total, advantage, the
    tokens that were generated, and the columns that the rewards read.

    Reads ``trainer._logs`` of TRL's GRPOTrainer (1.16), which holds the last generation batch of
    all ranks. A batch that is trained on for several steps is logged once.
    ``python -m r1lab rewards score RUN`` reads these tables.

    every_steps: log at steps divisible by it, 0 for never. max_rows: rows a table.
    unique_prompts: one completion a prompt. num_to_print: rows that are also printed, 0 for none.
    """

    def __init__(
        self,
        every_steps: int = 10,
        max_rows: int = 64,
        unique_prompts: bool = True,
        num_to_print: int = 0,
    ):
        lowest = {"every_steps": (every_steps, 0), "max_rows": (max_rows, 1)}
        lowest["num_to_print"] = (num_to_print, 0)
        problems = [
            Problem(f"callbacks.completions.{name}", value, "is too small", f"set {least} or more")
            for name, (value, least) in lowest.items()
            if value < least
        ]
        if problems:
            raise ConfigError(problems)
        self.every_steps = every_steps
        self.max_rows = max_rows
        self.unique_prompts = unique_prompts
        self.num_to_print = num_to_print
        self._last: Any = None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Not on_log: an evaluation in between fills the same buffers with its own completions.
        if not state.is_world_process_zero or not self.every_steps:
            return
        if state.global_step % self.every_steps:
            return
        logs = getattr(self.run.trainer, "_logs", None)
        if not logs or not logs["completion"] or logs["completion"][-1] is self._last:
            return
        self._last = logs["completion"][-1]
        rows = self._rows(logs, state.global_step)
        self.run.tracker.log_table(rows, f"completions/step_{state.global_step:06d}.json")
        if self.num_to_print:
            self._print(rows[: self.num_to_print], state.global_step)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs = getattr(self.run.trainer, "_logs", None)
        if logs and logs["completion"]:
            self._last = logs["completion"][-1]  # the evaluation's, not a step's

    def _rows(self, logs: Any, step: int) -> list[dict[str, Any]]:
        rewards = {name: list(values) for name, values in logs["rewards"].items()}
        extra = {name: list(values) for name, values in (logs.get("extra") or {}).items()}
        weights = self._weights(list(rewards))
        advantages = list(logs["advantages"])
        rows: list[dict[str, Any]] = []
        seen: set[str] = set()
        for i, (prompt, completion) in enumerate(
            zip(logs["prompt"], logs["completion"], strict=True)
        ):
            question = _text(prompt)
            if self.unique_prompts and question in seen:
                continue
            seen.add(question)
            answer = _text(completion)
            scores = {name: _number(values[i]) for name, values in rewards.items()}
            applicable = [(weights[k], v) for k, v in scores.items() if v is not None]
            row: dict[str, Any] = {"step": step, "prompt": question, "completion": answer}
            row |= {f"reward/{name}": value for name, value in scores.items()}
            row["reward"] = sum(w * v for w, v in applicable) if applicable else None
            row["advantage"] = _number(advantages[i])
            row |= {name: values[i] for name, values in extra.items() if i < len(values)}
            rows.append(row)
            if len(rows) == self.max_rows:
                break
        return rows

    def _weights(self, names: list[str]) -> dict[str, float]:
        weights = getattr(self.run.trainer, "reward_weights", None)
        order = getattr(self.run.trainer, "reward_func_names", names)
        if weights is None:
            return dict.fromkeys(names, 1.0)
        return {name: float(weight) for name, weight in zip(order, weights, strict=True)}

    def _print(self, rows: list[dict[str, Any]], step: int) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        from r1lab.secrets import redact_text

        table = Table(title=f"step {step}", show_lines=True, expand=True)
        shown = ("advantage", "completion_tokens")
        scores = [k for k in rows[0] if k.startswith("reward") or k in shown]
        for name in ["prompt", "completion"]:
            table.add_column(name, overflow="fold")
        for name in scores:
            table.add_column(name.removeprefix("reward/"), justify="right")
        for row in rows:
            texts = [Text(redact_text(row[name])) for name in ("prompt", "completion")]
            table.add_row(*texts, *(_shown(row[name]) for name in scores))
        Console().print(table)


def _text(message: Any) -> str:
    """A string as it is; a conversation as its last user turn's, or its only message's, content."""
    if isinstance(message, str):
        return message
    turns = [turn for turn in message if turn.get("role") != "system"]
    if len(turns) == 1:
        return _content(turns[0])
    return "\n\n".join(f"{turn.get('role')}: {_content(turn)}" for turn in turns)


def _content(turn: dict[str, Any]) -> str:
    content = turn.get("content")
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join(part.get("text") or f"[{part.get('type')}]" for part in content)


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
