"""The formats of the data that a generation makes: a group's rows, and the types of their columns.

- ``messages``: a row a sample, the conversation with its answer; for SFT.
- ``prompt_solution``: a row a prompt, with the gold and the pass rate; for GRPO.
- ``raw``: a row a prompt with all its answers, as distilabel groups them.

Each has further columns that people ask for afterwards: source row, model, tokens, scores, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from r1lab.errors import ConfigError, Problem, suggest
from r1lab.generation.steps.base import Group, Sample

if TYPE_CHECKING:
    import pyarrow

FORMATS = ("messages", "prompt_solution", "raw")
#: Columns that hold one value for each sample; lists in the raw format.
_EACH = ("sample", "correct", "finish_reason", "prompt_tokens", "completion_tokens")
#: A reward's column is called so, and then as the reward.
SCORE = "score_"
#: What a column of the data may not be called in the result: it is ``data_NAME`` there.
_OURS = {"messages", "prompt", "instruction", "generations", "solution", "pass_rate", "row"}
_OURS |= {"model", "asked", "samples", *_EACH}


@dataclass(frozen=True)
class Form:
    """What rows look like, and which are held out.

    ``test_size``: prompts, or a share below 1. Which prompts those are depends on their texts and
    ``seed`` alone: a share holds out the same ones however many there are, and a prompt is never in
    both splits. ``keep_columns`` are the data's own columns.
    """

    format: str = "messages"
    test_size: float = 0
    seed: int = 0
    keep_columns: Sequence[str] = ()
    has_gold: bool = True
    model: str | None = None


def check(format: str, has_gold: bool) -> list[Problem]:
    """What is wrong before anything is asked."""
    if format not in FORMATS:
        return [
            Problem("generate.format", format, "is not a choice", suggest(str(format), FORMATS))
        ]
    if format == "prompt_solution" and not has_gold:
        fix = "name the gold's column in data.columns.solution, or choose another format"
        said = "needs a solution, and the data has none"
        return [Problem("generate.format", format, said, fix)]
    return []


def rows_of(group: Group, form: Form) -> list[dict[str, Any]]:
    """A group's rows; none without a sample, or without the gold that the format needs."""
    return list(_ROWS[form.format](group, form))


def _messages(group: Group, form: Form) -> Iterator[dict[str, Any]]:
    for sample in group.samples:
        answer = {"role": "assistant", "content": sample.answer.whole()}
        messages = {"messages": [*group.prompt.messages, answer]}
        yield messages | _of_prompt(group, form) | _of_sample(sample) | _kept(group, form)


def _prompt_solution(group: Group, form: Form) -> Iterator[dict[str, Any]]:
    if group.prompt.gold is None or not group.samples:
        return
    counts = {"asked": group.asked, "samples": len(group.samples)}
    prompt = {"prompt": group.prompt.messages}
    yield prompt | _of_prompt(group, form) | counts | _kept(group, form)


def _raw(group: Group, form: Form) -> Iterator[dict[str, Any]]:
    if not group.samples:
        return
    each = [_of_sample(sample) for sample in group.samples]
    names = dict.fromkeys(name for row in each for name in row)
    lists = {name: [row.get(name) for row in each] for name in names}
    users = [turn["content"] for turn in group.prompt.messages if turn["role"] == "user"]
    texts = {
        "instruction": users[-1] if users else None,
        "generations": [sample.answer.whole() for sample in group.samples],
    }
    yield texts | _of_prompt(group, form) | lists | _kept(group, form)


def _of_prompt(group: Group, form: Form) -> dict[str, Any]:
    gold = {"solution": group.prompt.gold} if form.has_gold else {}
    facts = {"pass_rate": group.pass_rate, "row": group.prompt.row, "model": form.model}
    return gold | facts


def _of_sample(sample: Sample) -> dict[str, Any]:
    answer = sample.answer
    return {
        "sample": sample.number,
        "correct": sample.correct,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        **{f"{SCORE}{name}": value for name, value in sample.scores.items()},
    }


def _kept(group: Group, form: Form) -> dict[str, Any]:
    return {
        f"data_{name}" if name in _OURS or name.startswith(SCORE) else name: (
            group.prompt.values.get(name)
        )
        for name in form.keep_columns
    }


_ROWS: dict[str, Callable[[Group, Form], Iterator[dict[str, Any]]]] = {
    "messages": _messages,
    "prompt_solution": _prompt_solution,
    "raw": _raw,
}


def schema_of(rows: list[dict[str, Any]], form: Form) -> pyarrow.Schema:
    """The types: ours are known, the data's own are as they come in the first rows."""
    import pyarrow

    text, whole, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    turns = pyarrow.list_(pyarrow.struct([("role", text), ("content", text)]))
    types = {
        **dict.fromkeys(("messages", "prompt"), turns),
        **dict.fromkeys(("solution", "instruction", "model", "finish_reason"), text),
        **dict.fromkeys(("row", "asked", "samples", "sample"), whole),
        **dict.fromkeys(("prompt_tokens", "completion_tokens"), whole),
        "pass_rate": real,
        "correct": pyarrow.bool_(),
        "generations": pyarrow.list_(text),
    }
    fields = []
    for name in dict.fromkeys(name for row in rows for name in row):
        score = name.startswith(SCORE)
        kind = real if score else types.get(name) or _kind(name, rows)
        if form.format == "raw" and (score or name in _EACH):
            kind = pyarrow.list_(kind)
        fields.append(pyarrow.field(name, kind))
    return pyarrow.schema(fields)


def table_of(rows: list[dict[str, Any]], schema: pyarrow.Schema) -> pyarrow.Table:
    """The rows in these types; ConfigError names the column whose values have others."""
    import pyarrow

    names = set(schema.names)
    late = next((row.keys() - names for row in rows if not names.issuperset(row)), None)
    if late:  # pyarrow would leave them out without a word
        raise ValueError(f"columns that the first rows did not have: {', '.join(sorted(late))}")
    try:
        return pyarrow.Table.from_pylist(rows, schema)
    except UnicodeEncodeError:  # half of a pair, as JSON can spell it
        return pyarrow.Table.from_pylist([_encodable(row) for row in rows], schema)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise ConfigError(_mixed(rows, schema, error)) from error


def _mixed(rows: list[dict[str, Any]], schema: pyarrow.Schema, error: Exception) -> Problem:
    """The column that is to blame: only the data's own are of types that we do not know."""
    import pyarrow

    for name in schema.names:
        try:
            pyarrow.array([row.get(name) for row in rows], schema.field(name).type)
        except (pyarrow.ArrowException, TypeError, ValueError) as found:
            said = f"was {schema.field(name).type} at first, but: {str(found).splitlines()[0]}"
            fix = "leave it out of generate.keep_columns, or give it one type in the data"
            return Problem("generate.keep_columns", name, said, fix)
    raise error


def _kind(name: str, rows: list[dict[str, Any]]) -> pyarrow.DataType:
    import pyarrow

    try:
        kind = pyarrow.array([_encodable(row.get(name)) for row in rows]).type
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        said = f"has several types: {str(error).splitlines()[0]}"
        fix = "leave it out of generate.keep_columns, or give it one type in the data"
        raise ConfigError(Problem("generate.keep_columns", name, said, fix)) from error
    return pyarrow.string() if pyarrow.types.is_null(kind) else kind


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {key: _encodable(each) for key, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list) else value
