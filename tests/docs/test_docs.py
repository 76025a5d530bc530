"""The pages say what the code does: keys exist, defaults are right, command lines work."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from r1lab import cli, schema, serve, start
from r1lab.components import describe
from r1lab.compose import compose, resolve
from r1lab.data.entries import config_folder, data_file
from r1lab.data.source import Source
from r1lab.errors import ConfigError
from r1lab.evaluation import evaluate
from r1lab.generation import generate
from r1lab.groups import LIST_GROUPS, group_options, groups
from r1lab.models import reference
from r1lab.planning.trl_fields import trainer_fields
from r1lab.sweep import request
from r1lab.targets import parameters
from r1lab.validate import OWNED
from tests.evaluation import generated

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION, RUNS, OPEN_R1, SWEEPS, EVALUATING, GENERATING = (
    ROOT / "docs" / f"{name}.md"
    for name in ("configuration", "runs", "open-r1", "sweeps", "evaluating", "generating")
)
PAGES = [
    CONFIGURATION,
    RUNS,
    OPEN_R1,
    SWEEPS,
    ROOT / "docs" / "engines.md",
    EVALUATING,
    GENERATING,
    *filter(Path.is_file, [ROOT / "README.md"]),
]
#: Their defaults differ by file, or are an entry's of a mixture.
OF_THE_DATA_AND_TRAINER = ("data", "trainer", "id", "config", "weight", "")
OPEN_R1_FIELDS = """
    benchmarks callbacks system_prompt chat_template hub_model_revision overwrite_hub_revision
    push_to_hub_revision wandb_entity wandb_project wandb_run_group num_completions_to_print
    wandb_log_unique_prompts dataset_name dataset_config dataset_train_split dataset_test_split
    gradient_checkpointing gradient_checkpointing_kwargs dataset_mixture dataset_mixture.seed
    dataset_mixture.datasets dataset_mixture.test_split_size dataset_prompt_column id config split
    columns weight reward_funcs cosine_min_value_wrong cosine_max_value_wrong
    cosine_min_value_correct cosine_max_value_correct cosine_max_len repetition_n_grams
    repetition_max_penalty code_language code_eval_test_batch_size code_eval_scoring_mode
    parallel_code_exec_per_proc code_provider ioi_provider max_completion_len soft_punish_cache
    model_name_or_path model_revision trust_remote_code attn_implementation dtype use_peft
    lora_r lora_alpha lora_dropout lora_target_modules load_in_4bit load_in_8bit
"""
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b|\.\.\.")
GRPO_AND_SFT = {**trainer_fields("grpo"), **trainer_fields("sft")}


def tables(page: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """(first header cell, rows of cells) of each Markdown table."""
    for block in re.findall(r"(?:^\|.*\n)+", page.read_text() + "\n", re.M):
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]
        cells = [[cell.strip().replace("\\|", "|") for cell in line] for line in lines]
        assert {len(line) for line in cells} == {len(cells[0])}, f"{page.name}: {block[:200]}"
        yield cells[0][0], cells[2:]


def table(page: Path, first: str, number: int = 0) -> list[list[str]]:
    return [rows for header, rows in tables(page) if header == first][number]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def leaves(node: Any, prefix: str = "") -> dict[str, tuple[str, Any]]:
    """{key: (type, default)} of the schema; a key without a default of its own has MISSING."""
    found: dict[str, tuple[str, Any]] = {}
    hints = get_type_hints(type(node))
    for item in dataclasses.fields(node):
        value, key = getattr(node, item.name), f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            found |= leaves(value, f"{key}.")
        else:
            found[key] = (kind(hints[item.name]), value)
    return found


def kind(hint: Any) -> str:
    words = describe(hint).replace(" or null", "").replace("or NoneType", "")
    return {"Any": "any", "int or float": "number"}.get(words, re.sub(r"\[.*", "", words))


def plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "items") else value


def test_every_key_of_the_schema_is_described_with_its_default() -> None:
    rows = {code(row[0])[0]: row for row in table(CONFIGURATION, "key")}
    wanted = leaves(schema.Root())
    assert list(rows) == list(wanted)
    for key, (type_name, default) in wanted.items():
        shown = "???" if rows[key][2] == "required" else yaml.safe_load(code(rows[key][2])[0])
        assert (key, rows[key][1], shown) == (key, type_name, plain(default))


def test_every_field_that_all_data_has_is_described_with_its_default() -> None:
    rows = {code(row[0])[0]: row for row in table(CONFIGURATION, "key", 1)}
    wanted = leaves(Source(), "data.")
    assert list(rows) == list(wanted)
    for key, (type_name, default) in wanted.items():
        assert (rows[key][1], yaml.safe_load(code(rows[key][2])[0])) == (type_name, default), key


def test_every_field_of_a_benchmark_is_described_with_its_default() -> None:
    rows = {code(row[0])[0]: row for row in table(CONFIGURATION, "key", 2)}
    wanted = leaves(schema.Benchmark(), "evaluate.tasks.NAME.")
    assert list(rows) == list(wanted)
    for key, (type_name, default) in wanted.items():
        assert (rows[key][1], yaml.safe_load(code(rows[key][2])[0])) == (type_name, default), key


def test_the_table_of_owned_fields_is_complete() -> None:
    rows = {code(row[0])[0]: row[1] for row in table(CONFIGURATION, "field of TRL")}
    assert rows == OWNED


def test_the_table_of_groups_is_complete() -> None:
    rows = {code(row[0])[0] for row in table(CONFIGURATION, "group")}
    assert rows == {name for name in groups(()) if group_options(name)}


@cache
def data_keys() -> set[str]:
    """Keys that some shipped data config takes."""
    nodes = [data_file(path.stem) for path in config_folder().glob("*.yaml")]
    fields = {f"data.{name}" for node in nodes for name in parameters(node["_target_"])}
    inner = {
        f"data.{name}.{part}"
        for node in nodes
        for name, value in node.items()
        if isinstance(value, dict)
        for part in value
    }
    return {"data", *fields, *inner}


@cache
def config_keys() -> set[str]:
    """Every dotted key of a config that has all rewards and callbacks."""
    lists = [f"{group}=[{','.join(group_options(group))}]" for group in LIST_GROUPS]

    def walk(node: Any, path: str) -> Iterator[str]:
        for key, value in node.items() if isinstance(node, dict) else ():
            yield f"{path}{key}"
            yield from walk(value, f"{path}{key}.")

    return set(walk(resolve(compose(lists)), ""))


def wrong(text: str) -> str | None:
    """Why ``text`` (``key``, ``key=value`` or ``GROUP=NAME``) is nothing that r1lab knows."""
    key, equals, value = text.partition("=")
    if equals and key in groups(()):
        unknown = set(value.strip("[]").split(",")) - {"", *group_options(key)}
        return f"{key} has no {sorted(unknown)}" if unknown else None
    if key.startswith("trainer.args."):
        name = key.removeprefix("trainer.args.")
        return None if name in GRPO_AND_SFT and name not in OWNED else "no free field of TRL's"
    return None if key in config_keys() | data_keys() else "no such key"


def looks_like_a_key(text: str) -> bool:
    root = re.split(r"[.=/]", text)[0]
    known = root in {item.name for item in dataclasses.fields(schema.Root)} | set(groups(()))
    return known and bool(re.fullmatch(r"[a-z_]+([./][\w./]+)?(=\S+)?", text)) and not is_file(text)


def is_file(text: str) -> bool:
    return bool(re.search(r"\.(json|parquet|md|py|yaml|txt)$|/$", text)) or text.startswith("data_")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_key_that_a_page_names_exists(page: Path) -> None:
    text = re.sub(r"^( {4}.*|```.*?```)$", "", page.read_text(), flags=re.M | re.S)
    named = {item for line in text.splitlines() for item in code(line)}
    keys = {item for item in named if looks_like_a_key(item) and not PLACEHOLDER.search(item)}
    assert {key: wrong(key) for key in keys if wrong(key)} == {}


def test_every_field_of_open_r1_is_mapped_to_a_key_or_to_nothing() -> None:
    rows = [row for header, found in tables(OPEN_R1) if header == "open-r1" for row in found]
    mapped = {name: row[1] for row in rows for name in code(row[0])}
    for name in OPEN_R1_FIELDS.split():
        assert mapped[name] == "-" or code(mapped[name]), name


@pytest.mark.parametrize("page", [OPEN_R1, GENERATING], ids=lambda page: page.name)
def test_the_defaults_in_the_open_r1_tables_are_the_configs(page: Path) -> None:
    """Where a row names one plain key and one value, that is what a fresh run has."""
    every = f"rewards=[{','.join(group_options('rewards'))}]"
    config = resolve(compose([every, "model/peft=lora"]))
    for header, rows in tables(page):
        for row in rows if header == "open-r1" and len(rows[0]) > 3 else ():
            keys, shown = code(row[1]), row[2]
            root = keys[0].split(".")[0] if keys else ""
            if len(keys) != 1 or "=" in keys[0] or root in OF_THE_DATA_AND_TRAINER:
                continue
            if not re.fullmatch(r"null|`[^`]+`|`[^`]+` \(.*\)", shown):
                continue
            node: Any = config
            for part in keys[0].split("."):
                node = node.get(part, "absent") if isinstance(node, dict) else "absent"
            value = yaml.safe_load(code(shown)[0]) if code(shown) else None
            assert (keys[0], node) == (keys[0], value)


def commands(page: Path) -> list[str]:
    text = re.sub(r" \\\n\s+", " ", page.read_text())  # lines that go on below
    blocks = re.findall(r"^(?: {4}|)(?:\$ )?(python -m r1lab.*)$", text, re.M)
    return list(dict.fromkeys([*blocks, *re.findall(r"`(python -m r1lab[^`]*)`", text)]))


COMMANDS = [
    pytest.param(page, line, id=f"{page.name}:{line[16:60]}")
    for page in PAGES
    for line in commands(page)
    if not PLACEHOLDER.search(line)
]


@pytest.fixture
def problems_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the pages' commands name."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "gsm8k.jsonl").write_text("")
    for name in generated.SCHEMAS:
        generated.write(name, tmp_path / "four" / name, 1)
    teacher = tmp_path / "outputs" / "teacher"
    (teacher / "model").mkdir(parents=True)
    (teacher / "status.json").write_text('{"state": "finished"}')
    shutil.copy(ROOT / "r1lab" / "models" / "tiny" / "config.json", teacher / "model")
    made = tmp_path / "outputs" / "generations" / "answers" / "data"
    made.mkdir(parents=True)
    (made / "train.jsonl").write_text('{"messages": [{"role": "user", "content": "1 + 1?"}]}\n')
    (tmp_path / "problems.jsonl").write_text('{"prompt": "1 + 1?", "solution": "2"}\n')
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("problems_file")
@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_command_lines_compose_and_validate(page: Path, line: str) -> None:
    words = shlex.split(line, comments=True)[3:]
    if {"--help", "--version"} & set(words):
        return
    verb, rest = cli._split_verb(words)
    if verb in ("rewards", "sweep", "compare"):
        return  # tests/lab/test_docs.py runs the reward lab's, tests/sweep the sweep's
    flags, overrides, _ = cli._split_flags(rest, verb)
    if verb == "evaluate":
        evaluate.checked(overrides, [])
        return
    if verb == "generate":
        generate.checked(overrides, [], "")
        return
    if verb == "serve":
        assert serve._check(reference.compose(overrides, [])[0]) == []
        return
    output = r"\n(    r1lab: \d+ problems?.*\n(?:      .*\n)+)"
    shown = re.search(rf"\$ {re.escape(line)}{output}", page.read_text())
    if shown is None and "--multirun" in flags:
        request.check(overrides, [])
        return
    if shown is None:
        start.check(resolve(compose(overrides)))
        return
    with pytest.raises(ConfigError) as error:
        start.check(resolve(compose(overrides)))
    said = [f"  {problem}".strip() for problem in error.value.problems]
    assert [" ".join(item.split()) for item in said] == [
        " ".join(item.split()) for item in re.split(r"\n      (?! )", shown.group(1).rstrip())[1:]
    ]


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("name", group_options("experiment"))
def test_every_experiment_composes_and_validates(name: str) -> None:
    start.check(resolve(compose([f"experiment={name}"])))


def test_every_recipe_of_open_r1_is_in_the_table() -> None:
    listed = {code(row[1])[0] for row in table(OPEN_R1, "open-r1's `recipes/`")}
    own = {"cpu_smoke", "quickstart", "smollm2_sums", "tiny_pretrain"}
    assert listed == {f"experiment={name}" for name in set(group_options("experiment")) - own}


def test_the_readme_gives_the_benchmark_of_rewards_with_what_was_measured() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "    python -m benchmarks.rewards\n" in readme
    rows = table(ROOT / "benchmarks" / "README.md", "groups x size")
    ratios = [float(row[3].split()[0]) for row in rows]
    assert f"{min(ratios):.0f} to {max(ratios):.0f} times" in readme


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            other = (page.parent / path).resolve() if path else page
            assert other.exists(), target
            headings = re.findall(r"^#+ (.*)$", other.read_text(), re.M) if anchor else []
            anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
            assert not anchor or anchor in anchors, target
