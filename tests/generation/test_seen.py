from __future__ import annotations

from r1lab.generation.seen import Seen


def test_a_text_is_new_once() -> None:
    seen = Seen()
    assert seen.add("a") and "a" in seen and "b" not in seen
    assert not seen.add("a")
    assert len(seen) == 1


def test_it_grows_without_forgetting_and_takes_some_bytes_a_text() -> None:
    seen, count = Seen(), 50_000
    assert all(seen.add(f"text {number}") for number in range(count))
    assert not any(seen.add(f"text {number}") for number in range(count))
    assert not any(f"other {number}" in seen for number in range(count))
    assert len(seen) == count
    assert seen.bytes < 30 * count


def test_text_that_is_no_unicode_is_text_too() -> None:
    assert Seen().add("cut in half: \ud83d") and Seen().add("")
