"""1 for the right letter of a multiple-choice question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from r1lab.rewards.answer_marks import gold_text, marked_answers
from r1lab.rewards.base import Completion, ParameterError, Reward, check_choice
from r1lab.verify.answers import MAX_CHARS, after_reasoning
from r1lab.verify.verifier import OnUnparseable

_LATEX_FONT = r"\\(?:boxed|text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox)(?![a-zA-Z])\s*"
_STATED = re.compile(
    r"(?i)(?:(?<![a-z])(?:answer|choice|option)|答案)[*_]{0,3}\s*+(?:is\b|是|[:：=])[*_]{0,3}"
    r"\s*+(?:[:：]\s*+)?(?=\S)"
)

#: How much of a line, and how many statements, are looked at: enough for all that are serious.
_LINE, _MOST_STATED = 300, 16


class MultipleChoice(Reward):
    r"""1.0 when the completion names the gold's letter and no other, else 0.0.

    After the reasoning, the letter is looked for in ``<answer>``, then in the last box, then in
    "Answer: B" or "the answer is B", then in a last line that is nothing but a letter. It may be
    written B, (B), B., \*\*B\*\*, ``$B$``, ``\text{B}``, ``\textbf{(B)}`` or with its option ("B)
    Paris"); a lone letter in a tag or box may be lower case. Two different letters in such a place
    ("A or B", one box after the other) name none: 0.0, counted as ``several``.

    ``choices`` are the letters of the options, in order. A gold is a letter in any of these forms,
    or a whole number that counts the options from 0. ``on_unparseable``: a gold that names no
    option gives ``None`` (``skip``), or 1.0 (``one``) or 0.0 (``zero``).
    """

    #: The gold is a letter here, and need not be mathematics that the verifier can parse.
    solution_is_math: ClassVar[bool] = False
    full_marks: ClassVar[float | None] = 1.0
    example: ClassVar[dict[str, Any]] = {
        "completions": ["<answer>(B)</answer>", "Answer: **B**", "\\boxed{C}", "It is A or B."],
        "solution": ["B"] * 4,
    }

    def __init__(self, choices: str = "ABCD", on_unparseable: OnUnparseable = "skip"):
        super().__init__()
        if not isinstance(choices, str) or not re.fullmatch(r"[A-Za-z0-9]{2,}", choices):
            fix = "give the options' letters in one word, as in ABCD"
            raise ParameterError("choices", choices, "is no row of letters", fix)
        if len(set(choices.upper())) < len(choices):
            raise ParameterError("choices", choices, "has a letter twice", "name each option once")
        check_choice("on_unparseable", on_unparseable, ("skip", "one", "zero"))
        self.choices, self.on_unparseable = choices.upper(), on_unparseable

    def __call__(  # type: ignore[override]
        self, completions: Sequence[Completion], solution: Sequence[Any], **kwargs: Any
    ) -> list[float | None]:
        pairs = zip(completions, solution, strict=True)
        return [self.value(self.text(completion), gold) for completion, gold in pairs]

    def value(self, text: str, gold: Any) -> float | None:
        """The reward of one completion."""
        wanted = self.gold_letter(gold)
        if wanted is None:
            self.counts["unparseable"] += 1
            return {"skip": None, "one": 1.0, "zero": 0.0}[self.on_unparseable]
        named = self.letters(text)
        if len(named) != 1:
            self.counts["several" if named else "no_answer"] += 1
        return float(named == {wanted})

    def gold_letter(self, gold: Any) -> str | None:
        """The option that a gold names, or ``None``."""
        if isinstance(gold, int) and not isinstance(gold, bool) and str(gold) not in self.choices:
            return self.choices[gold] if 0 <= gold < len(self.choices) else None
        body = gold_text(gold)
        named = self._named(body) if body else set()
        return named.pop() if len(named) == 1 else None

    def letters(self, text: str) -> set[str]:
        """The options that a completion commits to: one, several, or none."""
        rest = after_reasoning(text)
        if rest is None:
            return set()
        if "<answer>" in rest or r"\boxed" in rest:
            return self._all_named(marked_answers(rest))
        stated = list(_STATED.finditer(rest))
        if stated:
            start = rest.rfind("\n\n", 0, stated[-1].start()) + 1
            ends = [found.end() for found in stated[-_MOST_STATED:] if found.end() > start]
            bodies = [rest[end : end + _LINE].partition("\n")[0] for end in ends]
            return self._all_named(bodies, prose=True)
        lines = rest.strip().splitlines()
        if not lines:
            return set()
        # Options that were copied from the question end in a line with a letter, too.
        alone = len(lines) == 1 or len(re.findall(r"\w", _plain(lines[-1][:_LINE]))) == 1
        return self._named(lines[-1], ignore_case=False) if alone else set()

    def _all_named(self, bodies: list[str], prose: bool = False) -> set[str]:
        """Every option named; nothing if the last of the bodies names none."""
        if not bodies:
            return set()
        last = self._named(bodies[-1], prose=prose, ignore_case=not prose)
        found = [self._named(body, prose=prose, ignore_case=not prose) for body in bodies[:-1]]
        return last.union(*found) if last else set()

    def _named(self, body: str, prose: bool = False, ignore_case: bool = True) -> set[str]:
        """The options that one answer names.

        In ``prose`` more of the sentence may follow the letter, which must then be a capital.
        """
        if len(body) > MAX_CHARS:
            return set()
        text = re.sub(r"(?i)^(?:option|choice)\s+", "", _plain(body))
        if prose:
            text = re.split(r"\.\s|[\n;]", text)[0]
        one = f"[{self.choices}]"
        alone = re.fullmatch(r"[(\[]?\w[)\]]?[.:]?", text)
        flags = re.IGNORECASE if ignore_case or alone else re.NOFLAG
        first = re.match(rf"[(\[]?({one})([)\].:]*+)(?!\w)", text, flags)
        if first is None:
            stated = _STATED.search(text)  # <answer>The answer is B</answer>
            return self._named(text[stated.end() :], True, False) if stated and not prose else set()
        letter, rest = first[1].upper(), text[first.end() :]
        if not rest.strip(" .:"):
            return {letter}
        another = self._also_named(rest)
        if another - {letter}:
            return another | {letter}
        joined = re.match(r"\s*(?:[/&+|]|(?:or|and|to)\b)", rest)
        option = (first[2] and rest[0].isspace()) or re.match(r"\s+[-–—]\s", rest)
        return {letter} if not joined and (option or prose) else set()

    def _also_named(self, rest: str) -> set[str]:
        """Further options: "or B", ", B", a bare "B" after "A", "(B)" or "B)" anywhere."""
        one = f"[{self.choices}]"
        found = re.findall(rf"[(\[]({one})[)\]]|(?<!\w)({one})[)\]]|(?<!\w)({one})[.:]\s+\S", rest)
        joined = re.match(rf"\s*(?:[/&+|,;]\s*(?:or|and)?|or|and|to)\s*[(\[]?({one})(?!\w)", rest)
        bare = re.fullmatch(rf"[\s,;]*({one})(?:[\s,;]+{one})*[\s.]*", rest)
        letters = {letter for groups in found for letter in groups if letter}
        return letters | {match[1] for match in (joined, bare) if match}


def _plain(text: str) -> str:
    """Text without the markup around its letters; a letter that was set off gets brackets."""
    text = text.strip().strip("\"'“”‘’").strip()
    letter = r"\s*[(\[]?([A-Za-z0-9])[)\]]?[.:]?\s*"
    text = re.sub(rf"{_LATEX_FONT}\{{{letter}\}}", r"(\1) ", text)
    text = re.sub(rf"(\*\*|__|\$|`){letter}\1", r"(\2) ", text)
    text = re.sub(r"\\[ ,;:!]|\\q?quad(?![a-zA-Z])|~", " ", text)
    text = re.sub(rf"{_LATEX_FONT}|\\[()\[\]]|[*_`${{}}]", "", text)
    return text.strip()
