"""The fields of TRL's training configs, read from the installed source without importing it.

``import trl`` costs seconds and loads torch; parsing three source files costs tens of milliseconds.
So a misspelt ``trainer.args`` key is found by the parent before anything heavy starts. The classes
are ``trl.GRPOConfig`` / ``trl.SFTConfig`` < ``trl``'s ``_BaseConfig`` < ``TrainingArguments``.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from r1lab.errors import PrerequisiteError, suggest

Kind = Literal["grpo", "sft"]

_LEAVES: dict[str, tuple[str, str]] = {
    "grpo": ("trainer/grpo_config.py", "GRPOConfig"),
    "sft": ("trainer/sft_config.py", "SFTConfig"),
}
#: What TRL takes where a field is an option among several. Its configs take any string; a wrong one
#: is refused when the model is loaded, or only once the first completions are generated.
OPTIONS: dict[Kind, dict[str, tuple[str, ...]]] = {
    "grpo": {
        "scale_rewards": ("group", "batch", "none"),
        "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
        "importance_sampling_level": ("token", "sequence"),
        "loss_type": ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"),
        "vllm_mode": ("colocate", "server"),
        "vllm_importance_sampling_mode": (
            "token_truncate",
            "token_mask",
            "sequence_truncate",
            "sequence_mask",
        ),
    },
    "sft": {"loss_type": ("nll", "dft")},
}
_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "dict": (dict,),
    "list": (list, tuple),
    "tuple": (list, tuple),
    "None": (type(None),),
}


class _NotLiteral:
    """Stands for a default that only running the code would tell (a factory, a variable)."""

    def __repr__(self) -> str:
        return "<computed>"


NOT_LITERAL = _NotLiteral()


@dataclass(frozen=True)
class Field:
    """One field: its annotation as written, and its default (``NOT_LITERAL`` if computed)."""

    name: str
    type_text: str
    default: Any

    def accepts(self, value: Any) -> bool:
        """Whether ``value`` fits the annotation, as far as plain YAML types can tell.

        A bool is not an int, an int is a float; a type that is not a plain one (an enum such as
        ``SchedulerType``) takes any string, since its values are known to transformers only.
        """
        allowed: list[type] = []
        for part in _union(self.type_text):
            known = _PLAIN.get(part.split("[")[0])
            if known is None:
                known = (str,)
            allowed.extend(known)
        if isinstance(value, bool):
            return bool in allowed
        return isinstance(value, tuple(allowed))


def refusal(kind: Kind, field: Field, value: Any) -> tuple[str, str] | None:
    """Why ``value`` cannot be this field's, and what to do about it; ``None`` where it can."""
    options = OPTIONS[kind].get(field.name)
    if options is not None and value not in options:
        return f"is none of {', '.join(options)}", suggest(str(value), options)
    if not field.accepts(value):
        message = f"is a {type(value).__name__}, and the field takes {field.type_text}"
        return message, "give a value of that type"
    return None


def _union(text: str) -> list[str]:
    """``dict[str, Any] | str | None`` -> its members; ``Optional``/``Union`` are unfolded too."""
    node = ast.parse(text, mode="eval").body
    return [ast.unparse(member) for member in _members(node)]


def _members(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _members(node.left) + _members(node.right)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        if node.value.id == "Optional":
            return [*_members(node.slice), ast.Constant(None)]
        if node.value.id == "Union":
            items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return [leaf for item in items for leaf in _members(item)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _members(ast.parse(node.value, mode="eval").body)
    return [node]


@cache
def trainer_fields(kind: Kind) -> dict[str, Field]:
    """Every field ``trainer.args`` may set for this kind of trainer, base classes first.

    A field that a subclass declares again keeps its place and takes the subclass's default, as
    dataclasses do. Fields with ``init=False`` are no arguments and are left out.
    """
    leaf_file, leaf_class = _LEAVES[kind]
    trl = _package("trl", "pip install trl==1.16.0")
    transformers = _package("transformers", "pip install transformers==5.17.0")
    fields: dict[str, Field] = {}
    for path, name in (
        (transformers / "training_args.py", "TrainingArguments"),
        (trl / "trainer" / "base_config.py", "_BaseConfig"),
        (trl / leaf_file, leaf_class),
    ):
        fields.update(_class_fields(path, name))
    return fields


def _package(name: str, install: str) -> Path:
    """Folder of an installed top-level package; ``find_spec`` does not run its code."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise PrerequisiteError(name, "its config classes name the fields of trainer.args", install)
    return Path(spec.origin).parent


@cache
def _class_fields(path: Path, class_name: str) -> dict[str, Field]:
    body = _class_body(path, class_name)
    fields: dict[str, Field] = {}
    for node in body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        type_text = ast.unparse(node.annotation)
        if type_text.split("[")[0] in ("ClassVar", "typing.ClassVar"):
            continue
        default, is_init = _default(node.value)
        if is_init:
            fields[node.target.id] = Field(node.target.id, type_text, default)
    return fields


def _class_body(path: Path, class_name: str) -> list[ast.stmt]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            return node.body
    raise LookupError(f"{path} has no class {class_name}: this TRL or transformers is not known")


def _default(value: ast.expr | None) -> tuple[Any, bool]:
    """(default, is it an init argument) of ``= literal`` or ``= field(default=..., ...)``."""
    if isinstance(value, ast.Call) and getattr(value.func, "id", None) == "field":
        keywords = {k.arg: k.value for k in value.keywords}
        init = keywords.get("init")
        is_init = not (isinstance(init, ast.Constant) and init.value is False)
        return _literal(keywords.get("default")), is_init
    return _literal(value), True


def _literal(value: ast.expr | None) -> Any:
    if value is None:
        return NOT_LITERAL
    try:
        return ast.literal_eval(value)
    except ValueError:
        return NOT_LITERAL
