from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from r1lab.data.arithmetic_source import Arithmetic
from r1lab.data.build import DataBundle, build_data, fingerprint
from r1lab.data.prompts import PROMPTS
from r1lab.data.source import Source
from r1lab.errors import ConfigError, Problem

if TYPE_CHECKING:
    from datasets import Dataset

ROWS = [{"prompt": f"{i}+1?", "solution": str(i + 1), "level": i % 3} for i in range(20)]
CHAT = [
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "<think>\n4\n</think>\n4"},
]


@dataclass(kw_only=True)
class Rows(Source):
    """Rows that a test gives."""

    train: list[dict[str, Any]] = field(default_factory=lambda: list(ROWS))
    test: list[dict[str, Any]] | None = None

    def load(self) -> dict[str, Dataset]:
        from datasets import Dataset

        splits = {"train": self.train} | ({} if self.test is None else {"test": self.test})
        return {name: Dataset.from_list(rows) for name, rows in splits.items()}


def grpo(source: Source, **options: Any) -> DataBundle:
    return build_data(source, "grpo", options.pop("need_solution", True), **options)


def problems_of(source: Source, kind: str = "grpo", **options: Any) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        build_data(source, kind, options.pop("need_solution", True), **options)
    return caught.value.problems


def test_grpo_rows_are_conversations_with_the_other_columns_kept() -> None:
    bundle = grpo(Rows(system_prompt="open_r1", shuffle=False))
    assert bundle.train[2] == {
        "prompt": [
            {"role": "system", "content": PROMPTS["open_r1"]},
            {"role": "user", "content": "2+1?"},
        ],
        "solution": "3",
        "level": 2,
    }
    assert bundle.test is None
    assert bundle.report["rows"] == {"train": 20}


def test_without_a_system_prompt_there_is_no_system_message() -> None:
    assert grpo(Rows(shuffle=False)).train[0]["prompt"] == [{"role": "user", "content": "0+1?"}]


def test_columns_are_renamed_and_messages_dropped() -> None:
    rows = [{"q": "2+2?", "solution": "worked: 4", "a": "4", "messages": CHAT, "tests": "t"}]
    columns = {"prompt": "q", "solution": "a", "messages": "messages", "cases": "tests"}
    bundle = grpo(Rows(train=rows, columns=columns), need={"cases"})
    row = bundle.train[0]
    assert row["solution"] == "4" and row["cases"] == "t" and row["q"] == "2+2?"
    assert "messages" not in row and "tests" not in row


def test_a_null_column_is_absent_even_where_the_data_has_one_of_that_name() -> None:
    bundle = grpo(Rows(columns={"prompt": "prompt", "solution": None}), need_solution=False)
    assert "solution" not in bundle.train.column_names


def test_columns_that_mean_something_to_the_trainer_are_dropped() -> None:
    rows = [{**ROWS[0], "completion": "x", "trainer_state": 1, "images": "y"}]
    assert set(grpo(Rows(train=rows)).train.column_names) == {"prompt", "solution", "level"}


def test_grpo_takes_the_prompt_of_a_conversation() -> None:
    columns = {"prompt": None, "solution": None, "messages": "messages"}
    source = Rows(train=[{"messages": CHAT}], columns=columns, system_prompt="boxed")
    roles = [turn["role"] for turn in grpo(source, need_solution=False).train[0]["prompt"]]
    assert roles == ["system", "user"]


def test_numbers_are_solutions() -> None:
    bundle = grpo(Rows(train=[{"prompt": "x", "solution": 72}, {"prompt": "y", "solution": 3}]))
    assert sorted(bundle.train["solution"][:]) == ["3", "72"]


def test_sft_keeps_messages_as_they_are() -> None:
    columns = {"prompt": None, "solution": None, "messages": "messages"}
    source = Rows(train=[{"messages": CHAT, "id": 1}], columns=columns, system_prompt="open_r1")
    assert build_data(source, "sft", False).train.to_list() == [{"messages": CHAT}]


def test_sft_reads_share_gpt_with_a_system_column() -> None:
    turns = [{"from": "user", "value": "2+2?"}, {"from": "assistant", "value": CHAT[1]["content"]}]
    columns = {"prompt": None, "solution": None, "messages": "conversations", "system": "system"}
    source = Rows(train=[{"system": "Be good.", "conversations": turns}], columns=columns)
    assert build_data(source, "sft", False).train.to_list() == [
        {"messages": [{"role": "system", "content": "Be good."}, *CHAT]}
    ]


def test_sft_from_prompt_and_solution_learns_the_whole_solution() -> None:
    rows = [{"prompt": "6*12?", "solution": "6*12=72\n#### 72"}]
    source = Rows(train=rows, answer_format="hashes", system_prompt="open_r1")
    row = build_data(source, "sft", False).train[0]
    assert set(row) == {"prompt", "completion"}
    assert row["prompt"][0]["role"] == "system"
    assert row["completion"] == [{"role": "assistant", "content": "6*12=72\n#### 72"}]
    assert grpo(source).train[0]["solution"] == "72"


def test_all_missing_columns_of_all_splits_are_reported_together() -> None:
    columns = {"prompt": "problem", "solution": "solutoin"}
    found = problems_of(Rows(test=[{"prompt": "x"}], columns=columns))
    assert [(p.key, p.value) for p in found] == [
        ("data.columns.prompt", "problem"),
        ("data.columns.solution", "solutoin"),
    ] * 2
    assert "level, prompt, solution" in found[1].message
    assert "data.columns.solution=solution" in found[1].fix


def test_a_column_that_a_reward_needs() -> None:
    (problem,) = problems_of(Rows(), need={"level", "tests"})
    assert problem.key == "data.columns.tests" and "level, prompt, solution" in problem.message
    columns = {"prompt": "prompt", "solution": None}
    (problem,) = problems_of(Rows(columns=columns))
    assert problem.key == "data.columns.solution"


def test_empty_splits() -> None:
    first, second = problems_of(Rows(train=[], test=[]))
    assert "train split has zero rows" in first.message
    assert "test split has zero rows" in second.message


def test_every_bad_row_is_reported_with_its_number() -> None:
    rows = [dict(row) for row in ROWS]
    rows[3]["prompt"] = " "
    rows[7]["solution"] = None
    rows[11]["solution"] = ""
    found = problems_of(Rows(train=rows, test=[{"prompt": None, "solution": "1"}]))
    text = "\n".join(str(problem) for problem in found)
    assert "1 of 20 train rows have no prompt: rows 3 " in text
    assert "2 of 20 train rows have no solution: rows 7, 11 " in text
    assert "1 of 1 test rows have no prompt: rows 0 " in text


def test_bad_rows_are_dropped_and_counted_when_asked() -> None:
    rows = [dict(row) for row in ROWS]
    for number in range(25):
        rows.append({"prompt": "x", "solution": None, "level": number})
    bundle = grpo(Rows(train=rows, bad_rows="drop"))
    assert len(bundle.train) == 20
    dropped = bundle.report["dropped"]["train"]["no solution"]
    assert dropped["count"] == 25 and dropped["rows"] == list(range(20, 40))
    assert bundle.report["rows_loaded"] == {"train": 45}


def test_dropping_every_row_is_an_error() -> None:
    rows = [{"prompt": "x", "solution": "no mark"}] * 3
    (problem,) = problems_of(Rows(train=rows, bad_rows="drop", answer_format="hashes"))
    assert "3 of 3 train rows have no final answer (hashes)" in problem.message
    assert "data.answer_format" in problem.fix


@pytest.mark.parametrize(
    "messages", [None, [], [{"role": "user", "content": None}], CHAT[:1], [{"role": "x"}]]
)
def test_unusable_messages(messages: Any) -> None:
    columns = {"prompt": None, "solution": None, "messages": "messages"}
    source = Rows(train=[{"messages": CHAT}, {"messages": messages}], columns=columns)
    (problem,) = problems_of(source, "sft", need_solution=False)
    assert "1 of 2 train rows" in problem.message and "rows 1 " in problem.message


def each(parses: Callable[[str], bool]) -> Callable[[Sequence[str]], list[bool]]:
    return lambda golds: [parses(gold) for gold in golds]


def test_solutions_that_do_not_parse_are_counted_with_their_rows() -> None:
    bundle = grpo(Rows(test=ROWS[:2]), parses=each(lambda gold: int(gold) % 5 != 0))
    assert bundle.report["unparseable"]["train"] == {
        "checked": 20,
        "count": 4,
        "rows": [4, 9, 14, 19],
    }
    assert bundle.report["unparseable"]["test"]["count"] == 0
    (warning,) = bundle.report["warnings"]
    assert "4 of 20 train solutions" in warning and "rows 4, 9, 14, 19" in warning
    assert len(bundle.train) == 20


def test_no_solution_parses_is_an_error() -> None:
    (problem,) = problems_of(Rows(), parses=each(lambda gold: False))
    assert problem.key == "data.columns.solution" and "none of the 20 train" in problem.message


def test_each_distinct_solution_is_parsed_once_up_to_the_limit() -> None:
    asked: list[str] = []
    rows = [{"prompt": "x", "solution": str(i % 4)} for i in range(40)]
    grpo(Rows(train=rows), parses=each(lambda gold: not asked.append(gold)))
    assert sorted(asked) == ["0", "1", "2", "3"]
    asked.clear()
    bundle = grpo(Rows(check_solutions=3), parses=each(lambda gold: not asked.append(gold)))
    assert len(asked) == 3 and bundle.report["unparseable"]["train"]["checked"] == 3


def test_a_real_verifier_reports_what_does_not_parse() -> None:
    from r1lab.verify.answers import gold_answer

    rows = [*ROWS, {"prompt": "x", "solution": "", "level": 0}]
    rows[-1]["solution"] = "This is a long proof which has no final answer that one could compare."
    bundle = grpo(Rows(train=rows), parses=each(lambda gold: gold_answer(gold) is not None))
    assert bundle.report["unparseable"]["train"]["rows"] == [20]


def ids(rows: Dataset | None) -> list[str]:
    assert rows is not None
    return [row["prompt"][-1]["content"] for row in rows]


@pytest.mark.parametrize(("size", "count"), [(5, 5), (0.25, 5), (5.0, 5)])
def test_held_out_rows_are_carved_from_train(size: float, count: int) -> None:
    bundle = grpo(Rows(test_size=size))
    assert len(ids(bundle.test)) == count and len(ids(bundle.train)) == 20 - count
    assert sorted(ids(bundle.train) + ids(bundle.test)) == sorted(r["prompt"] for r in ROWS)


def test_held_out_rows_do_not_depend_on_the_caps() -> None:
    whole = grpo(Rows(test_size=6))
    capped = grpo(Rows(test_size=6, max_train=4, max_test=3))
    assert ids(capped.train) == ids(whole.train)[:4]
    assert ids(capped.test) == ids(whole.test)[:3]


def test_shuffling_is_seeded_and_can_be_off() -> None:
    first, again = ids(grpo(Rows()).train), ids(grpo(Rows()).train)
    other = ids(grpo(Rows(shuffle_seed=1)).train)
    ordered = [row["prompt"] for row in ROWS]
    assert first == again and sorted(first) == sorted(other) == sorted(ordered)
    assert len({tuple(order) for order in (first, other, ordered)}) == 3
    assert ids(grpo(Rows(shuffle=False)).train) == ordered
    kept = ids(grpo(Rows(shuffle=False, test_size=5)).train)
    assert kept == [prompt for prompt in ordered if prompt in kept]


def test_sizes_that_cannot_be() -> None:
    (problem,) = problems_of(Rows(test_size=20))
    assert problem.key == "data.test_size" and "20 of 20 rows" in problem.message
    (problem,) = problems_of(Rows(test_size=0.01))
    assert "larger" in problem.fix
    (problem,) = problems_of(Rows(test=ROWS[:2], test_size=5))
    assert "test split of its own" in problem.message and "data.max_test" in problem.fix


def test_the_fingerprint_knows_the_content_only() -> None:
    def prints(**values: Any) -> dict[str, str]:
        return grpo(Rows(**values)).report["fingerprint"]  # type: ignore[no-any-return]

    assert prints() == prints() == prints(name="other")
    changed = [*ROWS[:-1], {**ROWS[-1], "solution": "7"}]
    assert len({str(p) for p in (prints(), prints(train=changed), prints(shuffle_seed=3))}) == 3


def test_a_long_fingerprint_reads_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import Dataset

    monkeypatch.setattr("r1lab.data.build.FINGERPRINT_ROWS", 10)
    rows = [{"x": i} for i in range(100)]
    same = [{"x": i if i % 10 == 0 else -1} for i in range(100)]
    shorter = Dataset.from_list(rows[:95])
    assert fingerprint(Dataset.from_list(rows)) == fingerprint(Dataset.from_list(same))
    assert fingerprint(Dataset.from_list(rows)) != fingerprint(shorter)


def test_the_report_is_plain_values() -> None:
    report = grpo(Arithmetic(train_size=20, test_size=5), parses=each(lambda gold: True)).report
    assert json.loads(json.dumps(report)) == report
    assert report["source"]["class"] == "r1lab.data.arithmetic_source.Arithmetic"
    assert report["rows"] == {"train": 20, "test": 5}


def test_rows_are_the_same_in_another_process() -> None:
    code = (
        "from r1lab.data.arithmetic_source import Arithmetic\n"
        "from r1lab.data.build import build_data\n"
        "b = build_data(Arithmetic(train_size=50, test_size=10), 'grpo', True)\n"
        "print(b.report['fingerprint'])"
    )
    here = grpo(Arithmetic(train_size=50, test_size=10)).report["fingerprint"]
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=_environment("PYTHONHASHSEED", "7"),
    )
    assert out.stdout.strip() == str(here)


def test_the_light_check_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from r1lab.data.build import check_light\n"
        "from r1lab.data.entries import config_folder, data_file\n"
        "from r1lab.targets import build\n"
        "for file in config_folder().glob('*.yaml'):\n"
        "    check_light(build(data_file(file.stem)), {'prompt'})\n"
        "heavy = {'torch', 'datasets', 'pyarrow', 'pandas', 'transformers', 'reasoning_gym'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=_environment("PYTHONDONTWRITEBYTECODE", "1"),
    )
    assert out.stdout.strip() == "[]"


def _environment(name: str, value: str) -> dict[str, str]:
    import os
    from pathlib import Path

    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root, name: value}
