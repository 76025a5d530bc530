"""Drop what a model will be tested on: prompts that share words in a row with a benchmark.

As open-r1's scripts/decontaminate.py does, by n-grams of 8 words; every offender is listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from r1lab.errors import ConfigError, Problem, suggest
from r1lab.generation import questions
from r1lab.generation.overlap import Hit, Overlap
from r1lab.generation.request import Prompt
from r1lab.generation.steps.base import Context, Group, Step

#: Characters of a prompt and of a question that the list of offenders shows.
HEAD = 200


class Decontaminate(Step):
    """Drops prompts whose user turns share ``ngram`` words in a row with a benchmark's question.

    The questions of ``benchmarks`` come from the hub, or from ``data_dir``: ``NAME.jsonl``,
    ``NAME.parquet`` or a folder ``NAME``, with the benchmark's own columns; ``columns`` names
    others. A benchmark of your own needs a file and a column.

    ``short`` also finds questions of fewer words, which open-r1 never does, where a prompt or a
    line of it is the question. ``answers`` looks at the samples too, and drops those.
    """

    def __init__(
        self,
        benchmarks: Sequence[str] = tuple(questions.OPEN_R1),
        data_dir: str | None = None,
        columns: Mapping[str, str] | None = None,
        ngram: int = 8,
        short: bool = True,
        answers: bool = False,
    ) -> None:
        super().__init__()
        self.benchmarks = list(benchmarks)
        self.data_dir = data_dir
        self.columns = dict(columns or {})
        self.ngram = ngram
        self.short = short
        self.answers = answers
        self._overlap: Overlap | None = None

    def check(self, key: str, context: Context) -> list[Problem]:
        found = []
        if not isinstance(self.ngram, int) or self.ngram < 1:
            found.append(
                Problem(f"{key}.ngram", self.ngram, "is no number of words", "give 1 or more")
            )
        if not self.benchmarks:
            fix = "name some, or leave the step out"
            found.append(Problem(f"{key}.benchmarks", [], "names no benchmark", fix))
        for name in self.columns:
            if name not in self.benchmarks:
                fix = suggest(name, self.benchmarks)
                said = "has a column but is none of the benchmarks"
                found.append(Problem(f"{key}.columns.{name}", self.columns[name], said, fix))
        folder = self.data_dir
        if folder is not None and not Path(folder).expanduser().is_dir():
            fix = "give a folder that holds NAME.jsonl, NAME.parquet or NAME/, or null"
            return [*found, Problem(f"{key}.data_dir", folder, "there is no such folder", fix)]
        for name in self.benchmarks:
            found += self._check_one(key, name)
        return found

    def _check_one(self, key: str, name: str) -> list[Problem]:
        known = name in questions.BENCHMARKS
        if self.data_dir is None:
            if known:
                return []
            fix = f"{suggest(name, questions.BENCHMARKS)} (for your own, set {key}.data_dir)"
            return [Problem(f"{key}.benchmarks", name, "is no known benchmark", fix)]
        found = []
        if not known and name not in self.columns:
            fix = f"set +{key}.columns.{name} to the column of its questions"
            found.append(Problem(f"{key}.benchmarks", name, "has no known columns", fix))
        if questions.find(name, self.data_dir) is None:
            fix = f"add {name}.jsonl, {name}.parquet or {name}/ to it, or leave {name} out"
            message = f"holds nothing for {name}"
            found.append(Problem(f"{key}.data_dir", self.data_dir, message, fix))
        return found

    def prepare(self, context: Context) -> None:
        if self._overlap is None:
            self.fetch(context)

    def fetch(self, context: Context) -> None:
        texts = load(self.benchmarks, self.data_dir, self.columns)
        self._overlap = Overlap(texts, self.ngram, self.short)

    def apply(self, groups: Iterable[Group]) -> Iterator[Group]:
        assert self._overlap is not None, "prepare() comes first"
        for group in groups:
            hits = [hit for text in asked(group.prompt) for hit in self._overlap.find(text)]
            if hits:
                self._list(group.prompt, once(hits))
                continue
            if self.answers:
                self._sift_answers(group)
            yield group

    def _sift_answers(self, group: Group) -> None:
        assert self._overlap is not None
        kept = []
        for sample in group.samples:
            hits = self._overlap.find(sample.answer.whole())
            if hits:
                self._list(group.prompt, hits, sample.number)
            else:
                kept.append(sample)
        group.samples = kept

    def _list(self, prompt: Prompt, hits: Sequence[Hit], sample: int | None = None) -> None:
        """Count once, for all benchmarks together; list each."""
        names = ", ".join(hit.benchmark for hit in hits)
        brief = all(hit.short for hit in hits)
        how = "a short question" if brief else f"{self.ngram} words in a row"
        self.counts[f"dropped{' prompts' if sample is None else ''}: {how} of {names}"] += 1
        for hit in hits:
            self.listed.append(
                {
                    "row": prompt.row,
                    "sample": sample,
                    "prompt": " ".join(asked(prompt))[:HEAD],
                    "benchmark": hit.benchmark,
                    "question": hit.question[:HEAD],
                    "shared": hit.shared,
                    "short": hit.short,
                }
            )

    def close(self) -> None:
        self._overlap = None


def asked(prompt: Prompt) -> list[str]:
    """A prompt's user turns: a system prompt is the same for all and nobody's question."""
    return [turn["content"] for turn in prompt.messages if turn["role"] == "user"]


def once(hits: Iterable[Hit]) -> list[Hit]:
    """The first hit of each benchmark, of several turns."""
    return list({hit.benchmark: hit for hit in reversed(list(hits))}.values())[::-1]


def load(
    benchmarks: Iterable[str],
    data_dir: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """The questions by benchmark; ConfigError with all that is wrong with files, together."""
    found, problems = {}, []
    for name in benchmarks:
        try:
            found[name] = questions.questions(name, data_dir, (columns or {}).get(name))
        except ConfigError as error:
            problems += [_rekeyed(problem, name) for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return found


def _rekeyed(problem: Problem, name: str) -> Problem:
    key = f"columns.{name}" if problem.key == "columns" else problem.key
    key = f"steps.decontaminate.{key}"
    return Problem(key, problem.value, problem.message, problem.fix, problem.file)


def contaminated(
    texts: Iterable[str],
    benchmarks: Iterable[str] = tuple(questions.OPEN_R1),
    data_dir: str | None = None,
    columns: Mapping[str, str] | None = None,
    ngram: int = 8,
    short: bool = True,
) -> Iterator[tuple[int, list[Hit]]]:
    """The places (from 0) of the texts that overlap with a benchmark, and with what.

    For any data, without a generation::

        rows = pyarrow.parquet.read_table("train.parquet")["problem"].to_pylist()
        bad = dict(contaminated(rows, ["math_500"], data_dir="benchmarks"))
    """
    overlap = Overlap(load(benchmarks, data_dir, columns), ngram, short)
    for place, text in enumerate(texts):
        hits = overlap.find(text)
        if hits:
            yield place, hits
