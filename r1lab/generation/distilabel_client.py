"""``generate.client=distilabel``: the article's pipeline, for those who have such pipelines.

Open-R1 generates with distilabel: one text-generation step on an OpenAI-compatible server, its
samples grouped by prompt, on Ray. The pipeline runs here in a process of its own and hands on every
prompt as its batch ends, so a stop loses the batches in flight and no more: the journal is the
memory, not distilabel's cache, whose rerun after a kill hangs (1.5.3).

What it does not do, and the client of ``client.py`` does: adapt to the server (a replica has one
batch in flight and waits for its slowest answer), wait for a server that went away, keep what a
batch has when a stop cuts it. Retries are openai's own.
"""

from __future__ import annotations

import json
import math
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from r1lab.engines import keeper
from r1lab.engines.process import cause
from r1lab.errors import PrerequisiteError
from r1lab.generation.client import Counts, GenerationFailed, Keeps
from r1lab.generation.request import Answer, Request, Sampling

#: The variable in which its process finds the server's key: not in a file, nor on a command line.
API_KEY = "R1LAB_GENERATION_KEY"
LOG = "distilabel.log"
_WORKER = "r1lab.generation.distilabel_worker"
#: Seconds to end by itself after a signal.
_GRACE_S = 5.0
_POLL_S = 0.5
#: Seconds for a pipeline to start (Ray's cluster, its actors), and between two tries at most.
_START_S, LONGEST_WAIT_S = 120.0, 8.0
#: So many samples in a row that fail, and none answered, end the generation.
_IN_A_ROW = 50
#: No web calls, no usage statistics, no dashboard's processes.
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONWARNINGS": "ignore",
    "COLUMNS": "200",  # of the log
}
#: Bytes of a Ray of our own: batches of text pass through it. Its default is a third of the memory.
_OBJECT_STORE = 256 * 2**20
_COLUMNS = ("place", "key", "row", "messages", "samples", "seeds")
_AGAIN = "what was answered is kept: the same line again goes on from there"


def require(ray: bool = False) -> None:
    """PrerequisiteError where distilabel (or Ray, for its Ray pipelines) is not installed."""
    for name in ("distilabel", "ray") if ray else ("distilabel",):
        if find_spec(name) is None:
            raise PrerequisiteError(
                name, "generate.client=distilabel runs with it", "pip install 'r1lab[distilabel]'"
            )


def build_distilabel_pipeline(
    model: str,
    base_url: str = "http://localhost:8000/v1",
    prompt_column: str | None = None,
    prompt_template: str = "{{ instruction }}",
    temperature: float | None = None,
    top_p: float | None = None,
    max_new_tokens: int = 8192,
    num_generations: int = 1,
    input_batch_size: int = 64,
    client_replicas: int = 1,
    timeout: float = 900,
    retries: int = 0,
    *,
    ray: bool = True,
    seed: int | None = None,
    extra: Mapping[str, Any] | None = None,
    api_key: str | None = None,
    rendered: bool = False,
    cache_dir: str | Path | None = None,
) -> Any:
    """A distilabel pipeline with one text-generation step, as Open-R1's function of this name.

    Up to ``retries`` they are the article's parameters and defaults: ``prompt_template`` is Jinja
    over ``instruction``, which is the column ``prompt_column`` (None: the column of that name);
    ``timeout`` is in seconds, for one request; ``client_replicas`` are processes, or Ray actors
    where ``ray``, that each have one batch of ``input_batch_size`` prompts in flight. A row's
    ``generation`` is the list of its samples.

    ``seed``: every sample has one of its own, drawn from it. ``extra`` is sent beside OpenAI's
    fields. ``rendered``: rows hold ``messages`` and ``seeds`` instead of a prompt. What r1lab's LLM
    does otherwise than distilabel's is said in ``distilabel_steps.py``. Run it with
    ``pipeline.run(dataset=..., use_cache=False)``: after a kill, a run with the cache hangs.
    """
    require(ray)
    from distilabel.pipeline import Pipeline
    from distilabel.steps import StepResources
    from distilabel.steps.tasks import TextGeneration

    from r1lab.generation.distilabel_steps import Asking, Messages

    asked = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "extra_body": dict(extra) if extra else None,
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    pipeline = Pipeline(cache_dir=cache_dir)
    if ray:
        pipeline = pipeline.ray(ray_init_kwargs=_ray_options())
    with pipeline:
        shared = {
            "llm": Asking(
                model=model,
                base_url=base_url,
                api_key=api_key or "none",  # openai insists on one
                timeout=math.ceil(timeout),  # distilabel's is a whole number
                max_retries=retries,
                generation_kwargs={
                    name: value for name, value in asked.items() if value is not None
                },
            ),
            "input_batch_size": input_batch_size,
            "num_generations": num_generations,
            "group_generations": True,
            "resources": StepResources(replicas=client_replicas),
        }
        if rendered:
            # The messages are in the row already.
            Messages(**shared, add_raw_input=False, add_raw_output=False)
        else:
            TextGeneration(
                **shared,
                template=prompt_template,
                input_mappings={} if prompt_column is None else {"instruction": prompt_column},
            )
    return pipeline


def _ray_options() -> dict[str, Any]:
    """For ``ray.init``: the cluster that RAY_ADDRESS names, else one of this run's own."""
    quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": "error"}
    if os.environ.get("RAY_ADDRESS"):
        return {**quiet, "address": "auto"}
    own = {"address": "local", "include_dashboard": False, "object_store_memory": _OBJECT_STORE}
    return {**quiet, **own}


def run(
    requests: Iterable[Request | None],
    journal: Keeps,
    bury: Callable[[Request, str, str, int], None],
    *,
    model: str,
    base_url: str,
    sampling: Sampling,
    folder: Path,
    api_key: str | None = None,
    input_batch_size: int = 64,
    client_replicas: int = 1,
    timeout: float = 900.0,
    retries: int = 0,
    ray: bool | None = None,
    counts: Counts | None = None,
    progress: Callable[[Counts], None] = lambda counts: None,
    gone: Callable[[], str | None] = lambda: None,
) -> Counts:
    """Ask for all of ``requests`` through distilabel; ``journal``, ``bury``, ``counts``,
    ``progress`` and ``gone`` are as for :class:`r1lab.generation.client.Client`.

    Requests of a prompt follow one another. ``ray``: None where there are several replicas, as the
    article does. ``folder`` gets ``distilabel.log``. :class:`GenerationFailed` where the pipeline
    ends before it is done, or the server answers nothing; what was answered is kept.
    """
    ray = client_replicas > 1 if ray is None else ray
    require(ray)
    counts = counts if counts is not None else Counts()
    began = time.monotonic()
    scratch = folder / ".distilabel"
    _remove(scratch)  # of a generation that was killed
    scratch.mkdir(parents=True)
    try:
        prompts, job = scratch / "prompts.jsonl", scratch / "job.json"
        total = _write(prompts, requests)
        if total:
            settings = {
                "model": model,
                "base_url": base_url,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "max_new_tokens": sampling.max_new_tokens,
                "extra": dict(sampling.extra),
                "input_batch_size": input_batch_size,
                "client_replicas": client_replicas,
                "timeout": timeout,
                "retries": retries,
                "ray": ray,
            }
            job.write_text(
                json.dumps({"prompts": str(prompts), "columns": _COLUMNS, "pipeline": settings})
            )
            # A replica that was killed leaves its batch for good, and distilabel waiting.
            stalled = _START_S + (timeout + LONGEST_WAIT_S) * (retries + 1)
            came, taken = bytearray(total), _Taken(journal, bury, counts, retries)
            # Closed, and its process with it, as soon as this block is left.
            with closing(_rows(job, folder / LOG, api_key, gone, stalled)) as rows:
                for row in rows:
                    _say(counts, began, progress)
                    if row is not None:
                        came[row["place"]] = 1
                        taken.take(row)
                        total -= 1
                    if not total:
                        break  # now and then distilabel waits for ever after its last batch
            for place, left in enumerate(_read(prompts)):
                for request in [] if came[place] else left:
                    taken.dead(request, "distilabel ended without a word on it", "lost")
    finally:
        _remove(scratch)
        _say(counts, began, progress)
    return counts


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _say(counts: Counts, began: float, progress: Callable[[Counts], None]) -> None:
    counts.seconds = time.monotonic() - began
    progress(counts)


class _Taken:
    """What becomes of the pipeline's rows: answers for the journal, dead letters for the rest."""

    def __init__(
        self,
        journal: Keeps,
        bury: Callable[[Request, str, str, int], None],
        counts: Counts,
        retries: int,
    ):
        self._journal, self._bury, self._counts = journal, bury, counts
        self._retries = retries
        self._in_a_row = 0

    def take(self, row: Mapping[str, Any]) -> None:
        """See ``distilabel_worker.py`` for what is in a row."""
        for request, answer in zip(_requests(row), row["answers"], strict=True):
            if "error" in answer:
                self.dead(request, answer["error"], answer["kind"])
            else:
                self._answered(request, Answer(**answer))

    def _answered(self, request: Request, answer: Answer) -> None:
        self._journal.add(request, answer)
        counts = self._counts
        counts.answered += 1
        counts.truncated += answer.truncated
        counts.prompt_tokens += answer.prompt_tokens or 0
        counts.completion_tokens += answer.completion_tokens or 0
        counts.latency += answer.seconds
        self._in_a_row = 0

    def dead(self, request: Request, reason: str, kind: str) -> None:
        """A sample that will not come; the end of it all where none does."""
        if kind == "fatal" and not self._counts.answered:
            raise GenerationFailed(
                f"{reason}\n    fix: see generate.model, generate.base_url and the server's key"
            )
        self._counts.dead += 1
        self._counts.errors[kind] += 1
        self._in_a_row += 1
        tries = 1 if kind in ("refused", "fatal", "lost") else self._retries + 1
        self._bury(request, reason, kind, tries)
        if self._in_a_row >= _IN_A_ROW:
            raise GenerationFailed(
                f"the last {_IN_A_ROW} samples failed, and none was answered; the last: {reason}"
                f"\n    fix: see the server's log and dead_letters.jsonl; {_AGAIN}"
            )


def _write(file: Path, requests: Iterable[Request | None]) -> int:
    """The prompts, one a line, with the samples that they lack; how many."""
    total = 0
    present = (request for request in requests if request is not None)
    with file.open("w") as lines:
        for key, group in groupby(present, key=lambda request: request.key):
            of_prompt = list(group)
            row = {
                "place": total,
                "key": key,
                "row": of_prompt[0].row,
                "messages": of_prompt[0].messages,
                "samples": [request.sample for request in of_prompt],
                "seeds": [request.seed for request in of_prompt],
            }
            lines.write(json.dumps(row) + "\n")
            total += 1
    return total


def _requests(row: Mapping[str, Any]) -> list[Request]:
    return [
        Request(row["key"], sample, row["row"], row["messages"], seed)
        for sample, seed in zip(row["samples"], row["seeds"], strict=True)
    ]


def _read(file: Path) -> Iterator[list[Request]]:
    with file.open() as lines:
        for line in lines:
            yield _requests(json.loads(line))


def _rows(
    job: Path,
    log: Path,
    api_key: str | None,
    gone: Callable[[], str | None],
    stalled: float,
) -> Generator[dict[str, Any] | None]:
    """The pipeline's rows as they come, from a process that ends with this one; None in between."""
    environment = {**os.environ, **_QUIET}
    environment.pop(API_KEY, None)
    if api_key:
        environment[API_KEY] = api_key
    # For sockets, whose paths may not be long, and what is left beside them when it is ended.
    short = tempfile.mkdtemp(prefix="r1lab-")
    environment["TMPDIR"] = short
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", keeper.__file__, str(_GRACE_S)),
                *(sys.executable, "-m", _WORKER, str(job)),
            ],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process, which ends it in order
        )
    assert process.stdin is not None and process.stdout is not None
    said: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_follow, args=(process.stdout, said), daemon=True).start()
    heard = time.monotonic()
    try:
        while True:
            try:
                line = said.get(timeout=_POLL_S)
            except queue.Empty:
                why = gone()
                if why is not None:
                    raise GenerationFailed(f"{why}\n    fix: see its log; {_AGAIN}") from None
                if time.monotonic() - heard > stalled:
                    said_nothing = f"distilabel has handed on nothing for {stalled:g} s"
                    raise GenerationFailed(
                        f"{said_nothing}\n  log: {log}\n    fix: {_AGAIN}"
                    ) from None
                yield None
                continue
            heard = time.monotonic()
            if line is None:
                break
            yield json.loads(line)
    finally:
        process.stdin.close()
        code = process.wait()
        shutil.rmtree(short)
    if code:
        raise GenerationFailed(
            f"distilabel's process ended with exit code {code}: {cause(log)}\n"
            f"  log: {log}\n    fix: see there; {_AGAIN}, and so does generate.client=async"
        )


def _follow(lines: IO[str], said: queue.Queue[str | None]) -> None:
    for line in lines:
        said.put(line)
    said.put(None)
