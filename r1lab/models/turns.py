"""Where an answer begins and ends: read off the chat template, and set everywhere it is kept.

An EOS that the template never writes makes generation endless without an error. So EOS and pad are
taken from the template, set in the tokenizer, the config and the generation config, and checked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab.errors import ConfigError, Problem

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

OPENING, CLOSING = "<|im_start|>", "<|im_end|>"
#: What a tokenizer without a chat template is given: ChatML, with the generation markers that
#: `assistant_only_loss` needs.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}"
    "{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
#: Tokens that tokenizers carry for padding and similar, best first; EOS itself is the last resort.
_SPARE_PAD = ("<|endoftext|>", "<|finetune_right_pad_id|>", "<pad>", "[PAD]", "<|pad|>", "<unk>")
_PROBE = "r1lab-probe"


def set_template(tokenizer: PreTrainedTokenizerBase, config: Mapping[str, Any]) -> None:
    """Give the tokenizer the config's chat template, else leave its own, else ChatML.

    ChatML's two tokens are added to a vocabulary without them, as TRL and open-r1 do: written in
    pieces, no single token would end a turn. ConfigError for a template that does not render.
    """
    if config["chat_template"] is not None:
        path = Path(config["chat_template"]).expanduser()
        tokenizer.chat_template = path.read_text(encoding="utf-8")
    elif tokenizer.chat_template is None:
        tokenizer.chat_template = CHATML
        missing = [t for t in (OPENING, CLOSING) if t not in tokenizer.get_vocab()]
        if missing:
            tokenizer.add_tokens(missing, special_tokens=True)
        log.warning(
            "%s has no chat template: ChatML is used (set model.chat_template for another)%s",
            config["id"],
            f"; its tokens {', '.join(missing)} are new and untrained" if missing else "",
        )
    from jinja2 import TemplateError

    try:
        turn_end(tokenizer)
        prefill(tokenizer)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        where = f" at its line {line}" if line else ""
        raise ConfigError(
            Problem(
                "model.chat_template",
                config["chat_template"] or config["id"],
                f"the template cannot be rendered{where}: {error}",
                "mend it, or name another .jinja file",
            )
        ) from error


def prefill(
    tokenizer: PreTrainedTokenizerBase, template_kwargs: Mapping[str, Any] | None = None
) -> str:
    """What the template writes at the start of an answer beyond its header, such as ``<think>\\n``.

    Rewards that look for ``<think>`` must know: the completion itself does not hold it. A think
    block that the template closes again is none of the answer, whose own form is judged alone.
    """
    begun = _begun(tokenizer, template_kwargs)
    return "" if "</think>" in begun else begun


def closes_thinking(
    tokenizer: PreTrainedTokenizerBase, template_kwargs: Mapping[str, Any] | None = None
) -> bool:
    """Whether the template puts an empty think block before every answer: it asks for none."""
    return "</think>" in _begun(tokenizer, template_kwargs)


def keeps_thinking(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether an answer's thinking is still there once the template has rendered it."""
    answer = f"<think>\n{_PROBE}\n</think>\n4"
    messages = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": answer}]
    return _PROBE in str(tokenizer.apply_chat_template(messages, tokenize=False))


def _begun(
    tokenizer: PreTrainedTokenizerBase, template_kwargs: Mapping[str, Any] | None = None
) -> str:
    """The generation prompt from its ``<think>`` on, empty where it has none."""
    messages = [{"role": "user", "content": _PROBE}]
    asked = str(
        tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **(template_kwargs or {})
        )
    )
    at = asked.rfind("<think>")
    return asked[at:] if at > asked.rfind(_PROBE) else ""


def turn_end(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The special token that the template puts after an assistant's answer, None for none."""
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": _PROBE}]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    at = text.rfind(_PROBE)
    if at < 0:
        return None
    after = text[at + len(_PROBE) :].lstrip()
    # Added tokens are never split, whether they are marked special or not.
    whole = {token.content for token in tokenizer.added_tokens_decoder.values()}
    found = [t for t in whole | set(tokenizer.all_special_tokens) if t and after.startswith(t)]
    return max(found, key=len) if found else None


def align(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: Mapping[str, Any]
) -> list[str]:
    """Set EOS and pad from the config or the template, everywhere; returns what was changed.

    ConfigError when one is no token.
    """
    notes: list[str] = []
    ending = turn_end(tokenizer)
    eos = config["eos_token"] or ending or tokenizer.eos_token
    if eos is None:
        raise ConfigError(
            Problem(
                "model.eos_token",
                None,
                "neither the tokenizer nor the chat template has an end token",
                "name it: model.eos_token=...",
            )
        )
    _must_be_token("model.eos_token", eos, tokenizer)
    if ending != eos:
        ends_with = f"ends one with {ending!r}" if ending else "ends a turn with no single token"
        log.warning("EOS is %r, but the chat template %s: answers may not end", eos, ends_with)
    if tokenizer.eos_token != eos:
        source = "named by model.eos_token" if config["eos_token"] else "the chat template's"
        notes.append(f"EOS is {eos!r}, {source} (it was {tokenizer.eos_token!r})")
        tokenizer.eos_token = eos
    pad = config["pad_token"] or tokenizer.pad_token
    if pad is None or (pad == eos and config["pad_token"] is None):
        vocabulary = tokenizer.get_vocab()
        pad = next((token for token in _SPARE_PAD if token in vocabulary and token != eos), eos)
        notes.append(f"pad token is {pad!r} (it was {tokenizer.pad_token!r})")
    _must_be_token("model.pad_token", pad, tokenizer)
    tokenizer.pad_token = pad
    _make_room(model, tokenizer)
    before = model.generation_config.eos_token_id
    others = [] if before is None else [before] if isinstance(before, int) else list(before)
    ends = [tokenizer.eos_token_id, *(token for token in others if token != tokenizer.eos_token_id)]
    # Keep the model's other ends (a base model's <|endoftext|>) except a wrong one that opens a
    # turn.
    opening = tokenizer.convert_tokens_to_ids(OPENING)
    ends = [token for token in ends if token != opening or token == tokenizer.eos_token_id]
    for kept in (model.config, model.generation_config):
        kept.pad_token_id = tokenizer.pad_token_id
    model.config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    model.generation_config._from_model_config = False  # it is ours now: saved and read back as is
    notes += _make_savable(model)
    return notes


def embedding_rows(model: PreTrainedModel) -> int:
    """The tokens that the model has embeddings for. ZeRO-3 empties a weight and keeps its shape
    aside: read off the weight it would be 0, and every model would be cut to its vocabulary.
    """
    weight = model.get_input_embeddings().weight
    return int(getattr(weight, "ds_shape", weight.shape)[0])


def _make_room(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Add embedding rows for tokens that the vocabulary has and the model lacks."""
    needed = max(tokenizer.get_vocab().values()) + 1
    rows = embedding_rows(model)
    if needed > rows:
        log.warning("the embeddings grow from %d to %d rows for new tokens", rows, needed)
        model.resize_token_embeddings(needed, mean_resizing=True)


def _make_savable(model: PreTrainedModel) -> list[str]:
    """Mend a generation config that transformers would load but refuse to save, after training.

    The known case is sampling parameters beside ``do_sample: false``: they say that it samples.
    """
    from transformers import GenerationConfig

    given = model.generation_config
    reason = _unsavable(given)
    if reason is None:
        return []
    given.do_sample = True
    if _unsavable(given) is None:
        return [f"generation config: do_sample is now true, since it could not be saved: {reason}"]
    model.generation_config = GenerationConfig(
        bos_token_id=given.bos_token_id,
        eos_token_id=given.eos_token_id,
        pad_token_id=given.pad_token_id,
    )
    return [f"generation config: only its token ids are kept, it could not be saved: {reason}"]


def _unsavable(config: Any) -> str | None:
    try:
        config.validate(strict=True)
    except ValueError as error:
        return " ".join(str(error).split())
    return None


def _must_be_token(key: str, token: str, tokenizer: PreTrainedTokenizerBase) -> None:
    if (
        token not in tokenizer.get_vocab()
        or len(tokenizer.encode(token, add_special_tokens=False)) != 1
    ):
        raise ConfigError(
            Problem(
                key,
                token,
                "is not one token of this tokenizer",
                "name a token that its vocabulary has",
            )
        )
