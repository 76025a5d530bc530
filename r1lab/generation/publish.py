"""Pushing made data to a dataset repository of the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from r1lab import hub
from r1lab.errors import ConfigError, Problem
from r1lab.secrets import leaking_files, redact_text

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_NO_PUSH = "generate.hub_id=null"
#: What an earlier push of the same generation may have left, and this one may not have.
_OURS = ["*.parquet", "_made/*", "README.md"]


def check_access(hub_id: str, name: str, api: HfApi | None = None) -> None:
    """All that would make the push fail at the end, asked before anything is generated.

    ``name`` is the generation's: what it pushed before may be replaced. Raises
    :class:`ConfigError` (the repository holds something else) or :class:`PrerequisiteError` (no
    token, a token that the Hub refuses, no connection).
    """
    api = api or hub.connect(_NO_PUSH)
    hub.check_token(api, _NO_PUSH)
    _refuse_overwrite(api, hub_id, name)


def push(
    folder: Path, hub_id: str, name: str, private: bool = True, api: HfApi | None = None
) -> str:
    """Upload a folder of data with its card; returns the commit's URL.

    The repository is made where it is missing. One that holds files is refused, unless they are
    this generation's own, which are replaced.
    """
    api = api or hub.connect(_NO_PUSH)
    leaks = leaking_files(folder)
    if leaks:
        raise RuntimeError(f"not pushed, these files hold a secret: {', '.join(map(str, leaks))}")
    api.create_repo(hub_id, private=private, exist_ok=True, repo_type="dataset")
    _refuse_overwrite(api, hub_id, name)
    commit = api.upload_folder(
        repo_id=hub_id,
        folder_path=str(folder),
        revision="main",
        commit_message=redact_text(f"{name}: data{_mark(name)}"),
        ignore_patterns=[".*"],
        delete_patterns=_OURS,
        repo_type="dataset",
    )
    url = f"{api.endpoint}/datasets/{hub_id}"
    return str(getattr(commit, "commit_url", None) or url)


def _mark(name: str) -> str:
    return f" (r1lab generation {name})"


def _refuse_overwrite(api: HfApi, hub_id: str, name: str) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        files = set(api.list_repo_files(hub_id, revision="main", repo_type="dataset"))
        files -= hub.BORN_WITH
        if not files:
            return
        commits = api.list_repo_commits(hub_id, revision="main", repo_type="dataset")
    except RepositoryNotFoundError:
        return
    if commits and _mark(name).strip() in commits[0].title:
        return
    fix = "choose another generate.hub_id, or null to push nothing"
    said = f"already has {len(files)} files, and not from this generation"
    raise ConfigError(Problem("generate.hub_id", hub_id, said, fix))
