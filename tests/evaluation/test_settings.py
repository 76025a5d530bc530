"""`evaluate=[...]` composes like rewards, and what is wrong with it is said before a start."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from r1lab.compose import compose, resolve
from r1lab.errors import ConfigError, Problem
from r1lab.evaluation import settings
from r1lab.groups import group_options
from r1lab.rundir import fingerprint
from r1lab.start import check

ROOT = Path(__file__).resolve().parents[2]


def config(*overrides: str) -> dict[str, Any]:
    return resolve(compose(overrides))


def mistakes(*overrides: str) -> list[Problem]:
    with pytest.raises(ConfigError) as error:
        check(config(*overrides))
    return error.value.problems


def test_a_list_selects_and_its_parameters_are_set() -> None:
    node = config("evaluate=[aime24,math_500]", "evaluate.tasks.aime24.samples=3")["evaluate"]
    assert {name: task["samples"] for name, task in node["tasks"].items()} == {
        "aime24": 3,
        "math_500": 4,
    }


def test_every_benchmark_has_the_samples_of_lightevals_table() -> None:
    """Read, not imported: LightEval is not in this environment."""
    source = (ROOT / "r1lab/evaluation/inside/lighteval_tasks.py").read_text()
    table = {
        call.args[0].value: call.args[5].value  # type: ignore[attr-defined]
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "task" and call.args
    }
    every = group_options("evaluate")
    node = config(f"evaluate=[{','.join(every)}]")["evaluate"]["tasks"]
    assert {name: task["samples"] for name, task in node.items()} == table
    assert (table["aime24"], table["math_500"], table["gpqa_diamond"]) == (64, 4, 8)


@pytest.mark.parametrize(
    ("overrides", "key", "fix"),
    [
        (["evaluate=[aime42]"], "evaluate", "did you mean aime24?"),
        (["evaluate=null"], "evaluate", "write evaluate=[] for none"),
        (["evaluate=[aime24]", "evaluate.limt=3"], "evaluate.limt", "evaluate.limit"),
        (
            ["evaluate=[aime24]", "evaluate.tasks.aime24.smaples=3"],
            "evaluate.tasks.aime24.smaples",
            "did you mean evaluate.tasks.aime24.samples?",
        ),
        (
            ["evaluate=[aime24]", "evaluate.tasks.gsm8k.samples=3"],
            "evaluate.tasks.gsm8k.samples",
            "add gsm8k to evaluate=[...]",
        ),
        (["evaluate.aime24.samples=3"], "evaluate.aime24.samples", "evaluate.tasks.aime24.samples"),
        (["evaluate=[aime24]", "evaluate.tasks.aime24.samples=x"], "evaluate.tasks", "that type"),
    ],
)
def test_what_does_not_compose_gets_the_nearest_name(
    overrides: list[str], key: str, fix: str
) -> None:
    with pytest.raises(ConfigError) as error:
        compose(overrides)
    (problem,) = error.value.problems
    assert problem.key.startswith(key)
    assert fix in problem.fix


def test_all_wrong_values_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "aime24.jsonl").write_text("")
    node = config(
        *("evaluate=[aime24,gsm8k,gpqa_diamond]", f"evaluate.data_dir={tmp_path}"),
        *("evaluate.temperature=-1", "evaluate.top_p=0", "evaluate.limit=0", "evaluate.seed=-1"),
        *("evaluate.timeout=0", "evaluate.concurrency=0", "evaluate.name='../x'"),
        *("evaluate.tasks.aime24.prompt=hello", "evaluate.tasks.gpqa_diamond.answers=letter"),
        "evaluate.tasks.gpqa_diamond.data=nowhere.jsonl",
    )["evaluate"]
    assert {problem.key.removeprefix("evaluate.") for problem in settings.check(node)} == {
        *("temperature", "top_p", "limit", "seed", "timeout", "concurrency", "name"),
        *("tasks.aime24.prompt", "tasks.gpqa_diamond.answers", "tasks.gpqa_diamond.data"),
        "data_dir",  # holds nothing for gsm8k
    }


def test_a_tasks_own_values_come_before_the_common_ones(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "aime24.jsonl").write_text("")
    node = config(
        *("evaluate=[aime24,gsm8k]", f"evaluate.data_dir={tmp_path}", "evaluate.limit=5"),
        *("evaluate.tasks.aime24.temperature=0.1", "evaluate.tasks.aime24.max_new_tokens=9"),
    )["evaluate"]
    first, second = settings.asked(node, "aime24"), settings.asked(node, "gsm8k")
    assert (first["temperature"], first["max_new_tokens"], first["samples"]) == (0.1, 9, 64)
    assert (second["temperature"], second["max_new_tokens"], second["samples"]) == (0.6, 32768, 1)
    assert (first["data"], second["data"]) == (
        str(tmp_path / "aime24.jsonl"),
        str(tmp_path / "gsm8k"),
    )
    assert settings.asked({**node, "samples": 2}, "aime24")["samples"] == 2


def test_at_temperature_0_one_answer_is_asked_unless_more_are_wanted() -> None:
    node = config("evaluate=[aime24]", "evaluate.temperature=0")["evaluate"]
    assert settings.asked(node, "aime24")["samples"] == 1
    assert settings.asked({**node, "samples": 3}, "aime24")["samples"] == 3


def test_benchmarks_of_a_training_are_lightevals_or_data() -> None:
    found = config("trainer.benchmarks=[gsm8k,math,data/gsm8k]")
    assert list(found["evaluate"]["tasks"]) == ["gsm8k"]
    assert list(found["benchmarks"]) == ["math", "gsm8k"]


def test_parameters_of_a_trainings_benchmark_are_kept() -> None:
    found = config(
        "trainer.benchmarks=[aime24]", "evaluate=[aime24]", "evaluate.tasks.aime24.samples=2"
    )
    assert found["evaluate"]["tasks"]["aime24"]["samples"] == 2


def test_a_training_says_what_it_does_not_read() -> None:
    (problem,) = mistakes("evaluate=[aime24]")
    assert problem.key == "evaluate" and "trainer.benchmarks=[aime24]" in problem.fix
    (problem,) = mistakes("evaluate.limit=3")
    assert problem.key == "evaluate.limit"
    (problem,) = mistakes("callbacks=[benchmarks]")
    assert problem.key == "callbacks.benchmarks"
    (problem,) = mistakes("trainer.benchmarks=[aime24]", "evaluate.temperature=-1")
    assert problem.key == "evaluate.temperature"


def test_a_run_is_another_with_another_benchmark_only() -> None:
    plain = fingerprint(config())
    asked = fingerprint(config("trainer.benchmarks=[aime24]"))
    faster = fingerprint(config("trainer.benchmarks=[aime24]", "evaluate.concurrency=2"))
    colder = fingerprint(config("trainer.benchmarks=[aime24]", "evaluate.temperature=0"))
    assert len({plain, asked, colder}) == 3
    assert faster == asked
