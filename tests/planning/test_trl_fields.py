"""The fields read from source are those that the running classes have."""

import ast
import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.planning.trl_fields import NOT_LITERAL, OPTIONS, Field, trainer_fields


@pytest.mark.parametrize("kind", ["grpo", "sft"])
def test_names_and_defaults_are_trls_own(kind):
    import trl

    cls = {"grpo": trl.GRPOConfig, "sft": trl.SFTConfig}[kind]
    real = {field.name: field for field in dataclasses.fields(cls) if field.init}
    read = trainer_fields(kind)
    assert set(read) == set(real)
    for name, field in read.items():
        if field.default is not NOT_LITERAL:
            assert field.default == real[name].default, name


def test_subclass_default_wins_over_the_base():
    assert trainer_fields("grpo")["learning_rate"].default == 1e-6
    assert trainer_fields("sft")["learning_rate"].default == 2e-5
    assert trainer_fields("grpo")["gradient_checkpointing"].default is True


def test_reading_imports_nothing_heavy():
    code = (
        "import sys; from r1lab.planning.trl_fields import trainer_fields;"
        "assert len(trainer_fields('grpo')) > 150 and len(trainer_fields('sft')) > 100;"
        "assert not {'torch', 'trl', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("type_text", "value", "fits"),
    [
        ("int", 3, True),
        ("int", 3.5, False),
        ("int", True, False),
        ("int", "3", False),
        ("float", 3, True),
        ("float", "1e-6", False),
        ("float", True, False),
        ("bool", True, True),
        ("bool", 1, False),
        ("float | None", None, True),
        ("float", None, False),
        ("Optional[int]", None, True),
        ("Union[int, str]", "a", True),
        ("'int | None'", None, True),
        ("str | bool", False, True),
        ("SchedulerType | str", "cosine", True),
        ("SchedulerType | str", 3, False),
        ("dict[str, Any] | str | None", {"min_lr_rate": 0.1}, True),
        ("list[float] | None", [1.0, 0.5], True),
        ("list[float] | None", 1.0, False),
    ],
)
def test_simple_types(type_text, value, fits):
    assert Field("x", type_text, None).accepts(value) is fits


@pytest.mark.parametrize("kind", ["grpo", "sft"])
def test_the_options_are_those_that_the_trainer_compares_with(kind):
    trainer = Path(importlib.util.find_spec("trl").origin).parent / f"trainer/{kind}_trainer.py"
    compared = {name: set() for name in OPTIONS[kind]}
    for node in ast.walk(ast.parse(trainer.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute):
            literals = {item.value for item in ast.walk(node) if isinstance(item, ast.Constant)}
            compared.get(node.left.attr, set()).update(literals)
    assert compared == {name: set(options) for name, options in OPTIONS[kind].items()}
    for name, options in OPTIONS[kind].items():
        assert trainer_fields(kind)[name].default in options


def test_every_default_fits_its_own_type():
    for kind in ("grpo", "sft"):
        for field in trainer_fields(kind).values():
            if field.default is not NOT_LITERAL:
                assert field.accepts(field.default), field


def test_missing_trl_names_the_command(monkeypatch):
    trainer_fields.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PrerequisiteError, match="pip install trl"):
        trainer_fields("grpo")
    trainer_fields.cache_clear()
