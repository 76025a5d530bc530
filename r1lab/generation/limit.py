"""How many requests are in flight: as many as make the server faster, and no more.

A server's throughput grows with the requests that it batches, up to a point that nobody knows
beforehand. The limit doubles while the measured throughput grows with it, steps back when it does
not, and tries a little more now and then. A server that says it has too much (429, 503, timeouts)
gets fewer at once, and one more with every round of answers until the old limit is near, as TCP
does (Jacobson, 1988: additive increase, multiplicative decrease).
"""

from __future__ import annotations

#: Throughput has to grow by so much for a limit twice (or, when probing, a quarter) larger to stay.
_GAIN, _PROBE_GAIN = 1.10, 1.05
_GROW, _PROBE, _SHRINK = 2.0, 1.25, 0.7
#: Of the limit at which a server had too much, what is taken again soon.
_REGAIN = 0.9
#: Windows without a change before a little more is tried.
_HOLD = 10
#: A window is at least so many seconds, and so many answers.
_WINDOW_S, _WINDOW_ANSWERS = 1.0, 20
#: Made smaller at most once in so many seconds: what is in flight fails together.
_SHRINK_EVERY_S = 1.0


class Limit:
    """The number of requests that may be in flight, from what came of earlier ones."""

    def __init__(self, start: int, maximum: int):
        self.maximum = max(1, maximum)
        self.current = max(1, min(start, self.maximum))
        self._growing = True
        self._best: tuple[int, float] | None = None  # a limit, and its throughput
        self._held = 0
        self._regain = self._part = 0.0
        self._shrunk = float("-inf")
        self._begin: float | None = None
        self._answers, self._work = 0, 0.0
        self._bound = False

    def asked(self, in_flight: int) -> None:
        """A request starts; ``in_flight`` counts it."""
        self._bound = self._bound or in_flight >= self.current

    def answered(self, now: float, work: float) -> None:
        """An answer has come; ``work`` is its tokens (1 where they are not counted)."""
        if self._regain > self.current:
            # One more for each round of answers.
            self._part += 1 / self.current
            if self._part >= 1:
                self._part = 0.0
                self.current += 1
            return
        if self._begin is None:
            self._begin = now  # the first answer opens the window, and does not count in it
            return
        self._answers += 1
        self._work += work
        seconds = now - self._begin
        if seconds >= _WINDOW_S and self._answers >= max(_WINDOW_ANSWERS, self.current):
            self._judge(self._work / seconds)
            self._begin, self._answers, self._work, self._bound = now, 0, 0.0, False

    def overloaded(self, now: float) -> None:
        """The server has too much to do, or said so."""
        if now - self._shrunk < _SHRINK_EVERY_S:
            return
        self._shrunk = now
        self._regain, self._part = self.current * _REGAIN, 0.0
        self.current = max(1, int(self.current * _SHRINK))
        self._growing, self._best, self._held = False, None, 0
        self._begin, self._answers, self._work, self._bound = None, 0, 0.0, False

    def _judge(self, throughput: float) -> None:
        if not self._bound:  # there was not enough to ask: it says nothing of the server
            return
        if self._best is None:
            self._best = (self.current, throughput)
            if self._growing:
                self._set(self.current * _GROW)
            return
        limit, best = self._best
        if self.current > limit:
            if throughput > best * (_GAIN if self._growing else _PROBE_GAIN):
                self._best = (self.current, throughput)
                self._set(self.current * (_GROW if self._growing else _PROBE))
            else:
                self.current, self._growing, self._held = limit, False, 0
            return
        self._best = (limit, 0.7 * best + 0.3 * throughput)  # servers and answers change
        self._held += 1
        if self._held >= _HOLD:
            self._held = 0
            self._set(self.current * _PROBE)

    def _set(self, value: float) -> None:
        self.current = max(1, min(self.maximum, max(self.current + 1, int(value))))
