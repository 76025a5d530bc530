from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from r1lab.errors import ConfigError
from r1lab.generation import writing
from r1lab.generation.formats import Form
from r1lab.generation.steps.base import Group
from r1lab.generation.writing import place, write
from tests.generation.grouping import group

SETTINGS = {"steps": {"verify": {}}, "format": "messages"}


def groups(count: int, samples: int = 2) -> Iterator[Group]:
    return (group(row, *["4"] * samples) for row in range(count))


def rows(folder: Path, split: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parquet.read_table(folder / f"{split}.parquet").to_pylist()
    return found


def prompts(folder: Path, split: str) -> set[int]:
    return {row["row"] for row in rows(folder, split)}


def test_a_folder_of_data(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    written = write(groups(5), folder, Form(), SETTINGS)
    assert (written.folder, written.rows, written.prompts) == (folder, {"train": 10}, {"train": 5})
    assert [row["row"] for row in rows(folder, "train")] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert written.columns == list(rows(folder, "train")[0])
    assert sorted(p.name for p in folder.iterdir()) == ["_made", "train.parquet"]
    assert json.loads((folder / "_made/settings.json").read_text()) == SETTINGS
    assert sorted(p.name for p in folder.parent.iterdir()) == ["data"]
    meta = parquet.ParquetFile(folder / "train.parquet").metadata
    assert meta.row_group(0).column(0).compression == "ZSTD"


def test_a_share_of_the_prompts_is_held_out_the_same_ones_however_many(tmp_path: Path) -> None:
    few, many, other = (tmp_path / name for name in ("few", "many", "other"))
    form = Form(test_size=0.2)
    written = write(groups(300), few, form, {})
    write(groups(600), many, form, {})
    write(groups(300), other, Form(test_size=0.2, seed=1), {})
    held_out = prompts(few, "test")
    assert 35 < len(held_out) < 85 and written.prompts["test"] == len(held_out)
    assert written.rows["test"] == 2 * len(held_out)
    assert prompts(few, "train") == set(range(300)) - held_out
    assert {row for row in prompts(many, "test") if row < 300} == held_out
    assert prompts(other, "test") != held_out


def test_a_number_of_prompts_is_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "GROUP_ROWS", 7)  # several row groups, that end within a prompt
    folder, more = tmp_path / "data", tmp_path / "more"
    written = write(groups(50, 3), folder, Form(test_size=8), {})
    assert written.prompts == {"train": 42, "test": 8} and written.rows["test"] == 24
    held_out = prompts(folder, "test")
    assert len(held_out) == 8 and prompts(folder, "train") == set(range(50)) - held_out
    assert [r["row"] for r in rows(folder, "train")] == sorted([*prompts(folder, "train")] * 3)
    assert sorted(p.name for p in folder.iterdir()) == ["_made", "test.parquet", "train.parquet"]
    write(groups(50, 3), more, Form(test_size=9), {})
    assert held_out < prompts(more, "test")


def test_a_prompt_that_comes_twice_is_in_one_split(tmp_path: Path) -> None:
    twice = [group(row, "4", text=f"What is {row % 20}?") for row in range(40)]
    for name, size in (("share", 0.5), ("number", 7)):
        written = write(twice, tmp_path / name, Form(test_size=size), {})
        texts = [{row["row"] % 20 for row in rows(tmp_path / name, s)} for s in ("train", "test")]
        assert not texts[0] & texts[1] and sum(written.prompts.values()) == 20
    assert written.prompts["test"] == 7


@pytest.mark.parametrize(("size", "held_out"), [(0.0001, 1), (0.9999, 3)])
def test_a_share_of_few_prompts_is_one_at_least(tmp_path: Path, size: float, held_out: int) -> None:
    written = write(groups(4), tmp_path / "data", Form(test_size=size), {})
    assert written.prompts == {"train": 4 - held_out, "test": held_out}
    assert len(prompts(tmp_path / "data", "test")) == held_out


@pytest.mark.parametrize(("count", "size"), [(3, 3), (3, 20), (1, 0.5)])
def test_nothing_left_to_train_on_is_an_error(tmp_path: Path, count: int, size: float) -> None:
    with pytest.raises(ConfigError, match="leaves nothing to train on"):
        write(groups(count), tmp_path / "data", Form(test_size=size), {})
    assert list(tmp_path.iterdir()) == []


def test_no_rows_are_an_error_and_the_old_data_stays(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(groups(2), folder, Form(), {})
    with pytest.raises(ConfigError, match="no sample is left"):
        write([], folder, Form(), {})
    assert len(rows(folder, "train")) == 4


def test_what_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    write(groups(2), folder, Form(), {})

    def failing() -> Iterator[Group]:
        yield group(9, "4")
        assert len(rows(folder, "train")) == 4, "half-written data is not seen"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(failing(), folder, Form(), {})
    assert prompts(folder, "train") == {0, 1}
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_what_a_killed_one_left_is_no_obstacle(tmp_path: Path) -> None:
    for name in (".data.new", ".data.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.parquet").write_text("half")
    write(groups(1), tmp_path / "data", Form(), {})
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_a_card_and_lists_come_with_the_data(tmp_path: Path) -> None:
    def finish(folder: Path, written: writing.Written) -> None:
        (folder / "README.md").write_text(f"{written.rows['train']} rows")

    write(groups(2), tmp_path / "data", Form(), {}, finish)
    assert (tmp_path / "data" / "README.md").read_text() == "4 rows"


def test_rows_without_a_gold_are_counted(tmp_path: Path) -> None:
    asked = [group(0, "4"), group(1, "4", gold=None)]
    form = Form(format="prompt_solution")
    written = write(asked, tmp_path / "data", form, {})
    assert written.rows == {"train": 1} and written.left_out == {"without a gold": 1}


def test_the_same_settings_replace_and_others_have_a_folder_of_their_own(tmp_path: Path) -> None:
    wanted = tmp_path / "data"
    assert place(wanted, SETTINGS) == wanted
    write(groups(2), wanted, Form(), SETTINGS)
    assert place(wanted, SETTINGS) == wanted
    other = {**SETTINGS, "format": "raw"}
    assert place(wanted, other) == tmp_path / "data-2"
    write(groups(2), tmp_path / "data-2", Form(), other)
    assert place(wanted, other) == tmp_path / "data-2"
    assert place(wanted, {}) == tmp_path / "data-3"


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert place(tmp_path / "data", {}) == tmp_path / "data"
    (tmp_path / "data" / "mine.txt").write_text("mine")
    assert place(tmp_path / "data", {}) == tmp_path / "data-2"


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Long rows are written in row groups of so many characters."""
    long = "x" * (writing.GROUP_CHARS // 4)
    seen = []
    for row in range(12):
        seen.append(group(row, long))
    write(iter(seen), tmp_path / "data", Form(), {})
    meta = parquet.ParquetFile(tmp_path / "data/train.parquet").metadata
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [4, 4, 4]
