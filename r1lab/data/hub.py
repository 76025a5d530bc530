"""Datasets of the Hugging Face Hub, or a folder that holds one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab.data.source import Source
from r1lab.errors import ConfigError, PrerequisiteError, Problem, suggest

if TYPE_CHECKING:
    from datasets import Dataset

_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")


def _splits() -> dict[str, str | None]:
    return {"train": "train", "test": None}


@dataclass(kw_only=True)
class Hub(Source):
    """A dataset by its hub ``id``, or by the path of a local folder in any form ``datasets`` reads.

    ``splits`` maps ours to the dataset's (slices such as ``train[:1000]`` work); ``test: null``
    means that there is none. ``revision`` is a branch, tag or commit.
    """

    name: str = "hub"
    id: str = ""
    config: str | None = None
    splits: dict[str, str | None] = field(default_factory=_splits)
    revision: str | None = None

    def load(self) -> dict[str, Dataset]:
        wanted = {ours: theirs for ours, theirs in self.splits.items() if theirs}
        if not self._is_local():
            _quiet_when_offline(self.id)
        saved = self._saved_to_disk()
        loaded = saved if saved is not None else self._load_all(list(wanted.values()))
        problems = [
            Problem(
                f"data.splits.{ours}",
                theirs,
                f"{self.id} has no such split",
                suggest(theirs, loaded),
            )
            for ours, theirs in wanted.items()
            if theirs not in loaded
        ]
        if problems:
            raise ConfigError(problems)
        return {ours: loaded[theirs] for ours, theirs in wanted.items()}

    def split_names(self) -> set[str]:
        return {ours for ours, theirs in self.splits.items() if theirs}

    def no_split(self, split: str, known: set[str], key: str) -> Problem:
        problem = super().no_split(split, known, key)
        if split not in self.splits:
            return problem
        return replace(problem, fix=f"set data.splits.{split} to the dataset's own split")

    def _is_local(self) -> bool:
        return os.path.isdir(os.path.expanduser(self.id))

    def _path(self) -> str:
        return os.path.expanduser(self.id) if self._is_local() else self.id

    def _saved_to_disk(self) -> dict[str, Any] | None:
        """Return the splits of a folder written by ``save_to_disk``; None for any other."""
        folder = Path(self._path())
        if not folder.is_dir():
            return None
        from datasets import DatasetDict, load_from_disk

        if (folder / "dataset_dict.json").is_file():
            loaded = load_from_disk(str(folder))
            return dict(loaded) if isinstance(loaded, DatasetDict) else {"train": loaded}
        if (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file():
            return {"train": load_from_disk(str(folder))}
        return None

    def _load_all(self, splits: list[str]) -> dict[str, Any]:
        import datasets
        from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError
        from huggingface_hub.errors import OfflineModeIsEnabled

        loaded: dict[str, Any] = {}
        for split in dict.fromkeys(splits):
            try:
                loaded[split] = datasets.load_dataset(
                    self._path(), self.config, split=split, revision=self.revision
                )
            # The order matters: DatasetNotFoundError is a FileNotFoundError, and so an OSError.
            except DatasetNotFoundError as error:
                raise ConfigError(self._not_found(str(error))) from error
            except (ConnectionError, OfflineModeIsEnabled) as error:
                raise self._unreachable(error) from error
            except ValueError as error:
                raise ConfigError(self._wrong(split, str(error))) from error
            except FileNotFoundError as error:
                raise ConfigError(self._not_found(str(error))) from error
            except DatasetGenerationError as error:
                raise ConfigError(self._broken(error)) from error
        return loaded

    def _unreachable(self, error: Exception) -> PrerequisiteError:
        fetch = f"hf download --repo-type dataset {self.id}"
        return PrerequisiteError(
            f"dataset {self.id}",
            f"it is not in the local cache, and the Hub could not be reached ({error})",
            f"check the network (and HF_ENDPOINT, HF_HUB_OFFLINE); or run `{fetch} --local-dir "
            f"FOLDER` where there is one, and set data.id=FOLDER",
        )

    def _not_found(self, said: str) -> Problem:
        if self._is_local():
            message = f"this folder holds no data that `datasets` can read: {said}"
            fix = "put .parquet, .jsonl or .csv files into it, or use data=local data.path=FILE"
        else:
            message = f"there is no such dataset, or it is gated or private: {said}"
            fix = "check owner/name; for a gated one accept its terms and run `hf auth login`"
            if self.revision:
                fix += f"; and check data.revision={self.revision}"
        return Problem("data.id", self.id, message, fix)

    def _broken(self, error: Exception) -> Problem:
        said = str(error.__cause__ or error).strip().splitlines()[0]
        fix = "mend the files"
        if self._is_local():
            fix += f"; data=local data.path={self.id} names the lines of jsonl and csv files"
        return Problem("data.id", self.id, f"its files cannot be read: {said}", fix)

    def _wrong(self, split: str, said: str) -> Problem:
        """Turn a ValueError of ``datasets`` into the key that it is about."""
        first = said.strip().splitlines()[0] if said.strip() else "unreadable"
        if "split" in said.lower():
            ours = next(key for key, value in self.splits.items() if value == split)
            fix = "use one of the splits named above"
            return Problem(f"data.splits.{ours}", split, f"{self.id}: {said.strip()}", fix)
        if "config" in said.lower():
            fix = "set data.config to one of the configurations named above"
            return Problem("data.config", self.config, f"{self.id}: {said.strip()}", fix)
        return Problem("data.id", self.id, f"cannot be read: {first}", "mend the dataset's files")

    def check(self, key: str = "data") -> list[Problem]:
        found = super().check(key)
        local = isinstance(self.id, str) and self._is_local()
        if not isinstance(self.id, str) or not self.id:
            fix = f"set {key}.id to a hub id (owner/name) or a folder"
            found.append(Problem(f"{key}.id", self.id, "names no dataset", fix))
        elif not local and not _ID.match(self.id):
            message = "is neither a folder that exists nor a hub id (owner/name)"
            found.append(Problem(f"{key}.id", self.id, message, "check the path or the id"))
        if not isinstance(self.splits, dict) or not self.splits.get("train"):
            fix = f"set {key}.splits.train to the dataset's training split"
            found.append(Problem(f"{key}.splits", self.splits, "names no train split", fix))
        else:
            found += [
                Problem(f"{key}.splits.{name}", value, "is no split of ours", "use train and test")
                for name, value in self.splits.items()
                if name not in ("train", "test")
            ]
        if local and self.revision:
            message = "a local folder has no revisions"
            found.append(
                Problem(f"{key}.revision", self.revision, message, f"set {key}.revision=null")
            )
        return found


def _quiet_when_offline(identity: str) -> None:
    """Spare the user a page of retry warnings: the error that follows says it once."""
    import logging

    logging.getLogger("huggingface_hub.utils._http").setLevel(logging.ERROR)
