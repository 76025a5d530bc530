"""The sampled answers of one benchmark, as every evaluation keeps them.

A table has a row for each answer: ``question_id`` and ``sample`` say which it is, ``question`` is
the prompt as sent, ``strict`` the benchmark's own score of this one answer, ``lenient`` that of
r1lab's verifier, ``finish_reason`` is ``length`` for an answer that was cut off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
from numpy.typing import NDArray

from r1lab.errors import ConfigError, Problem
from r1lab.evaluation.statistics import Floats

if TYPE_CHECKING:
    from pandas import DataFrame

TABLE, SETTINGS = "samples.parquet", "settings.json"
CUT = "length"
SCORES = ("strict", "lenient")
_NEEDED = ("question_id", "sample", "text")


@dataclass(frozen=True)
class Samples:
    """One benchmark's answers as arrays of shape (questions, samples), in the table's order.

    ``scores`` has ``strict`` and ``lenient``, as far as they are known; NaN where an answer was not
    judged. ``truncated`` (1 for a cut answer) and ``tokens`` are NaN where nothing is known.
    ``texts`` is None where a question has fewer answers than another.
    """

    task: str
    ids: list[str]
    questions: list[str]
    golds: list[str]
    scores: dict[str, Floats]
    truncated: Floats
    tokens: Floats
    texts: NDArray[numpy.object_]
    settings: dict[str, Any]
    path: str = ""

    @property
    def most(self) -> int:
        """Samples a question, of the one that has the most."""
        return int(self.texts.shape[1])

    def only(self, rows: list[int]) -> Samples:
        """The same answers, to these questions, in this order."""
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            questions=[self.questions[row] for row in rows],
            golds=[self.golds[row] for row in rows],
            scores={name: values[rows] for name, values in self.scores.items()},
            truncated=self.truncated[rows],
            tokens=self.tokens[rows],
            texts=self.texts[rows],
        )

    def with_settings(self, settings: dict[str, Any]) -> Samples:
        return replace(self, settings=settings)


def read(folder: Path) -> Samples:
    """The answers and settings in a benchmark's folder."""
    import pandas

    table = folder / TABLE
    try:
        frame = pandas.read_parquet(table)
    except (OSError, ValueError) as error:
        fix = "evaluate again: answers that are in the journal are not asked for again"
        said = f"is no table that can be read ({str(error).splitlines()[0]})"
        raise ConfigError(Problem(str(table), None, said, fix)) from None
    return from_table(frame, read_settings(folder / SETTINGS), folder.name, str(table))


def read_settings(path: Path) -> dict[str, Any]:
    """What an evaluation was made with; empty where that was not recorded."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        fix = "evaluate again, which writes it anew"
        raise ConfigError(Problem(str(path), None, f"is no JSON: {error}", fix)) from None
    return found if isinstance(found, dict) else {}


def from_table(
    frame: DataFrame, settings: Mapping[str, Any] | None = None, task: str = "", path: str = ""
) -> Samples:
    """A table's answers as arrays; questions in the order of their first row."""
    missing = [name for name in _NEEDED if name not in frame.columns]
    if missing or not any(name in frame.columns for name in SCORES):
        lacks = missing or list(SCORES)
        fix = f"a table of answers has the columns {', '.join((*_NEEDED, *SCORES))}"
        raise ConfigError(Problem(path or "samples", lacks, "are columns that it lacks", fix))
    if frame.empty:
        raise ConfigError(Problem(path or "samples", None, "holds no answer", "evaluate again"))
    again = frame.duplicated(["question_id", "sample"])
    if again.any():
        row = frame[again].iloc[0]
        said = f"holds sample {row['sample']} of question {row['question_id']} twice"
        raise ConfigError(Problem(path or "samples", None, said, "evaluate again"))
    ids = list(dict.fromkeys(frame["question_id"]))
    frame = frame.sort_values("sample", kind="stable")
    columns = frame.groupby("question_id", sort=False).cumcount().to_numpy()
    places = {name: row for row, name in enumerate(ids)}
    rows = numpy.array([places[name] for name in frame["question_id"]])
    shape = len(ids), int(columns.max()) + 1

    def placed(values: Any) -> Floats:
        found = numpy.full(shape, numpy.nan)
        found[rows, columns] = values
        return found

    def numbers(name: str) -> Floats:
        absent = numpy.full(len(frame), numpy.nan)
        return placed(frame[name].astype("float64") if name in frame.columns else absent)

    texts = numpy.full(shape, None, dtype=object)
    texts[rows, columns] = ["" if text is None else str(text) for text in frame["text"]]
    firsts = frame.drop_duplicates("question_id").set_index("question_id")
    ended = [_cut(reason) for reason in frame.get("finish_reason", [None] * len(frame))]
    return Samples(
        str(firsts["task"].iloc[0]) if "task" in firsts.columns else task,
        [str(name) for name in ids],
        _texts(firsts, "question", ids),
        _texts(firsts, "gold", ids),
        {name: numbers(name) for name in SCORES if name in frame.columns},
        placed(ended),
        numbers("completion_tokens"),
        texts,
        dict(settings or {}),
        path,
    )


def _cut(reason: Any) -> float:
    return float(reason == CUT) if isinstance(reason, str) else numpy.nan


def _texts(firsts: DataFrame, name: str, ids: list[Any]) -> list[str]:
    """A column of questions; several golds of one are joined."""
    if name not in firsts.columns:
        return [""] * len(ids)
    found = [firsts[name][key] for key in ids]
    listed = [item if isinstance(item, list | tuple | numpy.ndarray) else [item] for item in found]
    return [" or ".join("" if part is None else str(part) for part in item) for item in listed]
