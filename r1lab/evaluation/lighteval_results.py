"""Results that LightEval wrote itself, as answers that can be compared.

Its results file has means only; the answers lie in one parquet a task beside it (``details``), as
versions from 0.12 on write them. A task's metric is a number a question there, already averaged
over the question's samples: every sample of it is given that number.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab.errors import ConfigError, Problem, suggest
from r1lab.evaluation import samples
from r1lab.evaluation.samples import Samples

if TYPE_CHECKING:
    from pandas import Series

#: How far above the results file the folder with the details may be: a model's name has slashes.
_LEVELS = 5
_COLUMNS = ("doc", "metric", "model_response")
#: What r1lab puts before the names of its tasks in LightEval.
_OURS = "r1lab_"
#: Of its generation parameters, those that an evaluation by r1lab records as well.
_SAMPLING = ("temperature", "top_p", "max_new_tokens", "seed")


def read(path: Path, metric: str | None = None) -> dict[str, Samples]:
    """The answers to every task of a results file, by r1lab's name of the task.

    ``metric`` chooses where a task has several.
    """
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise _unreadable(path, f"is no JSON: {error}") from None
    if not isinstance(found, dict) or not {"results", "config_general"} <= set(found):
        raise _unreadable(path, "is no results file of LightEval's")
    stamp = path.stem.removeprefix("results_")
    tables = sorted(_details(path, stamp))
    if not tables:
        fix = "run LightEval with --save-details, and keep its `details` beside its `results`"
        said = f"has means only: there is no details_*_{stamp}.parquet, and questions are compared"
        raise ConfigError(Problem(str(path), None, said, fix))
    read = (_read(table, stamp, found, metric) for table in tables)
    return {one.task: one for one in read}


def task_name(name: str) -> str:
    """``aime24`` of ``r1lab_aime24|0``, ``lighteval|aime24|0`` and ``custom|aime24|0|0``."""
    parts = name.split("|")
    bare = parts[1] if len(parts) > 2 else parts[0]
    return bare.removeprefix(_OURS).replace(":", "_")


def _details(path: Path, stamp: str) -> Iterable[Path]:
    """In ``details/MODEL/STAMP`` of the output folder, or in ``STAMP`` beside the file, as on the
    hub.
    """
    pattern = f"details_*_{stamp}.parquet"
    for folder in list(path.parents)[:_LEVELS]:
        found = [*folder.glob(f"{stamp}/{pattern}"), *folder.glob(f"details/**/{pattern}")]
        if found:
            return found
    return path.parent.glob(pattern)


def _read(table: Path, stamp: str, results: Mapping[str, Any], metric: str | None) -> Samples:
    import pandas

    name = table.stem.removeprefix("details_").removesuffix(f"_{stamp}")
    frame = pandas.read_parquet(table)
    if not set(_COLUMNS) <= set(frame.columns):
        said = f"has the columns {', '.join(frame.columns)}, not {', '.join(_COLUMNS)}"
        raise _unreadable(table, said)
    chosen = _metric(table, frame["metric"], metric)
    seen: Counter[str] = Counter()
    rows = [row for _, item in frame.iterrows() for row in _rows(item, chosen, seen)]
    found = samples.from_table(pandas.DataFrame(rows), path=str(table), task=task_name(name))
    return found.with_settings(_settings(results, name, chosen, found.most))


def _metric(table: Path, column: Series, wanted: str | None) -> str:
    """The metric's name: the wanted one, or the only one."""
    names = sorted({name for item in column for name, value in item.items() if value is not None})
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted in names:
        return str(wanted)
    listed = ", ".join(names)
    if wanted is None:
        fix = f"choose with --metric, of: {listed}"
        raise ConfigError(Problem(str(table), None, "has several metrics", fix))
    raise ConfigError(Problem("--metric", wanted, f"is not in {table}", suggest(wanted, names)))


def _rows(item: Series, metric: str, seen: Counter[str]) -> Iterable[dict[str, Any]]:
    """A question's answers. LightEval only numbers questions: it is known by its text, and by how
    often that was ``seen``.
    """
    doc, response = item["doc"], item["model_response"]
    identity = hashlib.sha256(doc["query"].encode()).hexdigest()[:16]
    seen[identity] += 1
    identity += f"-{seen[identity]}" if seen[identity] > 1 else ""
    lengths = response.get("output_tokens")
    golds = doc["gold_index"]
    chosen = [golds] if isinstance(golds, int) else list(golds if golds is not None else [])
    for sample, text in enumerate(response["text"]):
        known = lengths is not None and len(lengths) > sample
        yield {
            "question_id": identity,
            "question": doc["query"],
            "gold": [doc["choices"][place] for place in chosen],
            "sample": sample,
            "text": text,
            "completion_tokens": len(lengths[sample]) if known else None,
            "strict": item["metric"][metric],
        }


def _settings(results: Mapping[str, Any], name: str, metric: str, count: int) -> dict[str, Any]:
    """What LightEval recorded, under r1lab's names of it."""
    general = results["config_general"]
    model = general.get("model_config") or {}
    parameters = model.get("generation_parameters") or {}
    task = results.get("config_tasks", {}).get(name) or {}
    sampling = {key: parameters.get(key) for key in _SAMPLING}
    sampling["max_new_tokens"] = sampling["max_new_tokens"] or task.get("generation_size")
    return {
        "recorded_by": "LightEval",
        "lighteval_task": task.get("name"),
        "task_version": task.get("version"),
        "metric": {"name": metric},
        "model": {"name": general.get("model_name")},
        "data": {"subset": task.get("hf_subset")},
        "prompt": {"system_prompt": model.get("system_prompt")},
        "sampling": {**sampling, "n": count},
    }


def _unreadable(path: Path, said: str) -> ConfigError:
    fix = "give a results_*.json that LightEval 0.13 wrote"
    return ConfigError(Problem(str(path), None, said, fix))
