"""The prompts of a generation: those of training, streamed, each once."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from r1lab.data.arithmetic_source import Arithmetic
from r1lab.data.build import build_data
from r1lab.data.hub import Hub
from r1lab.data.local import Local
from r1lab.data.mixture import Mixture
from r1lab.data.source import Source
from r1lab.errors import ConfigError, Problem
from r1lab.generation.prompts import Prompts

ROOT = Path(__file__).resolve().parents[2]
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "2"},
]


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def local(tmp_path: Path, rows: list[Any], **values: Any) -> Local:
    return Local(path=str(jsonl(tmp_path / "rows.jsonl", rows)), **values)


def problems_of(prompts: Prompts) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        next(iter(prompts))
    return caught.value.problems


def sources(folder: Path) -> dict[str, Source]:
    plain = [{"prompt": f"{i}+1?", "solution": f"so #### {i + 1}"} for i in range(5)]
    file = str(jsonl(folder / "plain.jsonl", plain))
    sums: dict[str, Any] = {"path": file, "answer_format": "hashes", "shuffle": False}
    mixed = [{"source": Local(**sums, system_prompt="boxed")}]
    columns = {"prompt": "problem", "solution": None, "messages": None, "system": "system"}
    own = [{"problem": "1?", "system": "Be kind."}, {"problem": "2?", "system": None}]
    told: dict[str, str | None] = {"prompt": None, "solution": None, "messages": "messages"}
    return {
        "local": Local(**sums, system_prompt="open_r1"),
        "arithmetic": Arithmetic(train_size=9, shuffle=False),
        "mixture": Mixture(mixture=mixed, shuffle=False),
        "system": Local(path=str(jsonl(folder / "s.jsonl", own)), columns=columns, shuffle=False),
        "turns": Local(
            path=str(jsonl(folder / "m.jsonl", [{"messages": TURNS}])), columns=told, shuffle=False
        ),
    }


@pytest.mark.parametrize("name", ["local", "arithmetic", "mixture", "system", "turns"])
def test_they_are_the_prompts_and_answers_that_training_would_have(tmp_path, name):
    source = sources(tmp_path)[name]
    prompts = Prompts(source)
    assert prompts.check() == []
    gold = source.column("solution") is not None
    trained = build_data(source, "grpo", need_solution=gold).train.to_list()
    assert [p.messages for p in prompts] == [row["prompt"] for row in trained]
    assert [p.gold for p in prompts] == [row.get("solution") for row in trained]
    assert [p.row for p in prompts] == list(range(len(trained)))
    assert len(prompts) == len(trained)


def test_a_template_is_the_user_turn_alone(tmp_path):
    rows = [{"prompt": "1+1?", "level": 3}, {"prompt": TURNS, "level": 4}]
    source = local(tmp_path, rows, system_prompt="boxed", columns={"prompt": "prompt"})
    first, second = Prompts(source, template="Level {{ level }}: {{ instruction }}")
    assert [m["content"] for m in first.messages] == [source.system_text(), "Level 3: 1+1?"]
    assert [m["content"] for m in second.messages] == ["Be brief.", "Hello", "Hi", "Level 4: 1+1?"]
    assert first.values == rows[0]
    (plain,) = Prompts(source, limit=1)
    assert plain.messages[1]["content"] == "1+1?"


def test_equal_prompts_are_asked_once(tmp_path):
    rows = [{"prompt": p, "solution": s} for p, s in [("a", "1"), ("b", "2"), ("a", "3")]]
    prompts = Prompts(local(tmp_path, [*rows, {"prompt": "c", "solution": "4"}]))
    assert [(p.row, p.gold) for p in prompts] == [(0, "1"), (1, "2"), (3, "4")]
    assert (len(prompts), prompts.repeated) == (3, 1)
    rendered = Prompts(prompts.source, template="{{ prompt }} {{ solution }}")
    assert len(rendered) == 4 and rendered.repeated == 0


def test_limit_ends_it(tmp_path):
    rows = [{"prompt": p, "solution": "1"} for p in ["a", "a", "b", "c"]] + [{"prompt": ""}]
    prompts = Prompts(local(tmp_path, rows), limit=2)
    assert [p.row for p in prompts] == [0, 2]  # and the bad row behind them is nobody's concern
    assert len(prompts) == 2


def test_rows_without_a_prompt_are_listed(tmp_path):
    rows = [{"prompt": None if i % 2 else f"{i}?", "solution": "1"} for i in range(30)]
    rows[4]["prompt"] = [{"role": "robot", "content": "x"}]
    (problem,) = problems_of(Prompts(local(tmp_path, rows)))
    assert problem.message.startswith("16 of 30 train rows have no prompt: rows 1, 3, 4, 5, 7,")
    assert "and 6 more" in problem.message and "data.bad_rows=drop" in problem.fix
    prompts = Prompts(local(tmp_path, rows, bad_rows="drop"))
    assert len(list(prompts)) == len(prompts) == 14
    assert prompts.dropped == {"no prompt": 16}


def test_rows_that_the_template_cannot_use_are_listed(tmp_path):
    rows: list[dict[str, Any]] = [{"prompt": f"{i}?", "solution": "1", "hint": "h"} for i in "abc"]
    del rows[1]["hint"]
    rows[2]["hint"] = None
    source = local(tmp_path, rows)
    problems = problems_of(Prompts(source, template="{{ prompt }} {{ hint }}"))
    assert "'hint' is undefined" in problems[0].message and "rows 1 " in problems[0].message
    assert "null" in problems[1].message and "rows 2 " in problems[1].message


def test_a_reason_that_differs_in_every_row_is_summed_up(tmp_path):
    rows = [{"prompt": f"{i}?", "solution": "1"} for i in range(100)]
    template = "{{ {}[prompt] }}{{ prompt.x[prompt] }}"
    problems = problems_of(Prompts(local(tmp_path, rows), template=template))
    assert len(problems) <= 11 and sum(int(p.message.split()[0]) for p in problems) == 100
    assert "generate.prompt_template" in problems[0].fix


def test_drop_does_not_hide_that_no_row_has_a_prompt(tmp_path):
    source = local(tmp_path, [{"prompt": " ", "solution": "1"}] * 3, bad_rows="drop")
    (problem,) = problems_of(Prompts(source))
    assert "3 of 3 train rows" in problem.message and "data.columns" in problem.fix


@pytest.mark.parametrize(
    ("values", "key", "said"),
    [
        ({"split": "tset"}, "generate.split", "has no such split"),
        ({"template": "{{ x"}, "generate.prompt_template", "no Jinja"),
        ({"template": "{{ promt }}"}, "generate.prompt_template", "no column"),
    ],
)
def test_mistakes_are_found_before_the_data_is_loaded(tmp_path, values, key, said):
    rows = [{"prompt": "a", "solution": "1"}]
    for source in (local(tmp_path, rows), Arithmetic(train_size=5)):
        (problem,) = Prompts(source, **values).check()
        assert problem.key == key and said in problem.message


def test_what_only_training_knows_is_refused(tmp_path):
    rows = [{"prompt": "a", "solution": "1"}]
    source = local(tmp_path, rows, max_train=3, test_size=0.5)
    assert [p.key for p in Prompts(source).check()] == ["data.max_train", "data.test_size"]
    assert Prompts(Arithmetic(train_size=5, test_size=5)).check() == []


def test_mistakes_in_the_data_are_its_own(tmp_path):
    (problem,) = Prompts(Local(path=str(tmp_path / "none.jsonl"))).check()
    assert problem.key == "data.path"


def test_what_shows_only_in_loaded_data_is_said_before_the_first_prompt(tmp_path):
    from datasets import Dataset

    Dataset.from_list([{"question": "a", "n": 1}]).save_to_disk(str(tmp_path / "saved"))
    columns: dict[str, str | None] = {"prompt": "question", "solution": "answer"}
    source = Hub(id=str(tmp_path / "saved"), columns=columns)
    prompts = Prompts(source, template="{{ m }}")
    assert prompts.check() == []
    assert [p.key for p in problems_of(prompts)] == [
        "data.columns.solution",
        "generate.prompt_template",
    ]
    (problem,) = Prompts(source, split="test").check()
    assert problem.key == "generate.split" and "data.splits.test" in problem.fix


def test_a_generated_test_split(tmp_path):
    source = Arithmetic(train_size=5, test_size=3)
    prompts = list(Prompts(source, split="test"))
    assert [p.values["problem"] for p in prompts] == list(source.load()["test"]["problem"])


def test_memory_stays_flat(tmp_path):
    script = """
        import re, sys
        from pathlib import Path
        from r1lab.data.local import Local
        from r1lab.generation.prompts import Prompts

        def peak():  # MiB
            status = Path("/proc/self/status").read_text()
            return int(re.search(r"VmHWM:\\s+(\\d+)", status).group(1)) / 1024

        with open(sys.argv[1], "w") as file:
            for number in range(50_000):
                file.write(f'{{"prompt": "{number}? {"x" * 1000}", "solution": "1"}}\\n')
        prompts = Prompts(Local(path=sys.argv[1]))
        before = peak()
        assert sum(1 for _ in prompts) == len(prompts) == 50_000
        print(peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "big.jsonl")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 15  # the file has 50
