"""A generation's folder: ``outputs/generations/DATA-MODEL-HASH``, found again by the same line.

The hash is of everything that answers depend on: the data's values, the split, the template, the
model, the sampling. How many samples, how fast, and what is made of them is no part of it: the same
journal serves them all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1lab.errors import ConfigError, Problem
from r1lab.generation.request import digest

FILE = "generation.json"
#: Of ``generate``: what answers depend on.
_ASKED = (
    *("split", "prompt_template", "temperature", "top_p", "max_new_tokens", "seed", "extra"),
    *("model", "base_url"),
)
#: Of ``data``: how its rows are used by a training.
_NOT_ASKED = (
    *("shuffle", "shuffle_seed", "test_size", "max_train", "max_test", "check_solutions"),
    "bad_rows",
)


@dataclass
class Place:
    """``kept`` is what ``generation.json`` says: empty for a new generation."""

    folder: Path
    asked: dict[str, Any]
    kept: dict[str, Any]

    def remember(self, **facts: Any) -> None:
        """Add to ``generation.json``, atomically."""
        self.kept |= facts
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / f".{FILE}.{os.getpid()}"
        fresh.write_text(json.dumps(self.kept, indent=2) + "\n")
        fresh.replace(self.folder / FILE)


def choose(config: Mapping[str, Any], model: Mapping[str, Any]) -> Place:
    """The folder for this config; ConfigError where ``generate.name`` holds another generation.

    ``model`` says which one answers: a name, and the weights' fingerprint where they are known.
    """
    node = config["generate"]
    data = {key: value for key, value in config["data"].items() if key not in _NOT_ASKED}
    # A server is where it is: the same model elsewhere is the same, if it has a name.
    asked = {key: node[key] for key in _ASKED if key != "base_url" or node["model"] is None}
    asked |= {"data": data, "answers": dict(model)}
    asked = json.loads(json.dumps(asked, default=str))
    root = Path(config["output_dir"]).expanduser().absolute() / "generations"
    name = node["name"]
    if name is None:
        parts = (config["data"].get("name", "data"), model["name"])
        stem = "-".join(re.sub(r"[^A-Za-z0-9._]+", "_", str(part)) for part in parts)
        name = f"{stem}-{digest(**asked)[:8]}"
    kept = read(root / name)
    if kept and kept["asked"] != asked:
        keys = sorted(k for k in {*asked, *kept["asked"]} if asked.get(k) != kept["asked"].get(k))
        said = f"{root / name} was asked with another {', '.join(keys)}"
        raise ConfigError(
            Problem("generate.name", name, said, "choose another name, or leave it out")
        )
    return Place(root / name, asked, kept)


def read(folder: Path) -> dict[str, Any]:
    """What ``generation.json`` says; empty where there is none."""
    try:
        found = json.loads((folder / FILE).read_text())
    except FileNotFoundError:
        return {}
    return found if isinstance(found, dict) else {}
