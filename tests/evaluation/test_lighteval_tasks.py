"""The task table: its canaries, its names, and what LightEval's own command line makes of it."""

from __future__ import annotations

import json
import subprocess

import pandas
import pytest

from tests.evaluation import generated
from tests.evaluation.lighteval_process import (
    INSIDE,
    in_environment,
    interpreter,
    job,
    run,
    serving,
)

pytestmark = [pytest.mark.evaluation, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    """Every benchmark, by a model that is always right and by one that never is."""
    folder = tmp_path_factory.mktemp("canary")
    tasks, table = {}, {"": [""]}
    for name in generated.SCHEMAS:
        rows = generated.write(name, folder / "data" / name, 4)
        table |= {generated.question(row): [generated.right(name, row)] for row in rows}
        tasks[name] = {"data": str(folder / "data" / name), "samples": 3}
    found = {}
    for kind, answers in [("right", table), ("never", {"": ["I do not know."]})]:
        with serving(folder / kind, answers) as server:
            found[kind] = run(job(server.url, folder / kind / "out", tasks))
    return folder, found


@pytest.mark.parametrize("name", generated.SCHEMAS)
def test_a_model_that_is_always_right_has_all_points_and_one_that_never_is_none(canary, name):
    _, found = canary
    assert found["right"].code == 0, found["right"].log
    assert found["right"].task(name)["score"] == 1
    assert found["right"].task(name)["unanswered"] == 0
    assert found["never"].task(name)["score"] == 0
    assert found["never"].task(name)["unanswered"] == 1


def test_no_gold_is_beyond_lightevals_parser(canary):
    _, found = canary
    assert found["right"].of("warning") == []


def test_the_scripts_names_are_the_benchmarks():
    script = INSIDE / "lighteval_tasks.py"
    done = subprocess.run([interpreter(), script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"r1lab_{name}" for name in generated.SCHEMAS]


def test_samples_and_tokens_are_those_that_open_r1_reports():
    script = """
import json
from lighteval_tasks import TASKS_TABLE
samples = {task.name: task.metrics[0].sample_level_fn.n for task in TASKS_TABLE}
print(json.dumps({t.name: (samples[t.name], t.generation_size) for t in TASKS_TABLE}))
"""
    table = json.loads(in_environment(script))
    assert {tokens for _, tokens in table.values()} == {32768}
    counts = {name.removeprefix("r1lab_"): samples for name, (samples, _) in table.items()}
    assert [counts[name] for name in ("aime24", "aime25_part1", "math_500", "gpqa_diamond")] == [
        *(64, 64, 4, 8)
    ]


def test_lightevals_command_line_takes_the_table(tmp_path):
    """Its registry with all of its own tasks; the one that downloads data on import is left out,
    and the hub's answer is a row of ours. Then the task's metric, as that registry loads it.
    """
    script = """
import json, sys, types
sys.modules["lighteval.tasks.tasks.tiny_benchmarks"] = types.ModuleType("left_out")
import lighteval.tasks.lighteval_task as module
module.load_dataset = lambda path, **_: {"train": [row]}
from lighteval.__main__ import app
from lighteval.models.model_output import ModelResponse
from lighteval.tasks.registry import Registry
path, row = sys.argv[1], json.loads(sys.argv[2])
sys.argv = ["lighteval", "tasks", "inspect", "r1lab_aime24|0", "--custom-tasks", path]
app(standalone_mode=False)
task = Registry.create_custom_tasks_module(path).TASKS_TABLE[0]
answers = ModelResponse(text=["It is 43.", "It is 44."])
doc = task.prompt_function(row)
print("scored", task.metrics[0].compute_sample(responses=[answers], docs=[doc]))
"""
    row = json.dumps(generated.aime24(0))
    said = in_environment(script, str(INSIDE / "lighteval_tasks.py"), row)
    assert "Find $12 + 31$." in said
    assert "scored {'extractive_match': [0.5]}" in said


def test_the_order_of_choices_is_the_questions_own(canary):
    """Whatever is evaluated beside it, in whichever order, and however much of it."""
    folder, _ = canary
    rows = generated.write("gpqa_diamond", folder / "many", 40)
    script = """
import json, sys
from lighteval_tasks import GPQA
import dataclasses
rows = json.loads(sys.argv[1])
def letters(prompt, rows):
    return {row["Question"]: prompt(dict(row)).gold_index for row in rows}
again = dataclasses.replace(GPQA, choice_seed=1)
print(json.dumps([letters(GPQA, rows), letters(GPQA, rows[::-2]), letters(again, rows)]))
"""
    first, half, other = json.loads(in_environment(script, json.dumps(rows)))
    assert half.items() <= first.items()
    assert set(first.values()) == {0, 1, 2, 3}
    assert other != first
    # and what was evaluated is this
    frame = pandas.read_parquet(folder / "right" / "out" / "gpqa_diamond" / "samples.parquet")
    golds = {row.question_id: row.gold[0] for row in frame.itertuples()}
    assert golds == {f"rec{index}": "ABCD"[first[rows[index]["Question"]]] for index in range(4)}
