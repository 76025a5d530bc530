"""Run benchmarks in LightEval against an OpenAI-compatible server, as one job file says.

    EVAL_ENV/bin/python r1lab/evaluation/inside/lighteval_run.py JOB.json

The job file. ``tasks``, ``model.name``, ``server.base_url`` and ``output`` are needed, the rest has
the values that are shown; a task's ``null`` means the task table's own value::

    {
      "tasks": {                            # names of lighteval_tasks.py, in the order to run
        "aime24": {
          "data": null,                     # folder of <split>.jsonl, or one .jsonl; null: the hub
          "samples": 64,                    # answers a question
          "limit": null,                    # questions; a fixed choice of them, null: all
          "max_new_tokens": 32768,
          "temperature": null,              # null: as in "sampling"
          "top_p": null,
          "prompt": null                    # template with {problem}; null: the benchmark's own
        }
      },
      "model": {
        "name": "my-model",                 # as the server calls it
        "fingerprint": ""                   # what else answers depend on: weights, template
      },
      "server": {
        "base_url": "http://127.0.0.1:8000/v1",
        "api_key_env": "OPENAI_API_KEY",    # name of the variable; unset: no key is sent
        "concurrency": 64,                  # requests at once
        "startup_timeout_s": 30,            # until the server first says anything
        "timeout_s": 3600,                  # for one answer
        "retries": 5                        # of a request that failed for the server's sake
      },
      "sampling": {
        "temperature": 0.6,
        "top_p": 0.95,
        "seed": 0,
        "extra": {}                         # more fields of the request: top_k, ...
      },
      "system_prompt": null,
      "choice_seed": 0,                     # GPQA's order of choices, fixed for each question
      "scoring_processes": null,            # null: the processors that this process may use
      "output": "RUN/evaluation",           # gets a folder for each task
      "journal": null,                      # null: OUTPUT/answers.jsonl
      "settings": {}                        # copied into every settings.json: engine, versions, ...
    }

Written for each task, under ``OUTPUT/<task>/``: ``samples.parquet`` (a row an answer),
``settings.json``, and LightEval's own ``lighteval/results/<model>/results_<time>.json`` and
``lighteval/details/``.
``samples.parquet`` has the columns task, question_id, question, gold (list of str), sample, text,
reasoning, finish_reason, completion_tokens, strict (LightEval's score of this one answer) and
extracted (what LightEval's parser read in the answer, null where it found none).

On standard error each line that starts with ``{"event":`` is for the parent, all others are logs::

    {"event": "start", "lighteval": "0.13.0", "tasks": {"aime24": {"questions": 30, "samples": 64}}}
    {"event": "progress", "task": "aime24", "phase": "generate", "done": 12, "total": 1920,
     "kept": 0, "tokens": 90211, "truncated": 1, "seconds": 3.2}  # kept: found in the journal
    {"event": "progress", "task": "aime24", "phase": "score", "done": 500, "total": 1920, ...}
    {"event": "task", "task": "aime24", "score": 0.41, "questions": 30, "samples": 64,
     "asked": 1920, "kept": 0, "truncated": 0.02, "unanswered": 0.01, "mean_tokens": 9120.4,
     "generate_s": 812.0, "score_s": 4.1, "seconds": 817.3, "folder": ".../evaluation/aime24"}
    {"event": "warning", "message": "..."}
    {"event": "error", "kind": "server", "message": "...", "fix": "..."}

The kind of an error is job, data, journal, server or interrupted.

Exit code 0: all is written. 2: a mistake in the job or its data. 3: the server (run the same job
again: what was answered is in the journal and is not asked again). 130: interrupted. 1: a bug.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import importlib.metadata
import logging
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from answer_journal import Journal, JournalError
from evaluation_job import Job, JobError, Sampling, TaskJob, read_job
from parent_events import Progress, emit
from sample_files import write_json, write_samples

if TYPE_CHECKING:
    from benchmark_data import Rows
    from lighteval.pipeline import Pipeline
    from lighteval.tasks.lighteval_task import LightevalTaskConfig
    from lighteval_model import ServedModel


def main(job_file: str) -> int:
    """Run a job; the exit code."""
    # As Ctrl-C, which asyncio takes for a request to end in order; a shell starts what runs in the
    # background with that ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        job = read_job(Path(job_file))
        with Journal(job.journal or job.output / "answers.jsonl") as journal:
            _run(job, journal)
    except JobError as error:
        emit("error", kind=error.kind, message=str(error), fix=error.fix)
        return 2
    except JournalError as error:
        emit(
            "error", kind="journal", message=str(error), fix="wait for it, or name another journal"
        )
        return 2
    except KeyboardInterrupt:
        emit("error", kind="interrupted", message="interrupted", fix="run the same command again")
        return 130
    except Exception as error:
        from lighteval_model import ServerError

        if not isinstance(error, ServerError):
            raise
        emit("error", kind="server", message=str(error), fix=error.fix)
        return 3
    return 0


def _run(job: Job, journal: Journal) -> None:
    for count, what in ((journal.torn, "bytes of a cut last line"), (journal.unreadable, "lines")):
        if count:
            emit("warning", message=f"{count} {what} of {journal.path} could not be read")
    # All data before the first request: what the last benchmark lacks is said at once.
    evaluations = [Evaluation.prepare(name, job, journal) for name in job.tasks]
    emit(
        "start",
        lighteval=importlib.metadata.version("lighteval"),
        tasks={
            each.name: {"questions": len(each.docs), "samples": each.metric.n}
            for each in evaluations
        },
    )
    for each in evaluations:
        each.run()


@dataclass
class Evaluation:
    """One benchmark, with its data read and nothing asked yet."""

    name: str
    job: Job
    config: LightevalTaskConfig
    sampling: Sampling
    data: Rows
    pipeline: Pipeline
    model: ServedModel

    @classmethod
    def prepare(cls, name: str, job: Job, journal: Journal) -> Evaluation:
        """Read the data and build LightEval's pipeline; JobError for what is wrong with either."""
        from lighteval.logging.evaluation_tracker import EvaluationTracker
        from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters
        from lighteval_model import ServedModel

        chosen = job.tasks[name]
        config = configured(name, chosen, job)
        data = rows_of(config, chosen)
        sampling = dataclasses.replace(
            job.sampling,
            max_new_tokens=config.generation_size or 0,
            **{
                key: value
                for key in ("temperature", "top_p")
                if (value := getattr(chosen, key)) is not None
            },
        )
        model = ServedModel(
            job.model.name,
            job.model.fingerprint,
            job.server,
            sampling,
            journal,
            job.system_prompt,
            Progress(name, "generate"),
        )
        only_this(config, data)
        pipeline = Pipeline(
            tasks=f"{config.name}|0",
            pipeline_parameters=PipelineParameters(
                launcher_type=ParallelismManager.NONE, max_samples=chosen.limit
            ),
            evaluation_tracker=EvaluationTracker(str(job.output / name / "lighteval")),
            model=model,
        )
        made = cls(name, job, config, sampling, data, pipeline, model)
        made.metric.on_progress = Progress(name, "score").scored
        unique(doc.specific for doc in made.docs)
        return made

    @property
    def task(self) -> Any:
        """LightEval's task."""
        return next(iter(self.pipeline.tasks_dict.values()))

    @property
    def docs(self) -> list[Any]:
        """LightEval's documents, in its order."""
        return next(iter(self.pipeline.documents_dict.values()))

    @property
    def metric(self) -> Any:
        """The metric that holds the scores of single answers."""
        return self.task.metrics[0].sample_level_fn

    def run(self) -> None:
        """Ask, score, write."""
        began = time.monotonic()
        if self.sampling.temperature == 0 and self.metric.n > 1:
            emit(
                "warning",
                message=f"{self.name}: at temperature 0 the {self.metric.n} samples of a question "
                "are the same, and more than one is no more evidence",
            )
        self.pipeline.evaluate()
        self.pipeline.save_and_push_results()
        folder = self.job.output / self.name
        rows = self.rows()
        write_samples(rows, folder / "samples.parquet")
        write_json(self.settings(), folder / "settings.json")
        self._warn(rows)
        lengths = [row["completion_tokens"] for row in rows if row["completion_tokens"] is not None]
        counts = self.model.counts
        emit(
            "task",
            task=self.name,
            score=sum(row["strict"] for row in rows) / len(rows),
            questions=len(self.docs),
            samples=self.metric.n,
            asked=counts.asked,
            kept=counts.kept,
            retried=counts.retried,
            truncated=counts.truncated / len(rows),
            unanswered=sum(row["extracted"] is None for row in rows) / len(rows),
            mean_tokens=sum(lengths) / len(lengths) if lengths else None,
            generate_s=round(self.model.seconds, 3),
            score_s=round(self.metric.seconds, 3),
            seconds=round(time.monotonic() - began, 3),
            folder=str(folder),
        )

    def rows(self) -> list[dict[str, Any]]:
        """Every answer, as samples.parquet has it."""
        from lighteval_model import whole_text

        return [
            {
                "task": self.name,
                "question_id": doc.specific["question_id"],
                "question": self.model.prompts.prepare_prompt_api(doc)[-1]["content"],
                "gold": doc.get_golds(),
                "sample": sample,
                "text": whole_text(answer),
                "reasoning": answer["reasoning"],
                "finish_reason": answer["finish_reason"],
                "completion_tokens": answer["completion_tokens"],
                "strict": doc.specific["strict"][sample],
                "extracted": doc.specific["extracted"][sample],
            }
            for doc, answers in zip(self.docs, self.model.answers, strict=True)
            for sample, answer in enumerate(answers)
        ]

    def settings(self) -> dict[str, Any]:
        """Everything that these scores depend on and that this process knows."""
        prompt = self.config.prompt_function.template  # type: ignore[attr-defined]
        return self.job.settings | {
            "task": self.name,
            "lighteval_task": self.config.name,
            "task_version": self.config.version,
            "lighteval": importlib.metadata.version("lighteval"),
            "metric": {"name": self.task.metrics[0].metric_name, **_plain(self.metric.match)},
            "data": {
                "source": self.data.source,
                "subset": self.config.hf_subset,
                "split": self.config.evaluation_splits[0],
                "rows": len(self.data.rows),
                "fingerprint": self.data.fingerprint,
            },
            "prompt": {
                "template": prompt,
                "hash": hashlib.sha256(prompt.encode()).hexdigest()[:16],
                "system_prompt": self.job.system_prompt,
                "choice_seed": self.job.choice_seed,
            },
            "sampling": dataclasses.asdict(self.sampling) | {"n": self.metric.n},
            "questions": len(self.docs),
            "limit": self.job.tasks[self.name].limit,
            "served_model": dataclasses.asdict(self.job.model),
        }

    def _warn(self, rows: list[dict[str, Any]]) -> None:
        unread = sum(not all(doc.specific["gold_read"]) for doc in self.docs)
        if unread:
            emit(
                "warning",
                message=f"{self.name}: LightEval cannot parse the gold of {unread} of "
                f"{len(self.docs)} questions: only an answer of the same letters counts as right",
            )
        problems = Counter(p for doc in self.docs for p in doc.specific["problems"] if p)
        for problem, count in problems.items():
            emit("warning", message=f"{self.name}: {count} answers count as wrong: {problem}")
        if all(row["finish_reason"] is None for row in rows):
            emit("warning", message=f"{self.name}: the server does not say why answers ended")


def _plain(match: dict[str, Any]) -> dict[str, Any]:
    """A metric's parameters as JSON has them."""
    return {
        key: value if isinstance(value, int | str) else str(value) for key, value in match.items()
    }


def configured(name: str, chosen: TaskJob, job: Job) -> LightevalTaskConfig:
    """The table's task with what the job says in its place."""
    from lighteval_tasks import PREFIX, TASKS_TABLE

    table = {config.name.removeprefix(PREFIX): config for config in TASKS_TABLE}
    if name not in table:
        raise JobError(f"tasks.{name} is no benchmark", f"choose from: {', '.join(table)}")
    config = copy.deepcopy(table[name])
    prompt: Any = config.prompt_function
    if chosen.prompt is not None:
        prompt.template = chosen.prompt
    if hasattr(prompt, "choice_seed"):
        prompt.choice_seed = job.choice_seed
    config.generation_size = chosen.max_new_tokens or config.generation_size
    metric: Any = config.metrics[0].sample_level_fn
    metric.n = chosen.samples or metric.n
    metric.processes = job.scoring_processes or metric.processes
    return config


def rows_of(config: LightevalTaskConfig, chosen: TaskJob) -> Rows:
    """The benchmark's data, with every row checked."""
    from benchmark_data import checked, from_files, from_hub
    from datasets import load_dataset

    split, subset = config.evaluation_splits[0], config.hf_subset
    if chosen.data is not None:
        rows = from_files(chosen.data, split, subset)
    else:
        rows = from_hub(lambda: load_dataset(config.hf_repo, subset), config.hf_repo, split)
    return checked(rows, config.prompt_function.columns)  # type: ignore[attr-defined]


def only_this(config: LightevalTaskConfig, data: Rows) -> None:
    """Let LightEval find this task with these rows, and load nothing else.

    Left alone it imports all its tasks, of which one downloads data when it is imported.
    """
    from lighteval.tasks.lighteval_task import LightevalTask
    from lighteval.tasks.registry import Registry

    rows = {config.evaluation_splits[0]: [dict(row) for row in data.rows]}
    Registry.load_all_task_configs = staticmethod(lambda **_: {config.name: config})
    LightevalTask.download_dataset_worker = staticmethod(lambda task: rows)


def unique(specifics: Any) -> None:
    """Number the questions that share an id: two runs are paired by it."""
    seen: Counter[str] = Counter()
    for specific in specifics:
        known = specific["question_id"]
        seen[known] += 1
        if seen[known] > 1:
            specific["question_id"] = f"{known}#{seen[known]}"


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # It warns of every answer that it finds nothing in, with all of the answer.
    logging.getLogger("lighteval").setLevel(logging.ERROR)
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
