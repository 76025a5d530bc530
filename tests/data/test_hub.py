from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from r1lab.data.build import build_data, check_light
from r1lab.data.entries import data_file
from r1lab.data.hub import Hub
from r1lab.errors import ConfigError, PrerequisiteError
from r1lab.targets import build

ROWS = [{"question": f"{i}+1?", "answer": f"{i}+1={i + 1}\n#### {i + 1}"} for i in range(8)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what `datasets` caches out of the user's cache, and every test off the network."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like a hub dataset: data/train-*.parquet and data/test-*.parquet."""
    from datasets import Dataset

    where = tmp_path / "gsm8k"
    (where / "data").mkdir(parents=True)
    Dataset.from_list(ROWS[:6]).to_parquet(str(where / "data" / "train-00000-of-00001.parquet"))
    Dataset.from_list(ROWS[6:]).to_parquet(str(where / "data" / "test-00000-of-00001.parquet"))
    return where


def gsm8k(where: Path, **values: Any) -> Hub:
    node = {**data_file("gsm8k"), "id": str(where), "config": None, **values}
    source = build(node)
    assert isinstance(source, Hub)
    return source


def digits(golds: Sequence[str]) -> list[bool]:
    return [gold.isdecimal() for gold in golds]


def test_a_local_copy_of_a_hub_dataset(folder: Path) -> None:
    source = gsm8k(folder)
    assert check_light(source, {"prompt", "solution"}) == []
    bundle = build_data(source, "grpo", True, parses=digits)
    assert bundle.test is not None
    assert sorted(bundle.train["solution"][:] + bundle.test["solution"][:]) == list("12345678")
    assert bundle.report["unparseable"]["train"]["count"] == 0
    sft = build_data(source, "sft", False)
    assert "####" in sft.train[0]["completion"][0]["content"]


def test_slices_of_a_split(folder: Path) -> None:
    loaded = gsm8k(folder, splits={"train": "train[:3]", "test": "train[3:]"}).load()
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 3, "test": 3}
    assert not set(loaded["train"]["question"]) & set(loaded["test"]["question"])


@pytest.mark.parametrize("several", [True, False])
def test_a_folder_written_by_save_to_disk(tmp_path: Path, several: bool) -> None:
    from datasets import Dataset, DatasetDict

    saved = tmp_path / "saved"
    rows = Dataset.from_list(ROWS)
    (DatasetDict({"train": rows}) if several else rows).save_to_disk(str(saved))
    loaded = gsm8k(saved, splits={"train": "train", "test": None}).load()
    assert loaded["train"].to_list() == ROWS
    with pytest.raises(ConfigError, match=r"data\.splits\.test"):
        gsm8k(saved).load()


def test_a_wrong_split_names_the_key(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        gsm8k(folder, splits={"train": "trian", "test": None}).load()
    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == ("data.splits.train", "trian")
    assert "train" in problem.message.replace("trian", "")


def test_a_wrong_config_names_the_key(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        gsm8k(folder, config="socratic").load()
    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == ("data.config", "socratic")
    assert "default" in problem.message


def test_a_folder_without_data(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(ConfigError) as caught:
        gsm8k(tmp_path / "bare").load()
    (problem,) = caught.value.problems
    assert problem.key == "data.id" and "holds no data" in problem.message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.jsonl").write_text(json.dumps(ROWS[0]) + "\n{\n")
    with pytest.raises(ConfigError) as caught:
        gsm8k(tmp_path / "broken", splits={"train": "train", "test": None}).load()
    (problem,) = caught.value.problems
    assert problem.key == "data.id" and "data=local" in problem.fix


@pytest.mark.parametrize("unreachable", ["refused", "offline"])
def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, unreachable: str) -> None:
    import datasets
    from huggingface_hub.errors import OfflineModeIsEnabled

    def load_dataset(*args: Any, **options: Any) -> Any:
        raise ConnectionError("no route") if unreachable == "refused" else OfflineModeIsEnabled("x")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(PrerequisiteError) as caught:
        Hub(id="openai/gsm8k", config="main").load()
    assert caught.value.missing == "dataset openai/gsm8k"
    assert "hf download --repo-type dataset openai/gsm8k" in caught.value.install


def test_offline_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `datasets` itself raises with HF_HUB_OFFLINE and an empty cache."""
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PrerequisiteError, match="nobody/nothing"):
        Hub(id="nobody/nothing").load()


def test_an_id_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    asked: list[Any] = []

    def load_dataset(*args: Any, **options: Any) -> Any:
        asked.append((args, options))
        raise DatasetNotFoundError("Dataset 'openai/gsm9k' doesn't exist on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ConfigError) as caught:
        Hub(id="openai/gsm9k", config="main", revision="v2").load()
    (problem,) = caught.value.problems
    assert problem.key == "data.id" and "data.revision=v2" in problem.fix
    assert asked == [(("openai/gsm9k", "main"), {"split": "train", "revision": "v2"})]


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"id": ""}, "data.id"),
        ({"id": "./nowhere"}, "data.id"),
        ({"id": "a/b/c"}, "data.id"),
        ({"id": "a/b", "splits": {"test": "test"}}, "data.splits"),
        ({"id": "a/b", "splits": {"train": "train", "valid": "v"}}, "data.splits.valid"),
        ({"id": ".", "revision": "main"}, "data.revision"),
    ],
)
def test_light_problems(values: dict[str, Any], key: str) -> None:
    (problem,) = check_light(Hub(**values), {"prompt"})
    assert problem.key == key
