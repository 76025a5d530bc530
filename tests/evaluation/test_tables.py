"""The tables of scores."""

from __future__ import annotations

import io
from typing import Any

from r1lab.evaluation import tables

NAMES = ("strict/pass_at_1", "lenient/pass_at_1", "strict/pass_at_4", "strict/majority_at_4")


def one(samples: int = 4, **metrics: float) -> dict[str, Any]:
    found: dict[str, float] = {"questions": 30, "samples": samples, "truncated": 0.125}
    found |= {"no_answer": 0.02, "mean_tokens": 812.4}
    for place, name in enumerate(NAMES):
        found |= {name: 0.4 + place / 10, f"{name}_low": 0.3, f"{name}_high": 0.51234}
    return {
        "metrics": found | metrics,
        "warnings": ["12% were cut"],
        "seconds": {"generation": 8.0, "strict scoring": 0.25},
        "answers": {"asked": 100, "kept": 20},
    }


def test_markdown_has_intervals_and_says_how_it_was_made() -> None:
    text = tables.markdown({"aime24": one()}, "temperature 0.6")
    head, rule, row, _, note, *_ = text.split("\n")
    assert head.count("|") == rule.count("|") == row.count("|")
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("aime24", "30 x 4", "40.0% [30.0, 51.2]", "50.0% [30.0, 51.2]"),
        *("60.0% (k=4)", "70.0% (k=4)", "12.5%", "2.0%", "812"),
    ]
    assert note == "temperature 0.6"


def test_one_sample_has_no_pass_at_k_and_what_is_unknown_is_a_dash() -> None:
    alone = one(samples=1)
    del alone["metrics"]["truncated"], alone["metrics"]["mean_tokens"]
    del alone["metrics"]["strict/pass_at_1_low"]
    cells = tables.markdown({"gsm8k": alone}, "").split("\n")[2].strip("| ").split(" | ")
    assert cells[2] == "40.0%"
    assert cells[4:7] == ["-", "-", "-"]
    assert cells[8] == "-"


def test_the_terminal_shows_times_and_warnings_uncut() -> None:
    file = io.StringIO()
    tables.show({"aime24": one()}, file)
    text = file.getvalue()
    assert "40.0% [30.0, 51.2]" in text
    assert "100 answers asked, 20 kept from before; generation 8.0 s, strict scoring 0.2 s" in text
    assert "r1lab: warning: aime24: 12% were cut" in text
