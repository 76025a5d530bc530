"""Stands in for LightEval's process where its environment would take minutes to make.

It reads the job and says the events that the real one documents, and writes samples.parquet; it
asks nobody. ``R1LAB_FAKE`` chooses how it ends: "", "server", "data", "crash", "hang", "half".
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pandas


def say(event: str, **facts: Any) -> None:
    print(json.dumps({"event": event, **facts}), file=sys.stderr, flush=True)


def task(name: str, job: dict[str, Any]) -> None:
    asked = job["tasks"][name]
    output = Path(job["output"])
    kept = output / "fake_journal"
    before = kept.exists()
    kept.write_text("")
    rows = [
        {
            "task": name,
            "question_id": f"q{question}",
            "question": f"What is {question} + 1?",
            "gold": [str(question + 1)],
            "sample": sample,
            "text": f"So it is \\boxed{{{question + (1 if question else 7)}}}.",
            "reasoning": None,
            "finish_reason": "length" if os.environ.get("R1LAB_FAKE") == "cut" else "stop",
            "completion_tokens": 16,
            "strict": float(question > 0),
            "extracted": str(question + 1),
        }
        for question in range(asked["limit"] or 4)
        for sample in range(asked["samples"])
    ]
    total = len(rows)
    for phase in ("generate", "score"):
        counts = {"tokens": 16 * total, "truncated": 0, "kept": 0, "seconds": 0.5}
        say("progress", task=name, phase=phase, done=total, total=total, **counts)
    (output / name).mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(rows).to_parquet(output / name / "samples.parquet")
    settings = job["settings"] | {"task": name, "key": os.environ.get(job["server"]["api_key_env"])}
    (output / name / "settings.json").write_text(json.dumps(settings))
    asked_now = 0 if before else total
    facts = {"asked": asked_now, "kept": total - asked_now, "generate_s": 0.5, "score_s": 0.1}
    say("task", task=name, score=0.75, folder=str(output / name), **facts)


def main() -> int:
    job = json.loads(Path(sys.argv[1]).read_text())
    how = os.environ.get("R1LAB_FAKE", "")
    names = list(job["tasks"])
    say("start", lighteval="fake", tasks={})
    print("a line of a log", file=sys.stderr)
    if how == "hang":
        time.sleep(600)
    if how == "data":
        say("error", kind="data", message="row 1 has no 'answer'", fix="add it")
        return 2
    if how == "crash":
        raise RuntimeError("a bug of LightEval's")
    for name in names[:1] if how in ("half", "server") else names:
        task(name, job)
    if how in ("half", "server"):
        said = "the server stopped answering; 3 of 8 answers are kept"
        say("error", kind="server", message=said, fix="run the same command again")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
