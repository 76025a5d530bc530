"""The template of a user turn: what it can use, and what is said of one that cannot work."""

from __future__ import annotations

import pytest

from r1lab.generation.template import DEFAULT, Template, Unrendered

COLUMNS = {"problem", "level"}


@pytest.mark.parametrize("text", [DEFAULT, "{{instruction}}", "{{ prompt }}", " {{- prompt -}}\n"])
def test_the_default_adds_nothing(text):
    assert Template(text).as_is and Template(text).check(COLUMNS) == []
    assert Template(text).render(" as {{ it }} is\n", {}) == " as {{ it }} is\n"


def test_columns_and_the_prompt_can_be_named():
    text = "{% if level > 2 %}Hard. {% endif %}{{ instruction }} ({{ problem }}) <b>\n"
    template = Template(text)
    assert template.check(COLUMNS) == template.check(None) == []
    assert template.render("1 < 2?", {"problem": "p", "level": 3}) == "Hard. 1 < 2? (p) <b>\n"


def test_the_prompt_is_not_a_column_that_has_its_name():
    rendered = Template("Q: {{ prompt }}").render("mine", {"prompt": "raw", "instruction": "raw"})
    assert rendered == "Q: mine"


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("{{ instruction", "is no Jinja template", "{{ instruction }}"),
        ("a\n{% if %}", "in line 2", "mend"),
        ("{{ instruction | shout }}", "No filter named 'shout'", "mend"),
        (
            "{{ problm }}",
            "'problm' is no column of the data; it has: instruction, level",
            "problem",
        ),
        ("{{ zzz }}", "'zzz' is no column", "name one of these"),
        ("{% include 'x' %}", "includes another template", "write its text here"),
        ("", "is no text", "{{ instruction }}"),
        (None, "is no text", "{{ instruction }}"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_asked(text, message, fix):
    (problem,) = Template(text).check(COLUMNS)
    assert problem.key == "generate.prompt_template"
    assert message in problem.message and fix in problem.fix


def test_variables_of_its_own_and_of_jinja_are_no_columns():
    text = "{% set n = 2 %}{% for i in range(n) %}{{ i }}{{ loop.index }}{% endfor %}"
    assert Template(text).check(COLUMNS) == []
    assert Template(text).render("x", {}) == "0112"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ hint }}", "'hint' is undefined"),
        ("{{ level }}", "null"),
        ("{{ 1 / 0 }}", "division"),
        ("{{ instruction + 1 }}", "str"),
        ("{{ instruction.__class__.__mro__ }}", "unsafe"),
        ("{% if false %}x{% endif %}", "empty prompt"),
    ],
)
def test_a_row_that_it_cannot_be_filled_in_with_is_said(text, why):
    with pytest.raises(Unrendered, match=why):
        Template(text).render("1+1?", {"level": None})


def test_null_can_be_allowed():
    assert Template("{{ level or '' }}{{ prompt }}").render("1+1?", {"level": None}) == "1+1?"
