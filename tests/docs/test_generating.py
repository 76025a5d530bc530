"""docs/generating.md says what the generation's options and steps are, with their defaults."""

from __future__ import annotations

import re

import pytest
import yaml

from r1lab.groups import config_dir, group_options
from tests.docs.test_docs import GENERATING, code, table

#: The options of open-r1's src/open_r1/generate.py.
SCRIPT = """
    hf-dataset hf-dataset-config hf-dataset-split prompt-column prompt-template model
    vllm-server-url temperature top-p max-new-tokens num-generations input-batch-size
    client-replicas timeout retries hf-output-dataset private
"""


def test_every_option_of_open_r1s_script_has_a_key() -> None:
    mapped = {code(row[0])[0]: code(row[1]) for row in table(GENERATING, "open-r1")}
    assert list(mapped) == [f"--{name}" for name in SCRIPT.split()]
    assert all(mapped.values())


def test_every_step_has_its_row() -> None:
    rows = [code(row[0])[0] for row in table(GENERATING, "step")]
    assert sorted(rows) == group_options("steps")


@pytest.mark.parametrize("name", group_options("steps"))
def test_a_steps_parameters_are_told_with_their_defaults(name: str) -> None:
    cell = next(row[2] for row in table(GENERATING, "step") if code(row[0]) == [name])
    # `name: default`; what stands in brackets are other values.
    shown = yaml.safe_load("\n".join(re.findall(r"`([^`]+)`", re.sub(r"\([^)]*\)", "", cell))))
    node = yaml.safe_load((config_dir() / "steps" / f"{name}.yaml").read_text())
    assert shown == {key: value for key, value in node.items() if key != "_target_"}
