r"""Right and wrong answers, and what hostile ones do to the process that compares them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from r1lab.verify.batch import Job, Outcome
from r1lab.verify.verifier import Verifier

HANGS = r"\boxed{9^{9^{9^9}}}"


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    shared = Verifier(deadline_s=20)
    yield shared
    shared.close()


def boxed(answer: str) -> str:
    return rf"\boxed{{{answer}}}"


EQUAL = [
    (r"\frac{1}{2}", "0.5"),
    (r"\frac12", r"\dfrac{1}{2}"),
    ("1/3", "0.333333"),
    ("x^2+2x+1", "(x+1)^2"),
    (r"\{1,2\}", "2, 1"),
    ("1,2", r"1 \text{ and } 2"),
    ("x=5", "5"),
    ("5", "x = 5"),
    ("5", r"5\text{ cm}"),
    (r"90^\circ", "90"),
    ("50%", "0.5"),
    (r"2\sqrt{3}", r"\sqrt{12}"),
    ("300000", r"3 \times 10^5"),
    ("1<x<2", "(1,2)"),
    ("(1,2)", "1<x<2"),
    ("2x+4y-3=0", r"y = -\frac{1}{2}x + \frac{3}{4}"),
    (r"1\frac{1}{2}", r"\frac{3}{2}"),
    (r"\sqrt{1/n}", r"\frac{1}{\sqrt{n}}"),  # math-verify's #64
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
]
DIFFERENT = [
    ("4", r"4\sqrt{2}"),
    ("4", r"4\sqrt(2)"),  # math-verify's #41
    (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),  # this and the next five: #14
    (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"),
    ("n=2, 3, 4", "n=1, 2, 3"),
    (r"1 - \frac{1}{\mathrm{e}}", r"1 + \frac{1}{\mathrm{e}}"),
    (r"\pm 2021", "2021"),
    ("12:00", "1:00"),
    ("3*x-1*y+13=0", "3x + 4y + 14=0"),  # #60
    ("f(x) = 0", r"\forall x>0, f(x) = 0"),  # #64
    ("3", "1,2,3"),
    ("3", r"1 \text{ or } 3"),
    ("(1,2)", "(2,1)"),
    ("|x|", "x"),
    (r"\pi", "3.14159"),
    ("0", "1e-9"),
    ("x", "y"),
]


def test_equal_answers(verifier: Verifier) -> None:
    verdicts = verifier.verify_batch([(boxed(answer), gold) for gold, answer in EQUAL])
    wrong = [pair for pair, v in zip(EQUAL, verdicts, strict=True) if v.correct is not True]
    assert wrong == []


def test_different_answers(verifier: Verifier) -> None:
    verdicts = verifier.verify_batch([(boxed(answer), gold) for gold, answer in DIFFERENT])
    wrong = [pair for pair, v in zip(DIFFERENT, verdicts, strict=True) if v.correct is not False]
    assert wrong == []


def test_every_gold_equals_itself_in_every_dress(verifier: Verifier) -> None:
    golds = [gold for pair in EQUAL + DIFFERENT for gold in pair]
    dresses = [
        "<answer>{}</answer>",
        r"\boxed{{{}}}",
        "so $$\n\\boxed{{ {} }}$$",
        "<answer>${}$</answer>",
    ]
    pairs = [(dress.format(gold), gold) for gold in golds for dress in dresses]
    verdicts = verifier.verify_batch(pairs)
    assert [p for p, v in zip(pairs, verdicts, strict=True) if v.correct is not True] == []
    assert all(verifier.parses_batch(golds))


@pytest.mark.parametrize("gold", ["5", "15", r"\frac{1}{2}", "Tuesday", "1,2"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "<think></think><answer></answer>",
        "<think>\n5 Tuesday\n</think>\n<answer>\n\n</answer>",
        r"<think>\boxed{5} \boxed{15} \boxed{\frac{1}{2}} \boxed{Tuesday} \boxed{1,2}</think>",
        r"<think>\boxed{5}",
        r"\boxed{}",
        "<answer>1 2 3 4 5</answer>",
        r"<answer>1, 2, 3, 4, 5, 15, \frac{1}{2}</answer>",
        r"\boxed{5 \text{ or } 15 \text{ or } \frac{1}{2}}",
        "<answer>Monday Tuesday Wednesday</answer>",
        "<answer>2+3</answer>",
        "<answer>What is 2+3, 1,2 or 15?</answer>",
    ],
)
def test_nothing_scores_without_one_answer(verifier: Verifier, text: str, gold: str) -> None:
    assert verifier.verify(text, gold).correct is False


def test_unparseable_gold_gives_no_verdict(verifier: Verifier) -> None:
    golds = ["", "$$", None, True, r"\frac{1}{"]
    assert [verifier.verify(boxed("1"), gold).correct for gold in golds] == [None] * len(golds)
    assert verifier.parses_batch(golds) == [False] * len(golds)
    assert verifier.verify("", "").correct is None


def test_numbers_from_a_typed_column(verifier: Verifier) -> None:
    pairs = [(boxed("72"), 72), (boxed("0.5"), 0.5), (boxed("73"), 72)]
    assert [v.correct for v in verifier.verify_batch(pairs)] == [True, True, False]


@pytest.mark.parametrize(
    "answer",
    ["(" * 100_000, "{" * 100_000, r"\sqrt" * 500, "1" * 1_000_000, "a" * 3000, "((((" * 50 + "x"],
)
def test_degenerate_answers_are_wrong(verifier: Verifier, answer: str) -> None:
    started = time.monotonic()
    assert verifier.verify(boxed(answer), "7").correct is False
    assert time.monotonic() - started < 21


def test_distinct_pairs_are_compared_once_and_remembered() -> None:
    verifier = Verifier(cache_size=4)
    asked: list[int] = []
    run = verifier.pool.run
    verifier.pool.run = lambda jobs: asked.append(len(jobs)) or run(jobs)  # type: ignore[method-assign,func-returns-value]
    try:
        batch = [(boxed("x+1"), "1+x")] * 8 + [(boxed("x+2"), "1+x")] * 8
        verifier.verify_batch(batch)
        verifier.verify_batch(batch)  # what the next reward does
        assert asked == [2]
        verifier.verify_batch([*batch, (boxed("x+2") + "!", "1+x")])  # another text, no new answer
        assert asked == [2, 0]
        verifier.verify_batch([(boxed(f"x+{n}"), "1+x") for n in range(3, 9)])
        verifier.verify_batch(batch)
        assert asked == [2, 0, 6, 2]  # the cache is bounded
    finally:
        verifier.close()


def test_doubtful_timeouts_are_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = Verifier()
    asked: list[int] = []

    def run(jobs: list[Job]) -> list[Outcome]:
        asked.append(len(jobs))
        return [Outcome(True, failure="timeout", certain=False)] * len(jobs)

    monkeypatch.setattr(verifier.pool, "run", run)
    for text in ("so", "so", "then", "thus"):  # the second is what the next reward asks
        assert verifier.verify(f"{text} {boxed('x+1')}", "1+x").timeout
    assert asked == [1, 1, 0]


def test_plain_answers_need_no_process() -> None:
    verifier = Verifier()
    verifier.verify_batch([(boxed("7"), "7"), (boxed("8"), "7"), ("no answer", "1/2")])
    assert verifier.pool.pids() == []


def test_importing_the_verifier_is_light() -> None:
    code = (
        "import sys, r1lab.rewards.accuracy, r1lab.rewards.cosine, r1lab.rewards.build;"
        "r1lab.rewards.accuracy.Accuracy(); r1lab.rewards.cosine.Cosine();"
        "print([m for m in ('torch', 'sympy', 'math_verify', 'trl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_bad_deadline_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="deadline_s"):
        Verifier(deadline_s=0)


def test_rewards_with_a_running_verifier_are_picklable() -> None:
    from r1lab.rewards.accuracy import Accuracy

    reward = Accuracy()
    reward([boxed("x+x")], solution=["2x"])
    assert pickle.loads(pickle.dumps(reward))([boxed("x+x")], solution=["2x"]) == [1.0]
