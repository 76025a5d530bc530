from __future__ import annotations

from collections import Counter

import pytest

from r1lab.data.coding import VERSION, make_problem, split_of
from r1lab.data.coding_templates import TEMPLATES, Draw

SAMPLE = [make_problem(0, index) for index in range(300)]


def test_the_generator_is_frozen() -> None:
    """A change to these rows is a new version of the data."""
    assert VERSION == "coding-1"
    row = make_problem(0, 0)
    assert row["kind"] == "nth_largest"
    assert row["cases"][:2] == [
        ("-11 60 -37 -40 -29 -12\n", "-26\n"),
        ("26 82 76 -5 -19 24 -40\n", "27\n"),
    ]


def test_rows_depend_on_their_arguments_alone() -> None:
    assert make_problem(3, 7) == make_problem(3, 7)
    assert make_problem(3, 7) != make_problem(4, 7)
    assert make_problem(3, 7, "test") != make_problem(3, 7)
    assert make_problem(3, 7, tests=4)["cases"][:4] != []


def test_every_kind_occurs_in_both_splits() -> None:
    kinds = {template.name for template in TEMPLATES}
    assert len(kinds) == len(TEMPLATES) >= 15
    assert {row["kind"] for row in SAMPLE} == kinds
    held_out = Counter(make_problem(0, index, "test")["kind"] for index in range(300))
    assert set(held_out) >= kinds - {"reverse"}  # of its four variants none may be held out


def task(problem: str) -> str:
    return problem.partition("Example input")[0]


def test_train_and_test_share_no_task_for_any_seed() -> None:
    train = {task(make_problem(seed, index)["problem"]) for seed in (0, 1) for index in range(300)}
    test = {task(make_problem(9, index, "test")["problem"]) for index in range(300)}
    assert not train & test
    assert split_of("reverse", {"what": "x"}) in ("train", "test")


def test_inputs_are_distinct_and_some_outputs_differ() -> None:
    for row in SAMPLE:
        assert len(row["cases"]) == len({given for given, _ in row["cases"]}) == 8
        assert all(given.endswith("\n") and wanted.endswith("\n") for given, wanted in row["cases"])
    same = Counter(row["kind"] for row in SAMPLE if len({out for _, out in row["cases"]}) == 1)
    assert sum(same.values()) <= 6, same  # printing one constant should earn little


def test_the_example_is_a_test() -> None:
    row = SAMPLE[0]
    given, wanted = row["cases"][-1]
    assert row["problem"].endswith(f"Example input:\n{given}\nExample output:\n{wanted}")


#: Statement's parameters, an input, and the output worked out by hand.
WORKED = [
    ("sum_of_multiples", {"k": 3}, "3 4 -6 9", "6"),
    ("count_letters", {"letters": "ae"}, "amber stone", "3"),
    ("reverse", {"what": "", "expression": '" ".join(words)[::-1]'}, "ab cd", "dc ba"),
    ("common_divisor", {"k": 2}, "12 18 30", "12"),
    (
        "sort_by_remainder",
        {"k": 3, "order": "", "descending": True},
        "1 2 3 4 6",
        "6 3 4 1 2",
    ),
    ("spread", {"k": 2}, "-1 4 2", "10"),
    ("nth_largest", {"k": 1, "plus": 5}, "1 9 3 7 5 2", "12"),
    ("factorial_remainder", {"m": 100}, "5", "20"),
    ("recurrence", {"a": 1, "b": 2, "c": 1}, "4", "7"),
    ("primes", {"low": 10}, "20", "4"),
    ("shift_letters", {"k": 2}, "xyz ab", "zab cd"),
    ("common_word", {"k": 4}, "b a a b b", "a 2"),
    ("digits_in_base", {"base": 2, "what": "", "expression": "sum(digits)"}, "11", "3"),
    ("run_lengths", {"k": 1}, "aabccc", "a2c3"),
    ("transpose", {"k": 1}, "1 2\n3 4", "2 4\n3 5"),
    ("brackets", {"yes": "Y", "no": "N"}, "([])(", "N"),
]


@pytest.mark.parametrize(("name", "parameters", "given", "wanted"), WORKED)
def test_reference_programs(name: str, parameters: dict, given: str, wanted: str) -> None:
    (template,) = (each for each in TEMPLATES if each.name == name)
    template.task.format(**parameters)
    space: dict = {}
    exec(template.body.format(**parameters), space)
    assert str(space["solve"](given)) == wanted


def test_every_reference_program_was_worked_through() -> None:
    assert {name for name, *_ in WORKED} == {template.name for template in TEMPLATES}


def test_draws_are_spread_evenly() -> None:
    draw = Draw("any")
    counts = Counter(draw.below(10) for _ in range(5000))
    assert set(counts) == set(range(10))
    assert max(counts.values()) < 1.3 * min(counts.values())


def test_unknown_split() -> None:
    with pytest.raises(ValueError, match="split='dev'"):
        make_problem(0, 0, "dev")
