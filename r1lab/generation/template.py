"""The template of a user turn: Jinja that can neither reach outside nor leave a blank unnoticed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from r1lab.errors import Problem, nearest

KEY = "generate.prompt_template"
DEFAULT = "{{ instruction }}"
#: What every row has, whatever its columns: the text of its prompt.
OURS = ("instruction", "prompt")

#: Jinja's own errors, and what an expression may raise.
_FAILURES = (
    *(TemplateError, ArithmeticError, AttributeError, LookupError),
    *(RecursionError, TypeError, ValueError),
)
_AS_IS = re.compile(r"\s*\{\{-?\s*(instruction|prompt)\s*-?\}\}\s*")


class Unrendered(Exception):
    """A row that the template cannot be filled in with; the message says why."""


class Template:
    """``text`` with ``{{ instruction }}`` or ``{{ prompt }}``, the text of a row's prompt, and
    ``{{ COLUMN }}`` for each of its columns. ``as_is``: it adds nothing.
    """

    def __init__(self, text: str):
        self.text = text
        self.as_is = isinstance(text, str) and _AS_IS.fullmatch(text) is not None
        self._environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, finalize=_printed, keep_trailing_newline=True
        )
        self._template: jinja2.Template | None = None

    def check(self, columns: set[str] | None) -> list[Problem]:
        """What is wrong with it, for rows with these ``columns`` (None: not known yet)."""
        if not isinstance(self.text, str) or not self.text.strip():
            return [Problem(KEY, self.text, "is no text", f"write text with {DEFAULT}")]
        try:
            parsed = self._environment.parse(self.text)
            self._environment.from_string(self.text)  # filters and tests are looked up here
        except TemplateSyntaxError as error:
            where = f" in line {error.lineno}" if "\n" in self.text else ""
            message, fix = f"is no Jinja template: {error.message}{where}", "mend it"
            return [Problem(KEY, self.text, message, f"{fix}; the default is {DEFAULT}")]
        if any(True for _ in meta.find_referenced_templates(parsed)):
            message = "includes another template, and there are none"
            return [Problem(KEY, self.text, message, "write its text here")]
        if columns is None:
            return []
        used = meta.find_undeclared_variables(parsed) - set(self._environment.globals)
        known = {*OURS, *columns}
        return [
            Problem(
                KEY,
                self.text,
                f"{name!r} is no column of the data; it has: {', '.join(sorted(known))}",
                f"did you mean {{{{ {near} }}}}?" if near else "name one of these",
            )
            for name in sorted(used - known)
            for near in (nearest(name, known),)
        ]

    def render(self, instruction: str, row: Mapping[str, Any]) -> str:
        """The user turn of a row, whose prompt's text is ``instruction``."""
        if self.as_is:
            return instruction
        if self._template is None:
            self._template = self._environment.from_string(self.text)
        names = {**row, **dict.fromkeys(OURS, instruction)}
        try:
            text = self._template.render(names)
        except _FAILURES as error:
            raise Unrendered(str(error) or type(error).__name__) from error
        if not text.strip():
            raise Unrendered("it gives an empty prompt")
        return text


def _printed(value: Any) -> Any:
    """Refuse to print null: "None" in a prompt would go unnoticed."""
    if value is None:
        raise ValueError("it prints a value that is null (write {{ x or '' }} where that may be)")
    return value
