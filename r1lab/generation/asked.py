"""The part of a generation that asks: requests for what is missing, and groups of what is there."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from r1lab.engines.base import Engine, OwnServer
from r1lab.engines.context import context_of, fitting
from r1lab.errors import ConfigError, Problem
from r1lab.generation import settings
from r1lab.generation.client import Client, Counts
from r1lab.generation.dead_letters import DeadLetters
from r1lab.generation.journal import Journal
from r1lab.generation.place import Place
from r1lab.generation.request import Prompt, Request, key_of, seed_of
from r1lab.generation.steps.base import Group, Sample
from r1lab.generation.watch import Watch
from r1lab.serve import Stop

if TYPE_CHECKING:
    from r1lab.tracking import Tracker

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_Found = TypeVar("_Found")


class Asking:
    """Asks the engine for what the journal lacks.

    ``model`` says which model it is: its answers are kept under its name and, where they are known,
    its weights.
    """

    def __init__(
        self,
        node: Mapping[str, Any],
        engine: Engine,
        model: Mapping[str, Any],
        place: Place,
        journal: Journal,
        letters: DeadLetters,
        tracker: Tracker,
        note: Callable[[str], None],
    ):
        self.node, self.engine, self._model, self._place = node, engine, model, place
        self._journal, self._letters, self._tracker = journal, letters, tracker
        self._note = note
        self.sampling = self._sent = settings.sampling(node)

    @property
    def model_name(self) -> str:
        """As the card names it: the server's word for it, once it has been asked."""
        return str(self._place.kept.get("model") or self._model["name"])

    def ask(self, prompts: Iterable[Prompt], total: int) -> Counts:
        """Ask for all that is missing; the engine is started only where something is."""
        counts = Counts(total=total * self.node["num_generations"])
        if not self._place.kept.get("model") and isinstance(self.engine, OwnServer):
            self._place.remember(model=self.engine.model)
        named = bool(self._place.kept.get("model"))
        missing = self._first_missing(prompts, Counts()) if named else True
        if not missing:
            counts.kept = counts.total or 0
            self._note("asks    nothing: every sample is there")
            return counts
        most = self.engine.start_timeout
        self._note(f"engine  waiting for {self.engine.name} (engine.start_timeout: {most:g} s)")
        with self.engine.running():
            self._recognise()
            self._fit()
            requests = self._requests(prompts, counts)
            first = next((each for each in requests if each is not None), None)
            if first is not None:
                self._ask(chain([first], requests), counts)
        return counts

    def groups(self, prompts: Iterable[Prompt]) -> Iterator[Group]:
        """Each prompt with the samples that are there, up to the number that is asked for."""
        n = self.node["num_generations"]
        for prompt in prompts:
            stored = self._journal.read(self._key(prompt))
            samples = [Sample(number, answer) for number, answer, _ in stored if number < n]
            yield Group(prompt, samples, len(samples))

    def _key(self, prompt: Prompt) -> str:
        model = self.model_name
        if self._model.get("weights"):
            model = f"{model}@{self._model['weights']}"
        return key_of(model, self.sampling, prompt.messages)

    def _requests(self, prompts: Iterable[Prompt], counts: Counts) -> Iterator[Request | None]:
        n = self.node["num_generations"]
        for prompt in prompts:
            key = self._key(prompt)
            missing = self._journal.missing(key, n)
            counts.kept += n - len(missing)
            if not missing:
                yield None
            for sample in missing:
                seed = seed_of(self.sampling, prompt.messages, sample)
                yield Request(key, sample, prompt.row, prompt.messages, seed)

    def _first_missing(self, prompts: Iterable[Prompt], counts: Counts) -> bool:
        return any(each is not None for each in self._requests(prompts, counts))

    def _recognise(self) -> None:
        """The model that answers must be the one that answered before."""
        kept = self._place.kept.get("model")
        if kept is None:
            self._place.remember(model=self.engine.model)
        elif kept != self.engine.model:
            said = f"{self.engine.url} has {self.engine.model!r} now, and {kept!r} answered before"
            fix = "name it by generate.model=..., which is another generation"
            raise ConfigError(Problem("generate.model", None, said, fix))

    def _fit(self) -> None:
        """Ask for no more new tokens than the model has room for; the answers' keys stay."""
        asked, context = self.sampling.max_new_tokens, context_of(self.engine)
        room = fitting(asked, context)
        if room < asked:
            self._sent = replace(self.sampling, max_new_tokens=room)
            self._note(
                f"r1lab: warning: {asked} new tokens (generate.max_new_tokens) do not fit the "
                f"model's context of {context}: {room} are asked for"
            )

    def _ask(self, requests: Iterable[Request | None], counts: Counts) -> None:
        from rich.console import Console

        def point(row: dict[str, float], step: int) -> None:
            named = {f"generation/{name}": value for name, value in row.items()}
            self._tracker.log_metrics(named, step)

        watch = Watch(Console(stderr=True), self._place.folder / "throughput.jsonl", point)
        gone = self._gone if isinstance(self.engine, OwnServer) else lambda: None
        with watch.live(counts.total):
            if self.node["client"] == "distilabel":
                with _stopped_between() as look:
                    self._through_distilabel(requests, counts, _both(look, watch), gone)
            else:
                _run(self._through_client(requests, counts, watch, gone))

    def _gone(self) -> str | None:
        reason = self.engine.failure()
        return None if reason is None else f"{self.engine.name} {reason}"

    async def _through_client(
        self,
        requests: Iterable[Request | None],
        counts: Counts,
        watch: Watch,
        gone: Callable[[], str | None],
    ) -> None:
        from r1lab.generation import clients

        asker = clients.make(
            self.node["client"],
            self.node["client_replicas"],
            base_url=self.engine.url,
            api_key=self.engine.api_key,
            model=self.engine.model,
            sampling=self._sent,
            timeout_s=self.node["timeout"],
        )
        client = Client(
            asker,
            self._journal,
            self._letters.add,
            retries=self.node["retries"],
            start=self.node["input_batch_size"],
            maximum=self.node["max_concurrency"],
            server_timeout=self.node["server_timeout"],
            counts=counts,
            progress=watch,
            gone=gone,
        )
        await client.run(requests)

    def _through_distilabel(
        self,
        requests: Iterable[Request | None],
        counts: Counts,
        progress: Callable[[Counts], None],
        gone: Callable[[], str | None],
    ) -> None:
        from r1lab.generation import distilabel_client

        distilabel_client.run(
            requests,
            self._journal,
            self._letters.add,
            model=self.engine.model,
            base_url=self.engine.url,
            api_key=self.engine.api_key,
            sampling=self._sent,
            folder=self._place.folder,
            input_batch_size=self.node["input_batch_size"],
            client_replicas=self.node["client_replicas"],
            timeout=self.node["timeout"],
            retries=self.node["retries"],
            counts=counts,
            progress=progress,
            gone=gone,
        )


def _both(look: Callable[[], None], show: Callable[[Counts], None]) -> Callable[[Counts], None]:
    def progress(counts: Counts) -> None:
        show(counts)
        look()

    return progress


@contextmanager
def _stopped_between() -> Iterator[Callable[[], None]]:
    """Inside, a signal only leaves word of it; the function that is given raises Stop then."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in _STOP_SIGNALS
    }

    def look() -> None:
        if came:
            raise Stop

    try:
        yield look
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(work: Coroutine[Any, Any, _Found]) -> _Found:
    """``asyncio.run``, in which a signal ends the work between two steps of it: raises Stop.

    (A handler that raises would do so amid the writing of an answer.)
    """
    before = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(work)
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, task.cancel)
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise Stop from None
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)
