"""Completion lengths in tokens, for rewards that count them.

A row's own ``completion_ids`` or ``completion_tokens`` count; else the text is tokenized with the
model's ``tokenizer.json`` alone, which needs neither transformers nor torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab.errors import ConfigError, Problem
from r1lab.models.load import resolve_id
from r1lab.rewards.base import content_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BATCH = 256


def wants_tokens(reward: Callable[..., Any]) -> bool:
    """Whether a reward reads ``completion_ids``: it names them, and does not count characters.

    open-r1's lengths, with ``compat``, are characters too.
    """
    inner = getattr(reward, "__wrapped__", reward)
    if "completion_ids" not in inspect.signature(inner).parameters:
        return False
    if not hasattr(inner, "length_unit"):
        return True
    return inner.length_unit == "tokens" and getattr(inner, "compat", None) is None


class Lengths:
    """Gives each row of a batch something whose ``len()`` is its number of tokens.

    Texts are counted as they stand: the token that ends a turn is in a run's lengths, and in no
    text. ``counted`` is how many rows were; :attr:`note` says with what.
    """

    def __init__(self, model: Mapping[str, Any], default: bool = False):
        self._model, self._default = model, default
        self._tokenizer: Tokenizer | None = None
        self.counted = 0

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[Sequence[int]]:
        found = [_own(row) for row in rows]
        missing = [index for index, ids in enumerate(found) if ids is None]
        if missing:
            texts = [content_of(rows[index]["completion"]) for index in missing]
            for index, size in zip(missing, self._count(texts), strict=True):
                found[index] = range(size)
        return [ids for ids in found if ids is not None]

    @property
    def note(self) -> str | None:
        """Which tokenizer counted, as a sentence; None where none had to."""
        if not self.counted:
            return None
        rows = f"{self.counted} row{'s' if self.counted != 1 else ''}"
        said = f"lengths of {rows} were counted with the tokenizer of {self._model['id']}"
        if self._default:
            said += ", the default model: name yours (model=...), or put completion_ids in the rows"
        return said

    def _count(self, texts: list[str]) -> list[int]:
        if self._tokenizer is None:
            self._tokenizer = _load(self._model)
        # A lone surrogate, which JSON can hold, has no UTF-8 form.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        sizes: list[int] = []
        for first in range(0, len(clean), _BATCH):
            batch = self._tokenizer.encode_batch(
                clean[first : first + _BATCH], add_special_tokens=False
            )
            sizes += [len(encoding.ids) for encoding in batch]
        self.counted += len(texts)
        return sizes


def _own(row: Mapping[str, Any]) -> Sequence[int] | None:
    if row.get("completion_ids") is not None:
        ids: Sequence[int] = row["completion_ids"]
        return ids
    tokens = row.get("completion_tokens")
    return None if tokens is None else range(tokens)


def _load(model: Mapping[str, Any]) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        file = _tokenizer_file(resolve_id(str(model["id"])), str(model["revision"]))
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers and the Hub's client raise many kinds, also bare ones
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(
            Problem(
                "model.id",
                model["id"],
                f"lengths in tokens need its tokenizer, which cannot be loaded: {line}",
                "name another model (model=tiny), count characters (rewards.NAME.length_unit=chars)"
                ", or put completion_ids or completion_tokens in the rows",
            )
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _tokenizer_file(where: str, revision: str) -> Path:
    folder = Path(where)
    if folder.is_dir():
        if not (folder / "tokenizer.json").is_file():
            raise FileNotFoundError(f"{folder} holds no tokenizer.json")
        return folder / "tokenizer.json"
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(where, "tokenizer.json", revision=revision))
