"""From the data's own columns to the rows that a trainer takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from r1lab.data import conversation as chat
from r1lab.data.source import Source

if TYPE_CHECKING:
    from datasets import Dataset

#: Names that mean something else to TRL's trainers: a data column may not have them.
RESERVED = {
    *("prompt", "prompts", "completion", "completions", "messages", "completion_ids", "chosen"),
    *("rejected", "trainer_state", "log_extra", "log_metric", "image", "images", "tools"),
}
ROLES = {"prompt", "solution", "messages", "completion", "system", "system_prompt", "answer_format"}
HIDDEN = {"messages", "completion", "system", "system_prompt", "answer_format"}


def row_columns(source: Source, raw: set[str]) -> set[str]:
    """Return the columns that a GRPO row of data with these ``raw`` columns will have."""
    ours = {role for role, name in source.columns.items() if name in raw}
    renamed = {name for role, name in source.columns.items() if role not in ROLES and name != role}
    absent = {role for role, name in source.columns.items() if name is None}
    return {"prompt"} | (ours - HIDDEN) | (raw - RESERVED - absent - renamed)


def values(source: Source, rows: Dataset) -> Iterator[dict[str, Any]]:
    """Yield each row's values under our names, reading only the columns that have a role."""
    names = {role: name for role, name in source.columns.items() if name and role in ROLES}
    wanted = rows.select_columns(list(dict.fromkeys(names.values())))
    for batch in wanted.iter(batch_size=1000):
        for index in range(len(next(iter(batch.values())))):
            yield {role: batch[name][index] for role, name in names.items()}


def answer_format_of(source: Source, row: dict[str, Any]) -> str | None:
    return row.get("answer_format", source.answer_format)


def make(source: Source, rows: Dataset, kind: str) -> Dataset:
    """Return the rows in the trainer's form."""
    from datasets import Features, Value

    text = Value("string")
    turns = [{"role": text, "content": text}]
    row_of = _sft_row if kind == "sft" else _grpo_row
    features: dict[str, Any] = {}
    if kind == "sft" and source.column("messages"):
        features["messages"] = turns
    else:
        features["prompt"] = turns
        if kind == "sft":
            features["completion"] = turns
        elif source.column("solution"):
            features["solution"] = text
    if kind == "grpo":
        absent = {role for role, name in source.columns.items() if name is None}
        extra = {role: name for role, name in source.columns.items() if name and role not in ROLES}
        hidden = {source.column(role) for role in HIDDEN} | {None}
        for name in rows.column_names:
            if name not in RESERVED | absent | hidden and name not in features:
                features[name] = rows.features[name]
        for role, name in extra.items():
            if role not in features:
                features[role] = rows.features[name]
            if name != role and name in features:
                del features[name]
    names = {role: name for role, name in source.columns.items() if name}
    made = rows.map(
        lambda row: row_of(source, {role: row[name] for role, name in names.items()}),
        remove_columns=[name for name in rows.column_names if name not in features],
        features=Features(features),
        load_from_cache_file=False,
    )
    return made.select_columns(list(features))


def _grpo_row(source: Source, row: dict[str, Any]) -> dict[str, Any]:
    made = {role: value for role, value in row.items() if role not in ROLES}
    made["prompt"] = chat.prompt_of(row.get("prompt", row.get("messages")), system_of(source, row))
    if "solution" in row:
        text = chat.text_of(row["solution"])
        made["solution"] = text and chat.final_answer(text, answer_format_of(source, row))
    return made


def _sft_row(source: Source, row: dict[str, Any]) -> dict[str, Any]:
    if "messages" in row:
        messages = chat.conversation(row["messages"])
        assert messages is not None  # sifted
        return {"messages": chat.with_system(messages, row.get("system"))}
    given = row["completion"] if "completion" in row else row["solution"]
    return {
        "prompt": chat.prompt_of(row["prompt"], system_of(source, row)),
        "completion": [{"role": "assistant", "content": chat.text_of(given)}],
    }


def system_of(source: Source, row: dict[str, Any]) -> str | None:
    """Return a row's system prompt: the source's, else its mixture entry's, else the data's."""
    return source.system_text() or row.get("system_prompt") or row.get("system")
