"""One answer while it is made: its text, where it ends, and how OpenAI's protocol writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1lab.engines.app.asked import Asked

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from r1lab.engines.app.sampling import Sampling

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # what half a character decodes to


class Answer:
    """Choice ``index`` of a request, for a prompt of ``prompt_tokens`` tokens."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        asked: Asked,
        index: int,
        sampling: Sampling,
        stop_ids: Sequence[int],
    ):
        self.index, self.sampling = index, sampling
        self.tokens: list[int] = []
        self.text = ""
        self.finish_reason: str | None = None
        self._tokenizer, self._asked, self._stop_ids = tokenizer, asked, set(stop_ids)
        self._told = 0  # characters that a stream has given away
        self._whole = 0  # tokens whose text is in `text`
        self._context = 0  # where decoding starts again: some tokens write a space by their left

    @property
    def watched(self) -> bool:
        """Whether every token matters as it comes."""
        return self._asked.stream or bool(self._asked.stop)

    def grow(self, tokens: Sequence[int], finished: bool) -> None:
        """Take all tokens so far; ``finished`` where none will follow."""
        if self.finish_reason is not None:
            return
        new = list(tokens[len(self.tokens) :])
        if not self.watched:
            self.tokens += new
            self.text = self._decode(self.tokens)
        for token in new if self.watched else ():
            self.tokens.append(token)
            self._add_text()
            if self._cut_at_stop():
                self.finish_reason = "stop"
                return
        if finished:
            ended = bool(self.tokens) and self.tokens[-1] in self._stop_ids
            self.finish_reason = "stop" if ended else "length"
            if self.watched:  # half a character at the end is told as it is
                self._add_text(last=True)

    def fresh(self) -> str:
        """Text that a stream has not told yet, less what may turn out to begin a stop."""
        end = len(self.text)
        if self.finish_reason is None:
            end -= max((_overlap(self.text, stop) for stop in self._asked.stop), default=0)
        told, self._told = self._told, max(self._told, end)
        return self.text[told : self._told]

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _add_text(self, last: bool = False) -> None:
        before = self._decode(self.tokens[self._context : self._whole])
        text = self._decode(self.tokens[self._context :])
        if len(text) > len(before) and (last or not text.endswith(_UNFINISHED)):
            self.text += text[len(before) :]
            self._context, self._whole = self._whole, len(self.tokens)

    def _cut_at_stop(self) -> bool:
        places = [self.text.find(stop) for stop in self._asked.stop]
        found = [place for place in places if place >= 0]
        if found:
            self.text = self.text[: min(found)]
        return bool(found)

    # What the protocol writes.

    def choice(self) -> dict[str, Any]:
        """The finished answer, as an element of ``choices``."""
        content: dict[str, Any] = {"text": self.text}
        if self._asked.chat:
            content = {"message": {"role": "assistant", "content": self.text}}
        return {"index": self.index, **content, **self._end(self.logprobs())}

    def piece(self, first: bool, told_tokens: int) -> dict[str, Any]:
        """What is new since the last piece, for a stream; ``told_tokens`` had their logprobs."""
        text = self.fresh()
        content: dict[str, Any] = {"text": text}
        if self._asked.chat:
            role = {"role": "assistant"} if first else {}
            content = {"delta": {**role, "content": text}}
        return {"index": self.index, **content, **self._end(self.logprobs(told_tokens))}

    def _end(self, logprobs: dict[str, Any] | None) -> dict[str, Any]:
        return {"logprobs": logprobs, "finish_reason": self.finish_reason}

    def logprobs(self, start: int = 0) -> dict[str, Any] | None:
        """Of the tokens from ``start`` on, in the shape of the call; None where not asked for."""
        if self._asked.logprobs is None:
            return None
        tokens = self.tokens[start:]
        drawn = self.sampling.drawn[start : start + len(tokens)]
        rows = list(zip(tokens, drawn, strict=True))
        if self._asked.chat:
            return {
                "content": [
                    {
                        **self._entry(token, value),
                        "top_logprobs": [self._entry(*pair) for pair in best],
                    }
                    for token, (value, best) in rows
                ]
            }
        offsets, length = [], len(self._decode(self.tokens[:start]))
        for token in tokens:
            offsets.append(length)
            length += len(self._decode([token]))
        return {
            "tokens": [self._word(token) for token in tokens],
            "token_logprobs": [value for _, (value, _) in rows],
            "top_logprobs": [
                {self._word(token): value for token, value in best} for _, (_, best) in rows
            ],
            "text_offset": offsets,
        }

    def _word(self, token: int) -> str:
        text: str = self._tokenizer.decode([token])
        return text

    def _entry(self, token: int, logprob: float) -> dict[str, Any]:
        text = self._word(token)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` begin ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
