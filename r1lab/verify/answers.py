r"""Finding the final answer in a text, and the comparisons that need no computer algebra.

Everything here is plain string work, cheap enough for the training process. It gives a verdict only
where that verdict is certain, and leaves the rest to :mod:`r1lab.verify.verifier`.
"""

from __future__ import annotations

import re
from fractions import Fraction

from r1lab.verify.normal import balanced, closing, normalise, number, words
from r1lab.verify.words import number_word

__all__ = ["after_reasoning", "choice", "final_answer", "gold_answer", "last_boxed", "normalise"]
__all__ += ["number", "quick_verdict", "words"]

#: Changed whenever verdicts do: what was remembered under another version is not used.
VERSION = "4"
#: No final answer is longer; what is longer is a degenerate completion, and wrong.
MAX_CHARS = 4000
#: A gold without mathematics and with more words than this is a remark, which nothing can equal.
MAX_GOLD_WORDS = 8
#: And so is one with mathematics and more words than this: it is a solution.
MAX_MIXED_WORDS = 40
#: Significant digits from which on a gold's decimal stands for all values that round to it.
GOLD_DIGITS = 3

_CHOICE = re.compile(
    r"(?:\\text(?:bf|rm)?\s*\{\s*|\\mathrm\s*\{\s*|\*\*|\(?[Oo]ption\s+|\(?[Cc]hoice\s+)?"
    r"(?:\(([A-J])\)|([A-J])(?:[).:]|(?=\W*$)))[}*.:]*\s*(.*)",
    re.DOTALL,
)
#: What follows the first of several choices: ", (C)".
_MORE_CHOICES = re.compile(
    r"(?:[\s.)}*]*(?:,|;|&|and|or|\\text\s*\{[,\s]*(?:and|or)\s*\})+"
    r"(?:\\text(?:bf)?|[\s{(*])*[A-J](?![a-zA-Z]))+\W*"
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|(?=[0-9a-zA-Z]))")
_AND = r"(?:and|or|&|\\text\s*\{[\s,]*(?:and|or)[\s,]*\}|\\quad|\\qquad|\\\\|\\[,;:!])"
#: What may stand between boxes that belong together: commas, "and", "y =", "(b)".
_BETWEEN = re.compile(
    rf"[\s$,;.*()\[\]\\]*(?:{_AND}[\s$,;*()\[\]]*)*(?P<label>\\?[a-zA-Z]+(?:_\{{?\w+\}}?)?\s*=\s*)?"
    r"(?:\(?(?:[a-z]|[ivx]+|[0-9])\)[\s$:]*)?"
)
#: What says that the box before is not taken back but offered beside this one.
_OFFERED = re.compile(
    r"(?i)[^\n]{0,40}\b(?:or|alternatively|maybe|perhaps|possibly|could also be)\b[^\n]{0,40}"
)
_LABEL = re.compile(r"(\\?[a-zA-Z]+(?:_\{?\w+\}?)?\s*=)\s*(?:\$|\\\(|\\\[)?\s*$")
_ANSWER_IS = re.compile(
    r"(?i)\b(?:answers?|(?:the|only) solutions?(?= (?:is|are)))\b"
    r"(?:\s+(?:to|for|of)\b[^.\n:$]{0,60}?)?[\s*]*"
    r"(?:\b(?:is|are|should be|must be)\b|:|=)[\s*:]*(?=\S)"
)
_HEADING = re.compile(r"(?im)^[ \t#*]*(?:final[ \t]+)?answer[ \t*:#]*\n\s*(?=\S)")
_CONCLUDES = re.compile(
    r"(?:^|(?<=[.!?\n]))\s*(?:\*\*)?(?:Therefore|Thus|Hence|So|Consequently|In conclusion"
    r"|We conclude that|Finally|∴|\$?\\therefore)\b[\s,:]*(?:that\s+)?(?P<rest>[^\n]+)\s*$"
)
_WEIGHTY = re.compile(
    r"(?i)\b(?:therefore|thus|hence|so|altogether|in total|finally|in all)\b|\*\*"
)
_DISPLAY = re.compile(
    r"(?:\$\$([^$]*=[^$]*)\$\$|\\\[((?:(?!\\\[).)*=(?:(?!\\\[).)*)\\\])[.\s]*$", re.DOTALL
)
_REASON = re.compile(r"[,;]?\s+(?:because|since|as|which|so|due to|by the)\b.*", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[^\d\s])\.\s+(?=[A-Z\\$])|(?<=\d)\.\s+(?=[A-Z])")
_STORY = re.compile(
    r"(?i)(?:there|we|i(?!,| (?:and|or|only) )|it|let|they|he|she|this|these|what|how|find|compute"
    r"|solve|evaluate|determine|simplify|expand|factor|calculate|prove|show|express|given|if|suppose"
    r"|which|who|when|where)\b"
)
#: Two numbers side by side; a mixed number (1 1/2) is none.
_SIDE_BY_SIDE = re.compile(r"(?<![_0-9.])[0-9]+\s+(?![0-9]+\s*/)[0-9]")
#: Work left undone between two operands. Without this, copying the question is an answer.
_UNDONE = re.compile(r"[0-9a-zA-Z)}\]!]\s*(?:[-+*×·÷]|\\times|\\cdot|\\div|\\pm)")
_ADVANCED = re.compile(r"[\^!√_]|\\(?:frac|sqrt|binom|sum|prod|log|ln|sin|cos|tan|pi)")
_NUMERIC = re.compile(r"(?:\\frac|\\sqrt|[-+0-9./{}^()])+")
_TAIL = 20_000


def after_reasoning(text: str) -> str | None:
    """What follows the last ``</think>``, or ``None`` when the reasoning never ended."""
    rest = text[text.rfind("</think>") + len("</think>") :] if "</think>" in text else text
    return None if "<think>" in rest else rest


def last_boxed(text: str) -> str | None:
    r"""The content of the last ``\boxed{...}``; ``None`` without one, or when it is cut off."""
    start = max(text.rfind(r"\boxed"), text.rfind(r"\fbox"))
    box = _box(text, start) if start >= 0 else None
    return None if box is None else box[0]


def final_answer(completion: str) -> str | None:
    """The answer that a completion commits to, without its wrapping, or ``None``.

    In order: the last box inside the last ``<answer>``; that ``<answer>`` itself; the last box,
    with those that "and" or a comma joins to it; what follows ``####`` or "the answer is"; the
    whole text if it is nothing but an answer; the conclusion of the last line. Joined boxes are
    one answer, a list: several guesses are as wrong as the list of them. Boxes in a row with
    nothing between them are no answer.
    """
    scope = after_reasoning(completion)
    if scope is None:
        return None
    opened = scope.rfind("<answer>")
    closed = False
    if opened >= 0:
        scope = scope[opened + len("<answer>") :]
        end = scope.find("</answer>")
        closed = end >= 0
        scope = scope[:end] if closed else scope
    if r"\boxed" in scope or r"\fbox" in scope:
        return _boxed(scope)
    if opened >= 0 and not closed:
        return None  # cut off: what is there may be the beginning of another number
    tail = _stated(scope[-_TAIL:])
    if tail is not None:
        return tail
    scope = scope.strip()
    if closed or _is_bare(scope):
        return scope
    return _conclusion(scope[-2000:])


def gold_answer(gold: str) -> str | None:
    """The reference answer in a gold, which may be a whole solution; ``None``: unparseable."""
    body = last_boxed(gold) if r"\boxed" in gold else None
    if body is None:
        opened, end = gold.rfind("<answer>"), gold.rfind("</answer>")
        body = gold[opened + len("<answer>") : end] if 0 <= opened < end else None
    if body is None:
        body = gold.rpartition("####")[2] if "####" in gold else None
    if body is None:
        body = gold
        if _prose_words(body) > MAX_GOLD_WORDS and not re.search(r"\d|[$\\=<>]", body):
            return None
        if _prose_words(body) > MAX_MIXED_WORDS:
            body = _stated(gold) or ""
    if "\n" in body.strip() and r"\begin" not in body:
        body = re.sub(r"[,;]?\s*\n\s*", "; ", body.strip())
    body = normalise(body)
    if len(body) > MAX_CHARS or not re.search(r"[^\W_]|[∞∅]", body) or not balanced(body):
        return None
    return body


def quick_verdict(gold: str, answer: str) -> bool | None:
    """Compare two normalised answers without algebra; ``None`` when it takes some."""
    if not answer or len(answer) > MAX_CHARS:
        return False
    if gold == answer:
        return True
    gold_number = number(gold)
    if _NUMERIC.fullmatch(gold) and words(answer) is not None:
        return None if any(map(number_word, answer.lower().split())) else False
    if gold_number is not None:
        said = number(answer)
        if said is not None:
            return said == gold_number or _rounds_to(said, gold_number, gold)
    gold_words = words(gold)
    if gold_words is not None and gold_words == words(answer):
        return True
    (letter, rest), (said_letter, said_rest) = choice(gold), choice(answer)
    if letter and said_letter:
        return letter == said_letter
    if (letter and rest) or (said_letter and said_rest):
        return None
    if not balanced(answer) or _several(answer):
        return False
    if (r"\forall" in gold) != (r"\forall" in answer):
        return False
    if gold_number is not None:
        value = answer.rpartition("=")[2]
        if _UNDONE.search(value) and not _ADVANCED.search(value):
            return False
    return None


def _rounds_to(value: Fraction, decimal: Fraction, written: str) -> bool:
    """5.1436 for a gold of 5.14: a decimal of three significant digits states its precision."""
    places = len(written.partition(".")[2])
    digits = str(abs(decimal.numerator * 10**places // decimal.denominator)) if decimal else ""
    return places >= 2 and len(digits) >= GOLD_DIGITS and 2 * 10**places * abs(value - decimal) <= 1


def choice(text: str) -> tuple[str | None, str]:
    """The letter of a multiple choice and what stands beside it: ``(A) 5`` gives A and 5."""
    found = _CHOICE.fullmatch(text)
    if found is None or _MORE_CHOICES.fullmatch(found[3]):
        return None, text
    return found[1] or found[2], found[3]


def _box(text: str, start: int) -> tuple[str, int] | None:
    """The content of the box that begins at ``start`` and the index behind it."""
    opening = _BOX.match(text, start)
    if opening is None:
        return None
    if not opening[0].endswith("{"):
        bare = re.compile(r"-?[0-9]+(?:\.[0-9]+)?|[a-zA-Z]").match(text, opening.end())
        return (bare[0], bare.end()) if bare else None
    end = closing(text, opening.end())
    return None if end is None else (text[opening.end() : end], end + 1)


def _boxed(scope: str) -> str | None:
    """The last box, or the list that it and the boxes beside it make."""
    starts = [match.start() for match in _BOX.finditer(scope)]
    if not starts:
        return None
    boxes = [(start, _box(scope, start)) for start in starts[-12:]]
    if boxes[-1][1] is None:
        return None
    found = [boxes[-1][1][0]]
    labels = [_LABEL.search(scope[max(0, boxes[-1][0] - 30) : boxes[-1][0]])]
    after = boxes[-1][0]
    for start, box in reversed(boxes[:-1]):
        if box is None or box[1] > after:
            break
        between = scope[box[1] : after]
        if len(between) > 200 or not (_BETWEEN.fullmatch(between) or _OFFERED.fullmatch(between)):
            break
        if box[0].strip() != found[-1].strip():
            if not re.search(r"[a-zA-Z,;&=]", between):
                return None  # guesses in a row
            found.append(box[0])
            labels.append(_LABEL.search(scope[max(0, start - 30) : start]))
        after = start
    if len(found) == 1:
        return found[0]
    if all(labels) and not any("=" in content for content in found):
        pairs = zip(labels, found, strict=True)
        found = [f"{label[1]} {content}" for label, content in pairs if label]
    return ", ".join(reversed(found))


def _stated(scope: str) -> str | None:
    """What follows the last ``####``, or the last "answer is", on its line."""
    if "####" in scope:
        after = scope.rpartition("####")[2].strip()
        if not re.match(r"(?i)\**(?:final\s+)?answer", after):
            return after.partition("\n")[0]
    found = [*_ANSWER_IS.finditer(scope), *_HEADING.finditer(scope)]
    if not found:
        return None
    rest = scope[max(match.end() for match in found) :].strip().removeprefix("**").strip()
    display = re.match(r"\\\[(.+?)\\\]|\$\$(.+?)\$\$", rest, re.DOTALL)
    if display:
        return display[1] or display[2]
    return _sentence(rest.partition("\n")[0])


def _conclusion(scope: str) -> str | None:
    """What a text without a box or an "answer is" ends with, if it ends with a result."""
    concluded = _CONCLUDES.search(scope)
    if concluded:
        return _sentence(concluded["rest"])
    if scope.endswith("?"):
        return None
    display = _DISPLAY.search(scope)
    if display:
        before = scope[: display.start()].strip()
        return (display[1] or display[2]) if before else None
    last = _SENTENCE_END.split(scope.rpartition("\n")[2].strip())[-1]
    bold = re.findall(r"\*\*([^*]+)\*\*", last)
    if len(bold) == 1:
        return str(bold[0])
    if not _WEIGHTY.search(last) or last == scope:
        return None
    quoted = re.findall(r"\$([^$]+)\$", last)
    return quoted[0] if len(quoted) == 1 and not bold else None


def _sentence(line: str) -> str | None:
    """A line up to the end of its sentence and without the reasons it gives."""
    line = _SENTENCE_END.split(re.sub(r"\s+", " ", line).strip())[0]
    line = _REASON.sub("", line).strip().rstrip("*").strip()
    line = line[:-1] if line.endswith(".") else line
    quoted = re.match(r"\$([^$]+)\$(?!\s*(?:,|and|or|\$|\w))", line)
    return quoted[1] if quoted else line or None


def _is_bare(text: str) -> bool:
    """Whether a text is one answer and nothing else, so that all of it is the answer."""
    if not text or len(text) > 200 or "\n" in text or "?" in text:
        return False
    if not re.search(r"[^\W\d_]{2,}\s+[^\W\d_]{2,}", re.sub(r"\\[a-zA-Z]+", " ", text)):
        return text.replace(r"\$", "").count("$") % 2 == 0
    if text.endswith(".") and re.search(r"[\d$\\]", text):
        return False
    return not (text.endswith(("!", ":")) or _STORY.match(text) or _prose_words(text) > 25)


def _prose_words(text: str) -> int:
    prose = re.sub(r"\$[^$]*\$|\\\(.{,500}?\\\)|\\[a-zA-Z]+", " ", text)
    return len(re.findall(r"[^\W\d_]{2,}", prose))


def _several(answer: str) -> bool:
    """Whether values stand side by side, or in lines, with nothing to say how they belong."""
    if r"\begin" in answer:
        return False
    return r"\\" in answer or bool(_SIDE_BY_SIDE.search(answer) and number(answer) is None)
