"""What the GRPO trainer adds to TRL's metrics and tables."""

from __future__ import annotations

import pytest

from r1lab.trainers.grpo import MAX_VALUE_CHARS, frac_zero_std, shortened

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "share"),
    [
        ([1, 0, 0, 1], 0.0),
        ([1, 0, 1, 1], 0.5),
        ([0, 0, 1, 1], 1.0),
        ([NAN, NAN, 1, 0], 0.5),  # a group to which the reward does not apply tells nothing
        ([1, NAN, 1, 0], 0.5),  # nor does a group with one value
    ],
)
def test_share_of_groups_without_a_difference(values: list[float], share: float) -> None:
    assert frac_zero_std(values, 2) == share


def test_a_long_value_is_named_by_its_length_and_a_short_one_kept() -> None:
    assert shortened("1/2") == "1/2"
    assert shortened(["a"]) == ["a"]
    assert shortened("x" * (MAX_VALUE_CHARS + 1)) == "[20001 characters, not logged]"
