r"""Where a completion's final answer is, and the comparisons that need no algebra."""

from __future__ import annotations

import pytest

from r1lab.verify.answers import final_answer, gold_answer, normalise, quick_verdict

FOUND = [
    (r"<think>1 or \boxed{2}</think><answer>\boxed{5}</answer>", "5"),
    ("<think>x</think>\n<answer>\n5\n</answer>", "5"),
    (r"first \boxed{5}, then \boxed{6}", "6"),
    (r"\boxed{\frac{1}{2}} is it", r"\frac{1}{2}"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"<think>a</think> <think>b</think> \boxed{7}", "7"),
    ("<answer>3</answer> or rather <answer>4</answer>", "4"),
    (r"<answer>\boxed{4}", "4"),  # complete, though the tag is not closed
    (r"<answer>The answer is $\frac{3}{4}$.</answer>", r"\frac{3}{4}"),
    ("so many\n#### 1,234", "1,234"),
    ("We add them. The final answer is: 72.", "72"),
    ("42", "42"),
    ("$x + 1$", "$x + 1$"),
    (r"The solutions are \boxed{1} and \boxed{2}.", "1, 2"),
    (r"So $x=\boxed{1}$ and $y=\boxed{2}$.", "x= 1, y= 2"),
    (r"\boxed{5} or \boxed{6}", "5, 6"),
    (r"It is \boxed{5}, or alternatively \boxed{6}.", "5, 6"),
    (r"(a) \boxed{3}" + "\n" + r"(b) \boxed{5}", "3, 5"),
    (r"\boxed{5}" + "\n\n" + r"\boxed{5}", "5"),
    (r"\boxed 5", "5"),
    (r"\fbox{7}", "7"),
    ("**Answer:** 5", "5"),
    ("### Final Answer\n\n$5$", "5"),
    ("Hence, the answer is 3.5.", "3.5"),
    ("Hence the answer is 3. This holds since 4 is even.", "3"),
    ("The final answer is 5 because of x.", "5"),
    ("Answer: $1$, $2$, and $3$", "$1$, $2$, and $3$"),
    ("The answer is:\n$$\nx=5\n$$", "\nx=5\n"),
    ("We add.\nTherefore, n = 3.", "n = 3"),
    ("We add.\nThus there are $12$ ways.", "there are $12$ ways"),
    ("We divide both sides by two and obtain\n\n$$x = 7.$$", "x = 7."),
    ("The smallest such $n$ is **7**.", "7"),
    ("All integers n ≥ 3", "All integers n ≥ 3"),
]

NOT_FOUND = [
    "",
    "   ",
    r"<think>it is \boxed{5}",
    r"<think>done</think> again <think> \boxed{5}",
    r"\boxed{5",
    r"\boxed{4} and then \boxed{5",
    "<answer>4",
    "We need the sum of 3 and 4, what is it?",
    "What is 3 + 4?",
    "There are 3 cats and 4 dogs here.",
    "Find the value of x with 2x = 10",
    r"\boxed{1} \boxed{2} \boxed{3}",
    "I do not know.",
]


@pytest.mark.parametrize(("text", "answer"), FOUND)
def test_final_answer_is_found(text: str, answer: str) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize("text", NOT_FOUND)
def test_text_that_commits_to_nothing_has_no_answer(text: str) -> None:
    assert final_answer(text) is None


@pytest.mark.parametrize(
    ("gold", "body"),
    [
        ("72", "72"),
        ("$72$", "72"),
        (r"\boxed{72}", "72"),
        (r"We add $3$ and $4$ and then get more, so it is $\boxed{7}$.", "7"),
        ("There were many of them in the box.\n#### 18", "18"),
        ("<answer> A </answer>", "A"),
        (r"\text{Tuesday}", "Tuesday"),
        ("", None),
        ("  ", None),
        ("$$", None),
        ("?", None),
        (r"\frac{1}{", None),
        ("The proof is by induction over the number of the vertices.", None),
    ],
)
def test_gold_is_read_or_unparseable(gold: str, body: str | None) -> None:
    assert gold_answer(gold) == body


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        ("7", "7.0", True),
        ("1,234", "1234", True),
        ("1{,}234", "1234", True),
        ("-5", "−5", True),
        (r"\$5", "5", True),
        ("0.1", "0.10000001", False),
        ("9007199254740992", "9007199254740993", False),  # equal as floats
        ("7", "8", False),
        (r"\dfrac{1}{2}", r"\frac 12", None),
        (r"\left( 1, 2 \right)", "(1,2)", True),
        ("Tuesday", r"\text{ tuesday. }", True),
        ("east", "seat", None),
        ("B", r"\text{(B)}", True),
        ("B", "C.", False),
        ("7", "3+4", False),
        ("12", r"1 \cdot 12", False),
        ("7", "3+4=7", None),
        ("300000", r"3 \times 10^5", None),
        ("5", "", False),
        ("15", "1 2 3 4 5", False),
        ("5", "1 \\\\ 5", False),
        (r"1, 2, \ldots, n", r"1, 3, \ldots, n", None),
        ("5", "9" * 1_000_000, False),
        ("x^2", "x*x", None),
        ("12", "1 2", False),
    ],
)
def test_quick_verdict(gold: str, answer: str, verdict: bool | None) -> None:
    assert quick_verdict(normalise(gold), normalise(answer)) is verdict
