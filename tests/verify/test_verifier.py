r"""Right and wrong answers, and what hostile ones do to the process that compares them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import RewardError
from r1lab.verify.pool import START_LIMIT
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


def test_hanging_answer_is_cut_off_and_the_others_score() -> None:
    verifier = Verifier(deadline_s=2)
    try:
        good = [(boxed(rf"\frac{{{n}}}{{2}}"), f"{n / 2}") for n in range(1, 60, 2)]
        verifier.verify_batch([*good[:2], (boxed(r"\frac{3}{7}"), r"\frac{6}{14}")])  # warm
        started = time.monotonic()
        verdicts = verifier.verify_batch([*good[:10], (HANGS, "7"), *good[10:], (HANGS, "7")])
        assert time.monotonic() - started < 3
        assert verdicts.pop().timeout
        hung = verdicts.pop(10)
        assert (hung.correct, hung.failure) == (False, "timeout")
        assert all(verdict.correct for verdict in verdicts)
        # It is not paid for again, and what hung was replaced.
        started = time.monotonic()
        assert verifier.verify(HANGS, "7").timeout
        assert time.monotonic() - started < 0.5
        assert verifier.verify(boxed("x+x"), "2x").correct is True
    finally:
        verifier.close()


def test_many_hanging_answers_do_not_queue_up(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = Verifier(deadline_s=3)
    bombs = [HANGS, *map(boxed, ["10^{10^{10}}", "100000000!", r"\sum_{k=1}^{10^9} k^k"])]
    at_once: list[int] = []
    staff = verifier.pool._staff

    def watched(waiting: int) -> None:
        staff(waiting)
        at_once.append(len(verifier.pool.pids()))

    monkeypatch.setattr(verifier.pool, "_staff", watched)
    try:
        verdicts = verifier.verify_batch([(bomb, "7") for bomb in bombs])
        assert all(verdict.timeout for verdict in verdicts)
        assert max(at_once) == len(bombs)
        assert len(verifier.pool.pids()) <= verifier.pool.size  # the extra ones are let go
    finally:
        verifier.close()


def test_hanging_gold_is_cut_off_too() -> None:
    verifier = Verifier(deadline_s=1)
    try:
        assert verifier.verify(boxed("x+1"), "9^{9^{9^9}}-x").timeout
    finally:
        verifier.close()


@pytest.mark.parametrize(
    "answer",
    ["(" * 100_000, "{" * 100_000, r"\sqrt" * 500, "1" * 1_000_000, "a" * 3000, "((((" * 50 + "x"],
)
def test_degenerate_answers_are_wrong(verifier: Verifier, answer: str) -> None:
    started = time.monotonic()
    assert verifier.verify(boxed(answer), "7").correct is False
    assert time.monotonic() - started < 21


def test_killed_workers_are_replaced(verifier: Verifier) -> None:
    assert verifier.verify(boxed("y+y"), "2y").correct is True
    for pid in verifier.pool.pids():
        os.kill(pid, signal.SIGKILL)
    assert verifier.verify(boxed("z+z"), "2z").correct is True


def test_worker_killed_at_work_does_not_lose_its_item(verifier: Verifier) -> None:
    verifier.verify(boxed("p+p"), "2p")
    verdicts = []
    slow = [(boxed(rf"(x+1)^{{{n}}}"), rf"(1+x)^{{{n}}}+x-x") for n in range(5, 25)]
    thread = threading.Thread(target=lambda: verdicts.extend(verifier.verify_batch(slow)))
    thread.start()
    time.sleep(0.1)
    for pid in verifier.pool.pids()[:1]:
        os.kill(pid, signal.SIGKILL)
    thread.join(timeout=60)
    assert [verdict.correct for verdict in verdicts] == [True] * len(slow)


def test_threads_share_a_verifier(verifier: Verifier) -> None:
    results: dict[int, bool | None] = {}

    def work(n: int) -> None:
        results[n] = verifier.verify(
            boxed(rf"\frac{{{n}}}{{3}}"), rf"\frac{{{2 * n}}}{{6}}"
        ).correct

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(1, 6), True)


def test_forked_child_leaves_the_parents_workers_alone(verifier: Verifier) -> None:
    verifier.verify(boxed("q+q"), "2q")
    before = verifier.pool.pids()
    child = os.fork()
    if child == 0:
        fine = not verifier.pool.pids() and verifier.verify(boxed("r+r"), "2r").correct
        verifier.close()
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert verifier.pool.pids() == before
    assert verifier.verify(boxed("k+k"), "2k").correct is True


def test_distinct_pairs_are_compared_once_and_remembered() -> None:
    verifier = Verifier(cache_size=4)
    asked: list[int] = []
    run = verifier.pool.run
    verifier.pool.run = lambda jobs: asked.append(len(jobs)) or run(jobs)  # type: ignore[method-assign,func-returns-value]
    try:
        batch = [(boxed("x+1"), "1+x")] * 8 + [(boxed("x+2"), "1+x")] * 8
        verifier.verify_batch(batch)
        verifier.verify_batch(batch)
        assert asked == [2, 0]
        verifier.verify_batch([(boxed(f"x+{n}"), "1+x") for n in range(3, 9)])
        verifier.verify_batch(batch)
        assert asked == [2, 0, 6, 2]  # the cache is bounded
    finally:
        verifier.close()


def test_plain_answers_need_no_process() -> None:
    verifier = Verifier()
    verifier.verify_batch([(boxed("7"), "7"), (boxed("8"), "7"), ("no answer", "1/2")])
    assert verifier.pool.pids() == []


PARENT = r"""
import signal, sys, time
from r1lab.verify.verifier import Verifier
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background job
verifier = Verifier(deadline_s=2)
verifier.verify_batch([(r"\boxed{x+x}", "2x"), (r"\boxed{y+y}", "2y")])
print(*verifier.pool.pids(), flush=True)
if sys.argv[1] == "busy":
    verifier.verify(r"\boxed{9^{9^{9^9}}}", "2x")
elif sys.argv[1] == "idle":
    time.sleep(60)
"""


@pytest.mark.parametrize("mode", ["busy", "idle", "exit", "interrupt"])
def test_no_worker_outlives_its_parent(mode: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, {"interrupt": "idle"}.get(mode, mode)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert pids
    if mode == "interrupt":
        parent.send_signal(signal.SIGINT)
    elif mode != "exit":
        time.sleep(0.3)
        parent.kill()
    parent.wait(timeout=30)
    parent.stdout.close()
    limit = time.monotonic() + 2 + 2
    while any(map(_alive, pids)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not any(map(_alive, pids))


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_missing_math_verify_is_a_prerequisite(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "math_verify.py").write_text("raise ImportError('no such thing')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PrerequisiteError, match="pip install"):
        Verifier().verify(boxed("x+x"), "2x")


def test_a_worker_that_cannot_start_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = Verifier(memory_mib=1)
    started = time.monotonic()
    with pytest.raises(RewardError, match="fails to start"):
        verifier.verify(boxed("x+x"), "2x")
    assert time.monotonic() - started < START_LIMIT


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
