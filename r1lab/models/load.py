"""Load a model and its tokenizer so that a turn ends where the chat template ends it.

An EOS that the template never writes, or a pad token equal to EOS that the loss then ignores, makes
generation endless without an error. So both are read off the template, set everywhere they are kept
(tokenizer, config, generation config), checked, and later saved with the model.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab.errors import ConfigError, PrerequisiteError, Problem
from r1lab.launch.ranks import from_environment
from r1lab.models.turns import align, closes_thinking, embedding_rows, prefill, set_template

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)
_HUB_TIMEOUT_S = 5.0


@dataclass
class Loaded:
    """A model ready to train. ``prefill`` is what the template writes of every answer, often
    ``<think>``.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prefill: str
    peft_config: PeftConfig | None
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def resolve_id(model_id: str) -> str:
    """A hub id or folder as transformers takes it; ``r1lab:NAME`` becomes its folder."""
    if model_id == "r1lab:tiny":
        return str(Path(__file__).resolve().parent / "tiny")
    if model_id == "r1lab:smollm2_135m":
        from r1lab.models.smollm2 import converted

        return str(converted())
    return str(Path(model_id).expanduser()) if model_id.startswith(("~", "/", ".")) else model_id


def load(
    config: dict[str, Any], device: str, template_kwargs: Mapping[str, Any] | str | None = None
) -> Loaded:
    """Load what the ``model`` node describes; raises ConfigError or PrerequisiteError, never half-
    loads. ``template_kwargs`` are what prompts are rendered with (``chat_template_kwargs``).
    """
    where = resolve_id(config["id"])
    if isinstance(template_kwargs, str):  # TRL takes JSON as well
        template_kwargs = json.loads(template_kwargs)
    assert not isinstance(template_kwargs, str)
    with _not_waiting_for_the_hub(where):
        return _load(config, where, device, template_kwargs or {})


def _load(
    config: dict[str, Any], where: str, device: str, template_kwargs: Mapping[str, Any]
) -> Loaded:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(config, where)
    options: dict[str, Any] = {
        "revision": config["revision"],
        "trust_remote_code": config["trust_remote_code"],
        "dtype": "float32" if config["dtype"] == "auto" and device == "cpu" else config["dtype"],
    }
    if config["attn_implementation"] is not None:
        options["attn_implementation"] = config["attn_implementation"]
    if config["quantization"] is not None:
        options["quantization_config"] = _quantization(config["quantization"], device)
        options["device_map"] = {"": from_environment().local_rank}  # whole, on this rank's GPU
    try:
        if config["from_scratch"]:
            model = _from_scratch(where, options)
        else:
            model = AutoModelForCausalLM.from_pretrained(where, **options)
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise _not_loaded(config, error) from error
    trained_rows = embedding_rows(model)
    model.config.use_cache = config["use_cache"]
    notes = align(model, tokenizer, config)
    loaded = Loaded(
        model,
        tokenizer,
        prefill(tokenizer, template_kwargs),
        _peft(config, tokenizer, trained_rows),
        dict(template_kwargs),
        notes,
    )
    if loaded.prefill:
        log.info(
            "the chat template begins every answer with %r; rewards see it as written",
            loaded.prefill,
        )
    elif closes_thinking(tokenizer, template_kwargs):
        log.warning(
            "the chat template writes an empty <think></think> before every answer, so the model "
            "is asked not to think (trainer.args.chat_template_kwargs={enable_thinking: true}?)"
        )
    for note in loaded.notes:
        log.info(note)
    return loaded


def load_tokenizer(config: dict[str, Any], where: str) -> PreTrainedTokenizerBase:
    """The tokenizer with the chat template of the config, else its own, else ChatML."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            where, revision=config["revision"], trust_remote_code=config["trust_remote_code"]
        )
    except (OSError, ValueError, ImportError) as error:
        raise _not_loaded(config, error) from error
    set_template(tokenizer, config)
    return tokenizer


def _from_scratch(where: str, options: dict[str, Any]) -> PreTrainedModel:
    """The architecture with random weights (from torch's seeded state), as pre-training begins."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    shape = AutoConfig.from_pretrained(
        where, revision=options["revision"], trust_remote_code=options["trust_remote_code"]
    )
    dtype = torch.float32 if options["dtype"] == "auto" else getattr(torch, options["dtype"])
    model = AutoModelForCausalLM.from_config(
        shape, dtype=dtype, attn_implementation=options.get("attn_implementation")
    )
    model.generation_config = GenerationConfig.from_model_config(shape)
    fresh: PreTrainedModel = model
    return fresh


def _quantization(kind: str, device: str) -> Any:
    import importlib.util

    import torch
    from transformers import BitsAndBytesConfig

    if device != "cuda":
        raise PrerequisiteError(
            "a CUDA GPU", f"model.quantization={kind} needs one", "set model.quantization=null"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise PrerequisiteError(
            "bitsandbytes", f"model.quantization={kind} needs it", "pip install bitsandbytes"
        )
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )


def _peft(
    model: dict[str, Any], tokenizer: PreTrainedTokenizerBase, trained_rows: int
) -> PeftConfig | None:
    """The adapter's config; ConfigError when it could never learn a token that ends a turn."""
    config = model["peft"]
    if config["kind"] == "none":
        return None
    if tokenizer.eos_token_id >= trained_rows and not config["modules_to_save"]:
        raise ConfigError(
            Problem(
                "model.peft.modules_to_save",
                None,
                f"{tokenizer.eos_token!r} is new to {model['id']}, and adapters train no "
                "embedding: the model could never learn to end its turn",
                "set model.peft.modules_to_save=[embed_tokens,lm_head], or a model.chat_template "
                "of tokens that the model has",
            )
        )
    from peft import LoraConfig

    return LoraConfig(
        r=config["r"],
        lora_alpha=config["alpha"],
        lora_dropout=config["dropout"],
        target_modules=config["target_modules"],
        modules_to_save=config["modules_to_save"],
        use_rslora=config["use_rslora"],
        task_type="CAUSAL_LM",
    )


@contextmanager
def _not_waiting_for_the_hub(where: str) -> Iterator[None]:
    """Without a network, use the cache at once: each file's retries take half a minute or more."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if Path(where).is_dir() or constants.is_offline_mode():
        yield
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_TIMEOUT_S)
    except Exception as error:
        log.warning(
            "%s cannot be reached (%s): the cache has to do", constants.ENDPOINT, _first_line(error)
        )
        constants.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = False
    else:
        yield


def _not_loaded(config: dict[str, Any], error: Exception) -> ConfigError:
    text = str(error)
    if "trust_remote_code" in text:
        return ConfigError(
            Problem(
                "model.trust_remote_code",
                config["trust_remote_code"],
                f"{config['id']} brings code of its own, which would be run here",
                "read that code; then set model.trust_remote_code=true and pin model.revision",
            )
        )
    if config["attn_implementation"] is not None and "attention" in text.lower():
        return ConfigError(
            Problem(
                "model.attn_implementation",
                config["attn_implementation"],
                f"cannot be used: {_first_line(error)}",
                "install what it needs, or set model.attn_implementation=sdpa",
            )
        )
    return ConfigError(
        Problem(
            "model.id",
            config["id"],
            f"could not be loaded (revision {config['revision']}): {_first_line(error)}",
            "check id, revision and network (HF_TOKEN for a gated model), or give a local folder",
        )
    )


def _first_line(error: Exception) -> str:
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
