"""distilabel's process: a pipeline over a file of prompts, and a line on standard output for each.

``python -m r1lab.generation.distilabel_worker JOB``; the job file and the other end are
``distilabel_client.py``'s. distilabel takes over logging and SIGINT and forks, all of which it may
do here.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from r1lab.errors import FAILED
from r1lab.generation.distilabel_client import API_KEY, build_distilabel_pipeline
from r1lab.generation.distilabel_steps import Pending, hand_on

#: Prompts that are read at once, in batches: as many queue before the step, so that its replicas
#: never wait for the next ones.
_READ_BATCHES = 1000


def main(job_file: str) -> int:
    """Carry out the job: every row that the pipeline ends with is a line of JSON."""
    # Whatever else is printed, by whichever process below, is for the log.
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.set_inheritable(lines.fileno(), False)
    os.dup2(2, 1)
    # Its pools and threads would keep it waiting; the keeper ends them.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))
    job = json.loads(Path(job_file).read_text())

    pipeline = build_distilabel_pipeline(
        **job["pipeline"],
        api_key=os.environ.get(API_KEY) or None,
        rendered=True,
        cache_dir=Path(job_file).with_name("cache"),
    )
    (asking,) = [pipeline.dag.get_step(name)["step"] for name in pipeline.dag]

    def hand(row: dict[str, Any]) -> None:
        told = {name: row[name] for name in job["columns"]}
        lines.write(json.dumps({**told, "answers": answers(row, asking.name)}) + "\n")
        lines.flush()

    pending = Pending(
        pipeline=pipeline,
        path=job["prompts"],
        columns=job["columns"],
        batch_size=_READ_BATCHES * job["pipeline"]["input_batch_size"],
    )
    pending.connect(asking)
    hand_on(pipeline, hand)
    pipeline.run(use_cache=False)
    return 0


def answers(row: dict[str, Any], step: str) -> list[dict[str, Any]]:
    """Each sample of a row: the fields of an Answer, or ``error`` and ``kind``."""
    if row["generation"] is None:
        error = "its batch failed: see distilabel.log"
        return [{"error": error, "kind": "batch"}] * len(row["samples"])
    told = {
        name: row[f"llm_{step}_{name}"]
        for name in ("finish_reason", "reasoning", "seconds", "error", "kind")
    }
    counted = [metadata[f"statistics_{step}"] for metadata in row["distilabel_metadata"]]
    return [
        {"error": told["error"][place], "kind": told["kind"][place]}
        if content is None
        else {
            "content": content,
            "reasoning": told["reasoning"][place] or None,
            "finish_reason": told["finish_reason"][place] or None,
            # distilabel's statistics have no "not counted".
            "prompt_tokens": counted[place]["input_tokens"] or None,
            "completion_tokens": counted[place]["output_tokens"] or None,
            "seconds": told["seconds"][place],
        }
        for place, content in enumerate(row["generation"])
    ]


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="pydantic")
    try:
        code = main(sys.argv[1])
    except Exception:
        traceback.print_exc()  # for the log: the caller looks for its last line there
        code = FAILED
    sys.stdout.flush()
    # Not by way of Ray's and distilabel's own ends: everything has been handed on.
    os._exit(code)
