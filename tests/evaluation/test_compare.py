"""Two evaluations question by question: what is paired, refused, and said."""

from __future__ import annotations

import json

import pytest

from r1lab import cli
from r1lab.errors import ConfigError
from r1lab.evaluation import evaluations
from r1lab.evaluation.compare import Options, compare
from tests.evaluation import answered

#: Right answers of two models to 12 questions, two samples each.
BASE = [[0, 0]] * 6 + [[1, 0]] * 2 + [[1, 1]] * 4
BETTER = [[1, 1]] * 6 + [[0, 0]] * 1 + [[1, 1]] * 5


@pytest.fixture
def runs(tmp_path):
    base = answered.write(tmp_path / "base", answered.rows(BASE))
    model = {"name": "better", "weights": "w2", "chat_template": "t1"}
    return base, answered.write(tmp_path / "better", answered.rows(BETTER), model=model)


def compared(first, second, **options):
    return compare(evaluations.find(first), evaluations.find(second), Options(**options))


def test_questions_are_paired(runs):
    (task,) = compared(*runs)
    strict = task.scores["strict"]
    assert (task.task, task.questions, task.samples) == ("aime24", 12, (2, 2))
    assert strict.first.value == pytest.approx(5 / 12)
    assert strict.second.value == pytest.approx(11 / 12)
    assert strict.difference.estimate.value == pytest.approx(0.5)
    assert strict.difference.estimate.low > 0
    assert strict.difference.p_value < 0.05
    assert list(task.scores) == ["strict", "lenient"]


def test_the_order_of_rows_does_not_matter(tmp_path, runs):
    mixed = answered.write(tmp_path / "mixed", answered.rows(BETTER)[::-1])
    assert compared(runs[0], mixed)[0].scores == compared(*runs)[0].scores


def test_flipped_questions_come_with_both_answers(runs):
    (task,) = compared(*runs)
    assert len(task.flips) == 7
    first, last = task.flips[0], task.flips[-1]
    assert (first.id, first.gold, first.scores) == ("q1", "1", (0.0, 1.0))
    assert first.answers == ("2", "1")
    assert first.texts == ("It is \\boxed{2}.", "It is \\boxed{1}.")
    assert (last.id, last.scores) == ("q7", (0.5, 0.0))  # the smallest change is the last
    assert last.answers == ("7", "8")


def test_flips_by_the_lenient_score(tmp_path):
    badly = answered.rows([[1], [1], [0]], strict=0.0)
    first = answered.write(tmp_path / "a", answered.rows([[1], [1], [1]]))
    second = answered.write(tmp_path / "b", badly)
    assert [flip.id for flip in compared(first, second)[0].flips] == ["q1", "q2", "q3"]
    assert [f.id for f in compared(first, second, flips_by="lenient")[0].flips] == ["q3"]


def test_other_settings_are_refused_with_both_values(tmp_path, runs):
    sampling = {**answered.SETTINGS["sampling"], "temperature": 1.0}
    prompt = {**answered.SETTINGS["prompt"], "template": "Solve this, quickly.\n\n{problem}" * 9}
    other = answered.write(
        tmp_path / "other", answered.rows(BETTER), sampling=sampling, prompt=prompt
    )
    with pytest.raises(ConfigError) as caught:
        compared(runs[0], other)
    said = {problem.key: problem for problem in caught.value.problems}
    assert list(said) == ["prompt.template (aime24)", "sampling.temperature (aime24)"]
    assert said["sampling.temperature (aime24)"].message == "was 0.6 in A and 1.0 in B"
    assert "quickly" in said["prompt.template (aime24)"].message
    assert "--force" in said["sampling.temperature (aime24)"].fix
    (task,) = compared(runs[0], other, force=True)
    assert task.differing["sampling.temperature"] == (0.6, 1.0)


def test_other_numbers_of_samples_are_refused_though_nobody_recorded_them(tmp_path):
    first = answered.write(tmp_path / "a", answered.rows([[1, 0]] * 3), sampling={})
    second = answered.write(tmp_path / "b", answered.rows([[1]] * 3), sampling={})
    with pytest.raises(ConfigError, match=r"sampling\.n.*was 2 in A and 1 in B"):
        compared(first, second)
    assert compared(first, second, force=True)[0].samples == (2, 1)


def test_another_wording_of_a_question_is_refused(tmp_path, runs):
    reworded = [row | {"question": row["question"] + " Think."} for row in answered.rows(BETTER)]
    other = answered.write(tmp_path / "other", reworded)
    with pytest.raises(ConfigError, match=r"question \(aime24\)"):
        compared(runs[0], other)


def test_other_questions_are_left_out_only_when_told(tmp_path, runs):
    fewer = answered.write(tmp_path / "fewer", answered.rows(BETTER[:9]))
    with pytest.raises(ConfigError) as caught:
        compared(runs[0], fewer, force=True)
    (problem,) = caught.value.problems
    assert "3 only in A (q10, q11, q12)" in problem.message
    assert "--intersect" in problem.fix
    (task,) = compared(runs[0], fewer, intersect=True)
    assert task.questions == 9
    assert task.only == (["q10", "q11", "q12"], [])


def test_no_common_question_or_benchmark_is_an_error(tmp_path, runs):
    others = [
        row | {"question_id": f"x{row['question_id']}", "question": f"{row['question']}!"}
        for row in answered.rows(BETTER)
    ]
    other = answered.write(tmp_path / "other", others)
    with pytest.raises(ConfigError, match="share no question"):
        compared(runs[0], other, force=True, intersect=True)
    math = answered.write(tmp_path / "math", answered.rows(BETTER), task="math_500")
    with pytest.raises(ConfigError, match="share no benchmark"):
        compared(runs[0], math)
    with pytest.raises(ConfigError, match="the second has math_500"):
        compared(runs[0], math, tasks=["aime24"])


def test_unjudged_answers_are_left_out_and_counted(tmp_path, runs):
    table = answered.rows(BETTER)
    table[0]["strict"] = None
    table[2]["strict"] = table[3]["strict"] = None
    other = answered.write(tmp_path / "other", table)
    strict = compared(runs[0], other)[0].scores["strict"]
    assert strict.unjudged == 1
    assert strict.first.questions == strict.second.questions == 11


def test_lightevals_results_are_paired_by_the_questions_text(tmp_path, runs):
    file = answered.write_lighteval(tmp_path / "light", answered.rows(BETTER))
    (task,) = compared(runs[0], file)
    assert task.scores["strict"].difference.estimate.value == pytest.approx(0.5)
    assert "engine.name" in task.unknown
    assert list(task.scores) == ["strict"]
    sampling = {**answered.SETTINGS["sampling"], "max_new_tokens": 32768}
    longer = answered.write(tmp_path / "longer", answered.rows(BASE), sampling=sampling)
    with pytest.raises(ConfigError, match=r"max_new_tokens.*was 32768 in A and 100 in B"):
        compared(longer, file)


@pytest.mark.parametrize("where", ["", "evaluation", "evaluation/aime24"])
def test_a_run_an_evaluation_and_a_benchmark_are_found(runs, where):
    assert list(evaluations.find(runs[0] / where)) == ["aime24"]


def test_what_is_there_instead_is_named(tmp_path):
    answered.write(tmp_path / "run/evaluations/checkpoint-100", answered.rows(BASE))
    with pytest.raises(ConfigError, match=r"name one: .*evaluations/checkpoint-100"):
        evaluations.find(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"python -m r1lab evaluate"):
        evaluations.find(tmp_path / "run/evaluations")
    with pytest.raises(ConfigError, match="no such file"):
        evaluations.find(tmp_path / "nowhere")


def run(capsys, *arguments):
    code = cli.main(["compare", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_the_tables_fit_a_narrow_terminal(runs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, *runs, "--flips", "2")
    assert code == 0
    assert "aime24: 12 questions x 2 samples" in out
    assert "+50.0 [" in out
    assert "strict: B is better by 50.0 points" in out
    assert "only by B: 6, only by A: 1" in out
    assert "and 5 more" in out
    tables = [line for line in out.splitlines() if "[" in line or "…" in line]
    assert all(len(line) <= 80 and "…" not in line for line in tables)


def test_json_holds_everything(runs, capsys):
    code, out, _ = run(capsys, *runs, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["only"] == {"a": [], "b": []}
    task = found["tasks"]["aime24"]
    assert task["scores"]["strict"]["difference"]["estimate"]["value"] == pytest.approx(0.5)
    assert len(task["flips"]) == 7
    assert task["flips"][0]["texts"] == ["It is \\boxed{2}.", "It is \\boxed{1}."]


def test_markdown_has_the_same_numbers(runs, capsys):
    code, out, _ = run(capsys, *runs, "--markdown")
    assert code == 0
    assert "| score | A | B | B - A | p | MDE |" in out
    assert "| q1 | 0 | 1 | 1 | 2 | 1 |" in out


def test_a_gold_that_is_a_solution_is_shown_by_its_answer(tmp_path, capsys):
    gold = ["Adding them up gives $\\boxed{\\frac{1}{3}}$, as was to be shown."]
    first = answered.write(tmp_path / "a", answered.rows([[0.0]], gold=gold))
    second = answered.write(tmp_path / "b", answered.rows([[1.0]], gold=gold))
    _, out, _ = run(capsys, first, second)
    assert "\\frac{1}{3} " in out
    assert "too few to show one" in out


def test_equal_models_differ_in_nothing(runs, capsys):
    code, out, _ = run(capsys, runs[0], runs[0])
    assert code == 0
    assert "strict: no question differs" in out
    assert "the same word for word" in out


def test_refusals_are_printed_with_their_fix(tmp_path, runs, capsys):
    engine = {"name": "transformers", "max_model_len": 4096}
    other = answered.write(tmp_path / "other", answered.rows(BETTER), engine=engine)
    code, out, err = run(capsys, runs[0], other)
    assert (code, out) == (2, "")
    assert 'engine.name (aime24): was "vllm" in A and "transformers" in B' in err
    code, out, _ = run(capsys, runs[0], other, "--json")
    assert code == 2
    assert json.loads(out)["errors"][0]["key"] == "engine.name (aime24)"
    code, out, _ = run(capsys, runs[0], other, "force=true")
    assert code == 0
    assert 'warning: engine.name was "vllm" in A and "transformers" in B' in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a"], "takes two evaluations"),
        (["a", "b", "--forse"], "did you mean --force"),
        (["a", "b", "force=perhaps"], "no yes or no"),
        (["a", "b", "--score=best"], "choose strict or lenient"),
        (["a", "b", "--flips", "many"], "no number"),
        (["a", "b", "--task"], "needs a value"),
        (["a", "b", "--json", "--markdown"], "both given"),
    ],
)
def test_mistakes_in_the_command_are_said(arguments, said, capsys):
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert said in err


def test_help_shows_the_flags(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "--intersect" in out
