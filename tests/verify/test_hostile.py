"""What a model may write to stall its judge: no text takes the training process long."""

from __future__ import annotations

import time

import pytest

from r1lab.verify.answers import final_answer, gold_answer, normalise, quick_verdict
from r1lab.verify.verifier import Verifier

#: Repeated, each has made a regular expression of one library or another go back and forth.
PIECES = [
    *"({[<$#*\\=^._-,!?'\"|&%~:;1ax \n\t½∞",
    *("$ ", "$x", "$5$ ", "$$5$$ ", r"\(", r"\(5\) ", r"\[ ", "** ", "**a", "# ", "#### 5 ", " \n"),
    *("1,", "111,", "1 1/2 ", "1 ", "1.", "5!", "5\\%", "a_", "x^", "x^{", "x=", "n = 1, ", "(a)"),
    *("word ", "is ", "is: ", "is a ", "and ", ", and ", "1 or ", "a: ", "a-", "Thus. ", "x\n\n"),
    *("answer ", "answer is ", "the answer is: ", "**Answer:** ", "final answer ", "Therefore, "),
    *(
        "solution ",
        "the only solution ",
        "Thus x = ",
        "5 because ",
        "option ",
        "choice A ",
        "5 cm ",
    ),
    *("<think>", "</think>", "<answer>", "</answer>", "<answer></answer>", r"\boxed", r"\boxed{"),
    *(r"\boxed{5} ", r"\boxed{5},", r"\boxed{1} and ", r"\boxed ", r"\boxed{}", r"\fbox{", r"\\"),
    *(r"\text{", r"\text{a}", r"\text{ and }", r"\frac", r"\frac{", r"\sqrt", r"\sqrt(", r"\left("),
    *(r"\begin{pmatrix}", r"\ldots", r"\cdot", r"\quad", r"\,", r"\;\\", r"\pm", r"^\circ", r"\{"),
]
FRAMES = [
    "{}",
    r"\boxed{{{}}}",
    "<answer>{}</answer>",
    "<answer>{}",
    "The answer is {}.",
    "Therefore, {}",
    r"so \boxed{{1}}{}z\boxed{{2}} is it",
    "{}5",
    "The answer is 5{}",
]
SIZE = 100_000


@pytest.mark.parametrize("piece", PIECES)
def test_string_work_is_quick_on_hostile_texts(piece: str) -> None:
    block = piece * (SIZE // len(piece))
    took = {}  # seconds of a core: other processes of a busy machine do not count
    for frame in FRAMES:
        for text in (frame.format(block), frame.format(block[:4000])):
            started = time.process_time()
            found = final_answer(text)
            if found is not None:
                answer = normalise(found)
                for gold in ("7", r"\frac{1}{2}", "Tuesday"):
                    quick_verdict(gold, answer)
            took[frame, len(text)] = time.process_time() - started
    for length in (SIZE, 4000):
        started = time.process_time()
        gold_answer(block[:length])
        took["gold", length] = time.process_time() - started
    assert {where: seconds for where, seconds in took.items() if seconds > 1} == {}


def test_a_batch_full_of_hostile_answers_scores_the_others_in_time() -> None:
    hostile = [
        r"\boxed{9^{9^{9^9}}}",
        rf"\boxed{{{'(' * 100_000}{')' * 100_000}}}",
        rf"\boxed{{{'7' * 1_000_000}}}",
        rf"\boxed{{{'(' * 25}x{')' * 25}}}",
        r"\boxed{\int \frac{\sin x^3}{x^2+1} dx}",
        r"\boxed{\frac{x^{900}-1}{x-1}}",
        "\n" * 100_000,
        r"The answer is $\frac{1}{" + "{" * 3000,
        *(rf"\boxed{{{n}0000000!}}" for n in range(2, 6)),
    ]
    good = [(rf"\boxed{{\frac{{{n}}}{{7}}x+1}}", rf"1+\frac{{{2 * n}x}}{{14}}") for n in range(51)]
    pairs = [(text, "7") for text in hostile]
    pairs.append((r"\boxed{x+1}", r"9^{9^{9^9}}-x"))  # a gold
    for n, pair in enumerate(good):
        pairs.insert(n * len(pairs) // len(good), pair)
    assert len(pairs) == 64
    verifier = Verifier(deadline_s=3)
    try:
        verifier.verify(r"\boxed{y+y}", "2y")  # the processes are up
        started = time.monotonic()
        verdicts = verifier.verify_batch(pairs)
        assert time.monotonic() - started < 4
    finally:
        verifier.close()
    expected = [pair in good for pair in pairs]
    assert [verdict.correct for verdict in verdicts] == expected
