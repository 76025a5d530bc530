"""Finding the program in a completion: fenced code blocks and the languages that label them."""

from __future__ import annotations

import re

from r1lab.verify.answers import after_reasoning

#: Labels of a fence -> the language's name here. What is not listed is its own name.
LABELS: dict[str, str] = {
    "py": "python",
    "python3": "python",
    "c++": "cpp",
    "cc": "cpp",
    "cxx": "cpp",
    "c++17": "cpp",
    "cpp17": "cpp",
    "js": "javascript",
    "node": "javascript",
    "sh": "bash",
    "shell": "bash",
}

_FENCE = "```"


def language_of(label: str) -> str:
    """The name of the language that a fence's label (``C++``, ``py``) stands for."""
    label = label.strip().lower()
    return LABELS.get(label, label)


def code_blocks(text: str) -> list[tuple[str, str]]:
    """``(language, code)`` of each fenced block, in order; the language is "" without a label.

    A fence opens at the end of a line and closes on a line that starts with one, so backquotes
    inside the program do not end it. A block that is cut off is none. One pass over the lines:
    no text makes it slow.
    """
    blocks: list[tuple[str, str]] = []
    language: str | None = None
    inside: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if language is None:
            before, fence, label = line.rpartition(_FENCE)
            if fence and _FENCE not in before and "`" not in label:
                words = label.split()
                language, inside = language_of(words[0] if words else ""), []
        elif re.match(r"\s*```(?!\w)", line):
            blocks.append((language, "\n".join(inside)))
            language = None
        else:
            inside.append(line)
    return blocks


def last_program(text: str, language: str) -> str | None:
    """The last block in ``language`` after the reasoning; ``None``: none, or it is empty.

    A completion that is still reasoning when it ends has submitted nothing.
    """
    answer = after_reasoning(text)
    if answer is None:
        return None
    wanted = language_of(language)
    found = [code for label, code in code_blocks(answer) if label == wanted]
    return found[-1] if found and found[-1].strip() else None


def open_r1_program(text: str, language: str) -> str:
    """What open-r1 takes for the program, wherever it stands; "" for none.

    The fence's label has to be exactly ``language``, and the first three backquotes end the block.
    """
    found = re.findall(rf"```{re.escape(language)}\n(.*?)```", text, re.DOTALL)
    return found[-1] if found else ""
