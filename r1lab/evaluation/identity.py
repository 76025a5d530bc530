"""Which model it was that answered: fingerprints of its weights and of its chat template.

Nothing is loaded: files are read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from r1lab.models.reference import Servable
from r1lab.planning.architecture import hub_cache

_WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")
#: Of a large file, so many pieces of this size are read, evenly spread: training changes them all.
_PIECE, _PIECES = 2**20, 64


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_model(model: Servable) -> dict[str, Any]:
    """``weights`` and ``chat_template`` (hashes), ``revision``; null for what is not at hand.

    A hub's model is named by its commit where the cache knows it.
    """
    folder = Path(model.where) if model.is_folder else _snapshot(model)
    commit = None if model.is_folder or folder is None else folder.name
    template = _template(model, folder)
    return {
        "id": model.where,
        "name": model.name,
        "revision": None if model.is_folder else model.revision,
        "weights": commit or (weights(folder) if folder else None),
        "chat_template": fingerprint(template) if template else None,
    }


def weights(folder: Path) -> str | None:
    """A hash of a folder's weights, of which large files are sampled; None without any."""
    files = sorted(path for pattern in _WEIGHTS for path in folder.glob(pattern))
    if not files:
        return None
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            if size <= _PIECE * _PIECES:
                digest.update(file.read())
                continue
            for piece in range(_PIECES):
                file.seek(piece * (size - _PIECE) // (_PIECES - 1))
                digest.update(file.read(_PIECE))
    return digest.hexdigest()[:16]


def _snapshot(model: Servable) -> Path | None:
    """The folder of a hub's model in this machine's cache."""
    root = hub_cache() / f"models--{model.where.replace('/', '--')}"
    ref = root / "refs" / model.revision
    commit = ref.read_text().strip() if ref.is_file() else model.revision
    folder = root / "snapshots" / commit
    return folder if folder.is_dir() else None


def _template(model: Servable, folder: Path | None) -> str | None:
    if model.chat_template is not None:
        return Path(model.chat_template).read_text()
    if folder is None:
        return None
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text()
    settings = folder / "tokenizer_config.json"
    found = json.loads(settings.read_text()).get("chat_template") if settings.is_file() else None
    return found if found is None or isinstance(found, str) else json.dumps(found)
