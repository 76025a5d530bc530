"""What tests of the verb share: prompts, a call in this process, and what the server saw of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from r1lab.cli import main
from tests.generation.serving import Served


def write_prompts(path: Path, count: int, first: int = 0) -> Path:
    """``What is 3 + 4?``, with the sum."""
    rows = [
        {"prompt": f"What is {n} + {n + 1}?", "solution": str(2 * n + 1), "topic": f"t{n % 3}"}
        for n in range(first, first + count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Generations:
    """``python -m r1lab generate`` in this process and ``folder``, where the prompts are, against
    ``served``; no step and no MLflow unless they are asked for.
    """

    def __init__(self, folder: Path, served: Served, capsys: pytest.CaptureFixture[str]):
        self.folder, self.served, self._capsys = folder, served, capsys
        self.said = ""
        self.asked: list[dict[str, Any]] = []

    def __call__(self, *more: str, code: int = 0, given: tuple[str, ...] | None = None) -> Any:
        """The object that ``--json`` prints; ``asked`` and ``said`` are of this call then."""
        if given is None:
            given = (
                "data=local",
                "data.path=prompts.jsonl",
                f"generate.base_url={self.served.url}",
            )
        overrides = {"steps": "steps=[]", "tracking.mlflow": "tracking.mlflow=false"}
        overrides |= {item.partition("=")[0]: item for item in (*given, *more)}
        begin = len(self.served.requests(None))
        self._capsys.readouterr()
        came = main(["generate", "--json", *overrides.values()])
        shown = self._capsys.readouterr()
        self.said = shown.err
        self.asked = self.served.requests(None)[begin:]
        assert came == code, shown.err
        assert "Traceback" not in shown.err
        if code:
            assert shown.out == ""
            return {}
        return json.loads(shown.out)

    def mistakes(self, *more: str, **changes: Any) -> str:
        """What a line that nothing is done for is told."""
        self(*more, code=2, **changes)
        assert self.asked == [] and not (self.folder / "outputs").exists()
        return self.said

    def prompts(self) -> Counter[str]:
        """How often each was asked in the last call."""
        return Counter(row["prompt"] for row in self.asked)


def samples(folder: Path | str) -> Counter[tuple[str, int]]:
    """Every line of a journal by its prompt's key and its sample."""
    lines = (Path(folder) / "journal.jsonl").read_text().splitlines()
    return Counter((row["key"], row["sample"]) for row in map(json.loads, lines))


def rows(made: str | Path, split: str = "train") -> list[dict[str, Any]]:
    """Of the data."""
    import pyarrow.parquet as parquet

    return list(parquet.read_table(Path(made) / f"{split}.parquet").to_pylist())


def letters(folder: Path | str) -> list[dict[str, Any]]:
    """The dead ones."""
    lines = (Path(folder) / "dead_letters.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


@contextmanager
def meanwhile(does: Callable[[], None]) -> Iterator[None]:
    """``does`` in a thread, while the block waits for an answer; what it raises is raised."""
    with ThreadPoolExecutor(1) as pool:
        came = pool.submit(does)
        yield
        came.result(timeout=60)
