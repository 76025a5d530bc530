"""LightEval itself, in its own environment, against a server process that answers from a table.

The problems are generated in each benchmark's schema (generated.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas
import pytest

from tests.evaluation import generated
from tests.evaluation.lighteval_process import Done, job, run, serving

pytestmark = [pytest.mark.evaluation, pytest.mark.timeout(1800)]

#: What a model may write where the gold is 43, and whether LightEval's metric for plain golds
#: counts it, and reads an answer at all.
EXPRESSIONS: dict[str, tuple[Any, float, bool]] = {
    "boxed": (r"So it is $\boxed{43}$.", 1, True),
    "bare box": (r"\boxed{43}", 1, True),
    "sentence": ("The final answer is 43. I hope it is correct.", 1, True),
    "answer line": ("Adding them up.\nAnswer: 43", 1, True),
    "leading zero": (r"\boxed{043}", 1, True),
    "sum": (r"\boxed{42 + 1}", 1, True),
    "box before number": (r"\boxed{43}, which is not 44", 1, True),
    "thought": ("<think>Is it 12? No.</think>The answer is 43.", 1, True),
    "apart": ({"content": "The answer is 43.", "reasoning_content": "Is it 12? No."}, 1, True),
    "wrong": (r"\boxed{44}", 0, True),
    "wrong after right": (r"\boxed{43}, no, \boxed{44}", 0, True),
    "only thought": ({"content": "", "reasoning_content": r"\boxed{43}"}, 0, False),
    "in words": ("It is forty-three.", 0, False),
    "nothing": ("", 0, False),
    "empty box": (r"\boxed{}", 0, False),
}
#: The same where the gold is a solution that ends in \boxed{\frac{12}{31}}.
FRACTIONS: dict[str, tuple[Any, float, bool]] = {
    "boxed": (r"So $\boxed{\frac{12}{31}}$.", 1, True),
    "other fraction": (r"\boxed{\dfrac{24}{62}}", 1, True),
    "slash": (r"$\boxed{12/31}$", 1, True),
    "no box": (r"The answer is $\frac{12}{31}$", 1, True),
    "plain": ("The answer is 12/31", 1, True),
    "wrong": (r"\boxed{\frac{31}{12}}", 0, True),
    "half": (r"\boxed{12}", 0, True),
    "in words": ("twelve thirty-firsts", 0, False),
}
#: The same for choices; X stands for the letter of what is right, Y for another.
LETTERS: dict[str, tuple[str, float, bool]] = {
    "line": ("Counting.\nAnswer: X", 1, True),
    "bold": ("**Answer: X**", 1, True),
    "sentence": ("The final answer is X", 1, True),
    "start": ("X. Because it is.", 1, True),
    "wrong": ("Answer: Y", 0, True),
    "text of the choice": ("It is 43 units.", 0, False),
    "out of range": ("Answer: Q", 0, False),
}


def letter(row: dict[str, Any]) -> str:
    """Where GPQA's right answer stands, by the rule that is documented: a hash of the question."""
    import hashlib

    drawn = hashlib.sha256(f"0\n{row['Question']}".encode()).digest()
    return "ABCD"[int.from_bytes(drawn[:8], "big") % 4]


def build(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, Any]]]:
    """Tasks and table: one question for each case; by task and question, the case."""
    tasks, table, cases = {}, {}, {}
    for name, given in [
        ("aime24", EXPRESSIONS),
        ("aime25_part1", EXPRESSIONS),
        ("math_500", FRACTIONS),
        ("gpqa_diamond", LETTERS),
    ]:
        make, split = generated.SCHEMAS[name]
        rows = []
        for number, (case, expected) in enumerate(given.items()):
            row = make(0)
            column = next(key for key in ("problem", "question", "Question") if key in row)
            row[column] += f" ({name}, {case})"
            for key in ("id", "unique_id", "Record ID"):
                row |= {key: f"{name}/{number}"} if key in row else {}
            rows.append(row)
            answer = expected[0]
            if name == "gpqa_diamond":
                right = letter(row)
                answer = answer.replace("X", right).replace("Y", "B" if right == "A" else "A")
            table[row[column]] = [answer]
            cases[row[column]] = {"task": name, "case": case, "expected": expected}
        (folder / name).mkdir(parents=True)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name / f"{split}.jsonl").write_text(lines)
        tasks[name] = {"data": str(folder / name), "samples": 2}
    return tasks, table, cases


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> Iterator[tuple[Done, Path, dict[str, dict[str, Any]], Any]]:
    """Every case above, in one run of the four tasks of the Open-R1 article."""
    folder = tmp_path_factory.mktemp("verdicts")
    tasks, table, cases = build(folder / "data")
    with serving(folder / "server", table) as server:
        given = job(server.url, folder / "out", tasks, settings={"engine": "table"})
        yield run(given), folder / "out", cases, server.requests()


def samples(output: Path, task: str) -> pandas.DataFrame:
    return pandas.read_parquet(output / task / "samples.parquet")


@pytest.mark.parametrize("task", ["aime24", "aime25_part1", "math_500", "gpqa_diamond"])
def test_right_wrong_and_badly_formatted_answers(verdicts, task):
    done, output, cases, _ = verdicts
    assert done.code == 0, done.log
    seen = {}
    for row in samples(output, task).itertuples():
        case = next(case for text, case in cases.items() if text in row.question)
        read = bool(pandas.notna(row.extracted))
        seen.setdefault(case["case"], set()).add((row.strict, read))
    wanted = {
        case["case"]: {case["expected"][1:]} for case in cases.values() if case["task"] == task
    }
    assert seen == wanted


def test_a_task_is_summed_up_for_the_parent(verdicts):
    done, _, _, requests = verdicts
    assert done.of("start")[0]["tasks"]["aime24"] == {"questions": 15, "samples": 2}
    event = done.task("aime24")
    assert event["score"] == pytest.approx(9 / 15)
    assert event["unanswered"] == pytest.approx(4 / 15)
    assert (event["asked"], event["kept"], event["truncated"]) == (30, 0, 0)
    assert event["generate_s"] > 0 and event["score_s"] > 0
    phases = {each["phase"] for each in done.of("progress") if each["task"] == "aime24"}
    assert phases == {"generate", "score"}
    last = [each for each in done.of("progress") if each["task"] == "aime24"][-1]
    assert (last["done"], last["total"]) == (30, 30)
    assert len(requests) == 2 * (2 * len(EXPRESSIONS) + len(FRACTIONS) + len(LETTERS))


def test_lighteval_writes_its_own_results(verdicts):
    _, output, _, _ = verdicts
    (results,) = (output / "math_500" / "lighteval" / "results").rglob("results_*.json")
    read = json.loads(results.read_text())
    score = read["results"]["r1lab_math_500|0"]["extractive_match"]
    assert score == pytest.approx(samples(output, "math_500")["strict"].mean())
    assert read["config_general"]["model_name"] == "table"
    details = list((output / "math_500" / "lighteval" / "details").rglob("*.parquet"))
    assert len(details) == 1


def test_samples_hold_what_came(verdicts):
    _, output, _, _ = verdicts
    frame = samples(output, "aime24")
    assert list(frame.columns) == [
        *("task", "question_id", "question", "gold", "sample", "text", "reasoning"),
        *("finish_reason", "completion_tokens", "strict", "extracted"),
    ]
    assert frame.groupby("question_id")["sample"].apply(sorted).map(tuple).unique().tolist() == [
        (0, 1)
    ]
    assert set(frame["question_id"]) == {f"aime24/{number}" for number in range(15)}
    assert [list(gold) for gold in frame["gold"]] == [["43"]] * 30
    apart = frame[frame["question"].str.contains("apart")].iloc[0]
    assert apart["reasoning"] == "Is it 12? No."
    assert apart["text"] == "<think>\nIs it 12? No.\n</think>\n\nThe answer is 43."
    assert set(frame["finish_reason"]) == {"stop"}
    # aime_2025_1 has no ids: a hash of the prompt
    assert samples(output, "aime25_part1")["question_id"].str.fullmatch("[0-9a-f]{16}").all()


def test_prompts_are_those_of_the_article(verdicts):
    _, output, _, requests = verdicts
    assert all([each["role"] for each in r["messages"]] == ["user"] for r in requests)
    assert "Find $12 + 31$. (aime24, boxed)" in samples(output, "aime24")["question"].tolist()
    prompt = samples(output, "gpqa_diamond")["question"].iloc[0]
    assert "'Answer: $LETTER'" in prompt.splitlines()[0]
    assert [line[:2] for line in prompt.splitlines()[-4:]] == ["A)", "B)", "C)", "D)"]


def test_every_sample_is_asked_with_its_own_seed_and_the_published_sampling(verdicts):
    _, _, _, requests = verdicts
    asked = [(r["messages"][0]["content"], r["seed"]) for r in requests]
    assert len(set(asked)) == len(asked)
    assert len({seed for _, seed in asked}) > 0.9 * len(asked)
    assert {(r["temperature"], r["top_p"], r["max_tokens"]) for r in requests} == {
        (0.6, 0.95, 32768)
    }


def test_settings_say_what_the_scores_depend_on(verdicts):
    _, output, _, _ = verdicts
    settings = json.loads((output / "gpqa_diamond" / "settings.json").read_text())
    assert settings["engine"] == "table"  # the parent's word
    assert settings["lighteval"] == "0.13.0"
    assert settings["task_version"] == 1
    assert settings["sampling"] == {
        **{"temperature": 0.6, "top_p": 0.95, "seed": 0, "extra": {}},
        **{"max_new_tokens": 32768, "n": 2},
    }
    assert "{problem}" in settings["prompt"]["template"] and settings["prompt"]["hash"]
    assert settings["data"]["rows"] == len(LETTERS) and settings["data"]["fingerprint"]
    json.dumps(settings)
