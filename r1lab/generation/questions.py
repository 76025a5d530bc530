"""The questions of benchmarks: from the hub, or from a folder as ``evaluate.data_dir`` has it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1lab.data.files import read_rows
from r1lab.data.hub import Hub
from r1lab.data.local import SUFFIXES
from r1lab.errors import ConfigError, PrerequisiteError, Problem, nearest


@dataclass(frozen=True)
class Benchmark:
    """Where a benchmark's questions are: a hub data set, its split, the column of the question.

    ``files`` are read one by one where ``datasets`` cannot load the data set.
    """

    repo: str
    split: str
    column: str
    config: str | None = None
    files: tuple[str, ...] = ()


#: The five of open-r1's scripts/decontaminate.py: its data sets, splits and columns, under the
#: names that conf/evaluate has for them.
OPEN_R1 = {
    "aime24": Benchmark("HuggingFaceH4/aime_2024", "train", "problem"),
    # Both parts of AIME 2025; conf/evaluate has them one by one, from other data sets.
    "aime25": Benchmark("yentinglin/aime_2025", "train", "problem"),
    "math_500": Benchmark("HuggingFaceH4/MATH-500", "test", "problem"),
    "gpqa_diamond": Benchmark("Idavidrein/gpqa", "train", "Question", "gpqa_diamond"),
    # open-r1 asks the data set's script for version_tag="v4_v5": its files 4 and 5, 268 problems
    # from June 2024 to January 2025. `datasets` runs no scripts any more.
    "livecodebench": Benchmark(
        "livecodebench/code_generation_lite",
        "test",
        "question_content",
        files=("test4.jsonl", "test5.jsonl"),
    ),
}
#: Further benchmarks of conf/evaluate, as the tasks in r1lab/evaluation/inside read them.
BENCHMARKS = OPEN_R1 | {
    "aime25_part1": Benchmark("open-r1/aime_2025_1", "train", "problem"),
    "aime25_part2": Benchmark("opencompass/AIME2025", "test", "question", "AIME2025-II"),
    "gsm8k": Benchmark("openai/gsm8k", "test", "question", "main"),
    "amc23": Benchmark("math-ai/amc23", "test", "question"),
    "olympiadbench": Benchmark("math-ai/olympiadbench", "test", "question"),
    "minerva_math": Benchmark("math-ai/minervamath", "test", "question"),
}


def find(name: str, data_dir: str | None) -> Path | None:
    """``NAME.jsonl``, ``NAME.parquet`` or the folder ``NAME`` in ``data_dir``; None without one."""
    if data_dir is None:
        return None
    root = Path(data_dir).expanduser()
    for path in (root / f"{name}.jsonl", root / f"{name}.parquet", root / name):
        if path.exists():
            return path
    return None


def questions(name: str, data_dir: str | None = None, column: str | None = None) -> list[str]:
    """A benchmark's questions.

    With ``data_dir`` they come from there; ConfigError where it lacks them. Otherwise they come
    from the hub; PrerequisiteError, which names the benchmark, where they cannot be had.
    ``column`` overrides the column's name. A benchmark of your own needs both.
    """
    known = BENCHMARKS.get(name)
    column = column or (known.column if known else None)
    if column is None:
        raise ConfigError(
            Problem("columns", None, f"{name} has no known column of questions", "name it")
        )
    if data_dir is not None:
        path = find(name, data_dir)
        if path is None:
            fix = f"add {name}.jsonl, {name}.parquet or {name}/ to it"
            raise ConfigError(Problem("data_dir", data_dir, f"holds nothing for {name}", fix))
        texts = [text for file in _files(path, known) for text in _column(file, column)]
        where = str(path)
    elif known is None:
        fix = f"name a folder with {name}.jsonl in it"
        raise ConfigError(Problem("data_dir", None, f"{name} is none that the hub has", fix))
    else:
        texts, where = _from_hub(name, known, column), known.repo
    if not texts:
        raise ConfigError(Problem("benchmarks", name, f"{where} has no questions", "give some"))
    return texts


def _from_hub(name: str, benchmark: Benchmark, column: str) -> list[str]:
    try:
        if benchmark.files:
            paths = [_download(benchmark.repo, file) for file in benchmark.files]
            return [text for path in paths for text in _column(path, column)]
        source = Hub(id=benchmark.repo, config=benchmark.config, splits={"train": benchmark.split})
        rows = source.load()["train"]
    except (ConfigError, PrerequisiteError, OSError) as error:
        if isinstance(error, ConfigError):
            reason = error.problems[0].message
        else:
            reason = error.why if isinstance(error, PrerequisiteError) else str(error)
        raise PrerequisiteError(
            f"the benchmark {name} ({benchmark.repo})",
            reason.strip().splitlines()[0],
            "check the network and, for gated data, `hf auth login`; or set "
            f"steps.decontaminate.data_dir to a folder with {name}.jsonl, or leave {name} out of "
            "steps.decontaminate.benchmarks",
        ) from error
    if column not in rows.column_names:
        raise ConfigError(_no_column(benchmark.repo, column, rows.column_names))
    return _texts(rows[column], benchmark.repo, column)


def _download(repo: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repo, file, repo_type="dataset"))


def _files(path: Path, known: Benchmark | None) -> list[Path]:
    """The files of a folder that are the benchmark's, where their names say so; else all."""
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not found:
        fix = f"put files into it that end in {', '.join(SUFFIXES)}"
        raise ConfigError(Problem("data_dir", str(path), "this folder has no data files", fix))
    if known is None:
        return found

    def names(file: Path) -> set[str]:
        parts = file.relative_to(path).parts
        return {*parts, file.stem, file.stem.split("-")[0]}

    for wanted in (set(known.files), {known.config}, {known.split}):
        found = [file for file in found if names(file) & wanted] or found
    return found


def _column(file: Path, column: str) -> list[str]:
    """The texts of one column; nothing else of the file is kept in memory."""
    kind = SUFFIXES[file.suffix.lower()]
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            names = pyarrow.parquet.read_schema(file).names
            if column not in names:
                raise ConfigError(_no_column(str(file), column, names))
            values = pyarrow.parquet.read_table(file, columns=[column])[column].to_pylist()
        except (OSError, pyarrow.ArrowException) as error:
            raise ConfigError(_unreadable(file, str(error).splitlines()[0])) from error
        return _texts(values, str(file), column)
    return _texts(list(_of_rows(file, kind, column)), str(file), column)


def _of_rows(file: Path, kind: str, column: str) -> Iterator[Any]:
    rows: Iterable[Any]
    if kind == "jsonl":
        rows = _lines(file)  # LiveCodeBench's tests are gigabytes
    else:
        rows, bad = read_rows(file, kind)
        if bad:
            raise ConfigError(_unreadable(file, f"line {bad[0][0]} {bad[0][1]}"))
    for row in rows:
        if not isinstance(row, dict) or column not in row:
            raise ConfigError(_no_column(str(file), column, list(row)))
        yield row[column]


def _lines(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise ConfigError(_unreadable(file, f"line {number} is not JSON")) from error


def _texts(values: Iterable[Any], where: str, column: str) -> list[str]:
    texts = list(values)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            message = f"row {number} (from 0) of {where} holds no text there"
            raise ConfigError(Problem("columns", column, message, "name the question's column"))
    return texts


def _no_column(where: str, column: str, names: list[str]) -> Problem:
    near = nearest(column, names)
    fix = f"name the question's column{f': did you mean {near}?' if near else ''}"
    return Problem("columns", column, f"{where} has no such column: {', '.join(names)}", fix)


def _unreadable(file: Path, said: str) -> Problem:
    return Problem("data_dir", str(file), f"cannot be read: {said}", "mend the file", str(file))
