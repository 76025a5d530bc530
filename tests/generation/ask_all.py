"""Asks for all samples of a file of prompts, as the verb does but without its start of seconds.

    python ask_all.py URL PROMPTS.jsonl FOLDER N [OPTIONS]

OPTIONS is a JSON object of generate's own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from r1lab.engines.external import ExternalServer
from r1lab.generation import place
from r1lab.generation.asked import Asking
from r1lab.generation.dead_letters import DEAD_LETTERS, DeadLetters
from r1lab.generation.journal import Journal
from r1lab.generation.request import Prompt

NODE = {
    **{"max_new_tokens": 100, "temperature": 0.7, "top_p": None, "seed": 1, "extra": {}},
    **{"client": "async", "client_replicas": 1, "input_batch_size": 16, "max_concurrency": 16},
    **{"timeout": 30.0, "retries": 10, "server_timeout": 60.0},
}


class Prompts:
    """As often as they are wanted."""

    def __init__(self, path: Path):
        self.path = path

    def __iter__(self) -> Iterator[Prompt]:
        with self.path.open() as lines:
            for row, line in enumerate(lines):
                yield Prompt(row, [{"role": "user", "content": json.loads(line)["prompt"]}])


class Untracked:
    """No MLflow: it takes seconds to import."""

    def log_metrics(self, metrics: Any, step: int) -> None: ...


def main(url: str, prompts: Path, folder: Path, n: int, changes: dict[str, Any]) -> None:
    engine = ExternalServer({"url": url, "start_timeout": 30.0}, "tiny")
    found = place.Place(folder, {}, place.read(folder))
    with Journal(folder) as journal, DeadLetters(folder / DEAD_LETTERS) as letters:
        asking = Asking(
            {**NODE, **changes, "num_generations": n},
            engine,
            {"name": "tiny", "weights": None},
            found,
            journal,
            letters,
            Untracked(),  # type: ignore[arg-type]
            print,
        )
        rows = Prompts(prompts)
        counts = asking.ask(rows, sum(1 for _ in rows))
        dead = letters.rewrite(lambda key, sample: not journal.has(key, sample))
        groups = {group.prompt.row: len(group.samples) for group in asking.groups(rows)}
    print(json.dumps({"kept": counts.kept, "answered": counts.answered, "dead": dead}))
    assert set(groups.values()) == {n}, groups


if __name__ == "__main__":
    options = json.loads(sys.argv[5]) if len(sys.argv) > 5 else {}
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), options)
