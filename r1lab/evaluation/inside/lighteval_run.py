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
        "fingerprint": ""                   # whatever else answers depend on: weights, chat template
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
``settings.json``, and LightEval's own ``lighteval/results/<model>/results_<time>.json`` and details.
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
     "generate_s": 812.0, "score_s": 4.1, "folder": ".../evaluation/aime24"}
    {"event": "warning", "message": "..."}
    {"event": "error", "kind": "server", "message": "...", "fix": "..."}  # kind: job, data, server, journal

Exit code 0: all is written. 2: a mistake in the job or its data. 3: the server (run the same job
again: what was answered is in the journal and is not asked again). 130: interrupted. 1: a bug.
"""
