"""An adapter (LoRA) and its base as one model, made once and kept in a cache.

Engines could apply an adapter beside its base, but not every adapter: vLLM refuses one that trains
embeddings or a head in full (``modules_to_save``) and limits its rank, its build for CPUs applies
none, and each answer would cost more. Merged, an adapter is a model like any other, and both
engines give the same answers.

``python -m r1lab.models.merge ADAPTER TARGET`` does it, in a process of its own: torch and the
weights are gone from memory before an engine starts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from r1lab.errors import ConfigError, Problem, first_cause
from r1lab.models.smollm2 import cache_folder

#: Part of the folder's name, so that a change of the merging makes a new one.
_VERSION = "v1"
_CONFIG = "adapter_config.json"


def is_adapter(folder: Path) -> bool:
    return (folder / _CONFIG).is_file()


def merged(adapter: Path) -> Path:
    """The folder of the merged model, made on first use; ConfigError where that fails."""
    target = cache_folder() / f"merged-{_VERSION}-{_digest(adapter)[:16]}"
    if (target / "config.json").is_file():
        return target
    print(f"merging {adapter} into its base model", file=sys.stderr, flush=True)
    path = os.pathsep.join(part or os.getcwd() for part in sys.path)
    done = subprocess.run(
        [sys.executable, "-m", "r1lab.models.merge", str(adapter), str(target)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise ConfigError(
            Problem(
                "model",
                str(adapter),
                f"its adapter could not be merged into the base model: {_reason(done.stderr)}",
                f"check base_model_name_or_path in {adapter / _CONFIG}, network and memory",
            )
        )
    return target


def _reason(stderr: str) -> str:
    start = stderr.rfind("Traceback (most recent call last)")
    return first_cause(stderr[start:]) if start >= 0 else (stderr.strip() or "it was killed")


def _digest(adapter: Path) -> str:
    """Of all that decides the result: the adapter's folder, and the base's by size and time."""
    digest = hashlib.sha256()
    for path in sorted(path for path in adapter.iterdir() if path.is_file()):
        if path.name.startswith(("optimizer", "rng_state", "scheduler", "training_args")):
            continue  # a checkpoint's; they say nothing of the weights
        digest.update(path.name.encode())
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    base = Path(str(json.loads((adapter / _CONFIG).read_text())["base_model_name_or_path"]))
    for path in sorted(base.glob("*.safetensors")) if base.is_dir() else ():
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()


def merge(adapter: Path, target: Path) -> None:
    """Write base and adapter as one model; a half-written folder is never seen as ``target``.

    Summed in float32, kept in the base's own dtype.
    """
    import torch
    from peft import PeftConfig, PeftModel
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    config = PeftConfig.from_pretrained(str(adapter))
    base, revision = str(config.base_model_name_or_path), config.revision
    kept = AutoConfig.from_pretrained(base, revision=revision).dtype or torch.float32
    model = AutoModelForCausalLM.from_pretrained(base, revision=revision, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    words = max(tokenizer.get_vocab().values()) + 1
    if words > model.get_input_embeddings().weight.shape[0]:
        # As training did for tokens that the base has no rows for; the adapter brings the rows.
        model.resize_token_embeddings(words, mean_resizing=False)
    model = PeftModel.from_pretrained(model, str(adapter), config=config).merge_and_unload()
    model = model.to(kept)
    model.config.eos_token_id = tokenizer.eos_token_id
    if (adapter / "generation_config.json").is_file():  # where a turn ends, as training set it
        model.generation_config = GenerationConfig.from_pretrained(adapter)
    else:  # a checkpoint has none: the base's, which may name another end
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.generation_config.do_sample = True  # with sampling parameters beside, it is not saved
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        scratch.chmod(0o755)
        try:
            scratch.rename(target)
        except OSError:  # another process was first: its folder is as good
            if not (target / "config.json").is_file():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    merge(Path(sys.argv[1]), Path(sys.argv[2]))
