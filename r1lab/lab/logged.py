"""The completions that a run logged: MLflow's tables by step, and its held-out answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from r1lab import rundir
from r1lab.errors import ConfigError, Problem, suggest
from r1lab.lab.command import Request, check_rewards, composed, warn
from r1lab.lab.rows import ListedRows, Rows
from r1lab.models.load import load_tokenizer, resolve_id
from r1lab.models.turns import prefill
from r1lab.record import completions, sqlite_store

TABLES = "completions"
#: What a run writes beside a completion that is no column of the data.
_NOT_COLUMNS = ("advantage", "reward", "correct", "truncated", "problem")


def open_run(path: Path, request: Request) -> tuple[Rows, dict[str, Any], str]:
    """The rows, the config to score them with, and what the chat template began each answer with.

    ``path`` is a run's folder, or one of its ``evaluation/*.parquet``. The rewards and the model
    are the run's, changed by ``rewards.NAME...`` overrides; any other override composes anew.
    """
    folder = path.parent.parent if path.is_file() else path
    plan = _plan(folder)
    config = _config(plan["config"], request)
    if path.is_file():
        rows = _held_out(folder, path.stem)
    else:
        rows = _chosen(folder, plan, request.values.get("--from"))
    return ListedRows(str(path), rows), config, _prefill(config, rows)


def _plan(folder: Path) -> dict[str, Any]:
    try:
        plan: dict[str, Any] = json.loads((folder / "plan.json").read_text())
    except OSError:
        message = "is no run's folder: it holds no plan.json"
        fix = "give outputs/NAME of a run that was started, or a .jsonl file"
        raise ConfigError(Problem("FILE", str(folder), message, fix)) from None
    except ValueError as error:
        message = f"plan.json cannot be read: {error}"
        raise ConfigError(Problem("FILE", str(folder), message, "start the run again")) from None
    return plan


def _config(own: dict[str, Any], request: Request) -> dict[str, Any]:
    inside = [item for item in request.overrides if item.startswith("rewards.")]
    if len(inside) == len(request.overrides) and own.get("rewards"):
        config = OmegaConf.create({"rewards": own["rewards"]})
        config.merge_with_dotlist(inside)
        changed = OmegaConf.to_container(config)
        assert isinstance(changed, dict)
        merged = {**own, **{str(key): value for key, value in changed.items()}}
        problems = check_rewards(merged)
        if problems:
            raise ConfigError(problems)
        return merged
    found = composed(request, check_rewards)
    if not any(item.startswith("model") for item in request.overrides):
        found["model"] = own["model"]
    return found


def _chosen(folder: Path, plan: Mapping[str, Any], asked: str | None) -> list[dict[str, Any]]:
    known = [path.stem for path in sorted((folder / "evaluation").glob("*.parquet"))]
    if asked is None or asked == TABLES:
        rows = _tables(folder, plan)
        if rows or asked == TABLES or "heldout" not in known:
            if not rows:
                message = "logged no tables of completions"
                fix = "score another run, with callbacks=[completions]"
                raise ConfigError(Problem("FILE", str(folder), message, fix))
            return rows
        warn(f"{folder} logged no tables of completions: its held-out answers are scored")
        asked = "heldout"
    if asked not in known:
        fix = suggest(asked, [TABLES, *known])
        raise ConfigError(Problem("--from", asked, "is nothing that this run wrote", fix))
    return _held_out(folder, asked)


def _tables(folder: Path, plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    tracking = plan["config"]["tracking"]
    run_id = rundir.read_status(folder).get("run_id") or plan["run"].get("run_id")
    if not tracking["mlflow"] or not run_id:
        return []
    uri = tracking["uri"] or sqlite_store.default_uri(folder.parent)
    found = completions.tables(uri, tracking["experiment"], run_id)
    rows = [
        _row(row, f"{table}/{number}", table)
        for table, logged in found.items()
        for number, row in enumerate(logged)
    ]
    cut = {name for row in rows for name, value in row.items() if _is_cut(value)}
    if cut:
        warn(f"too long to have been logged: {', '.join(sorted(cut))}")
    return [{name: value for name, value in row.items() if not _is_cut(value)} for row in rows]


def _is_cut(value: Any) -> bool:
    """Whether the run wrote down only how long a value was."""
    return isinstance(value, str) and bool(re.fullmatch(r"\[\d+ characters, not logged\]", value))


def _held_out(folder: Path, name: str) -> list[dict[str, Any]]:
    import pandas

    try:
        frame = pandas.read_parquet(folder / "evaluation" / f"{name}.parquet")
    except (OSError, ValueError) as error:
        fix = "give one of the run's evaluation/*.parquet"
        raise ConfigError(Problem("FILE", name, f"cannot be read: {error}", fix)) from None
    rows = json.loads(frame.to_json(orient="records"))
    return [_row(row, f"{name}/{number}", row.get("problem")) for number, row in enumerate(rows)]


def _row(logged: Mapping[str, Any], identity: str, group: Any) -> dict[str, Any]:
    """A logged row as a row of a file: lengths under their name, no metrics of the run's."""
    row = {
        name: value
        for name, value in logged.items()
        if name not in _NOT_COLUMNS and not name.startswith("reward/")
    }
    for old in ("tokens", "length"):
        tokens = row.pop(old, None)
        if row.get("completion_tokens") is None and isinstance(tokens, int):
            row["completion_tokens"] = tokens
    row.setdefault("id", identity)
    if row.get("group") is None:
        row["group"] = f"{group}: {row.get('prompt')}"
    elif "step" in row:  # groups are numbered by step
        row["group"] = f"{row['step']}: {row['group']}"
    return row


def _prefill(config: Mapping[str, Any], rows: list[dict[str, Any]]) -> str:
    """What the chat template wrote of every answer; loading the tokenizer imports transformers.

    It can be told from the rows when it is none: no template writes a tag that a completion does.
    """
    if any("<think>" in str(row["completion"]) for row in rows):
        return ""
    if not any("</think>" in str(row["completion"]) for row in rows):
        return ""
    kwargs = config["trainer"]["args"].get("chat_template_kwargs")
    kwargs = json.loads(kwargs) if isinstance(kwargs, str) else kwargs
    return prefill(load_tokenizer(config["model"], resolve_id(config["model"]["id"])), kwargs)
