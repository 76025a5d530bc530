"""What the starting process does with signals, without a run."""

from __future__ import annotations

import signal

from r1lab.launch import local


class Worker:
    def __init__(self) -> None:
        self.got: list[int] = []

    def poll(self) -> int | None:
        return None

    def send_signal(self, number: int) -> None:
        self.got.append(number)


def test_a_signal_that_came_before_the_workers_reaches_them(monkeypatch):
    """A job that is preempted while it plans stops at its first step, and is not killed."""
    monkeypatch.setattr(local, "EARLY", [signal.SIGUSR2])
    worker = Worker()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with local._passing_on({0: worker}, mask):  # type: ignore[dict-item]
        assert worker.got == [signal.SIGUSR2]
    assert local.EARLY == []


def test_every_stop_signal_is_passed_on():
    worker = Worker()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with local._passing_on({0: worker}, mask):  # type: ignore[dict-item]
        for number in local.STOP_SIGNALS:
            signal.raise_signal(number)
    assert worker.got == list(local.STOP_SIGNALS)
