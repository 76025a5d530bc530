"""Pushing to the Hugging Face Hub: only when asked, checked before training, never overwriting."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab.errors import ConfigError, PrerequisiteError, Problem
from r1lab.secrets import leaking_files, redact_text

if TYPE_CHECKING:
    from huggingface_hub import HfApi

log = logging.getLogger(__name__)

# What a resumed training needs and a reader of the model doesn't; the optimizer is twice its size.
NOT_PUSHED = [
    "optimizer*",
    "scheduler*",
    "rng_state*",
    "scaler*",
    "*.pt",
    "*.pth",
    "global_step*/*",
    "pytorch_model_fsdp*/*",
    "optimizer_*/*",
    "checkpoint-*/*",
    "training_args.bin",
]
# What the Hub itself puts into a new repository.
BORN_WITH = {".gitattributes"}
#: What a training is told where it cannot push.
_NO_PUSH = "hub.push=false hub.push_revision=false"


def pushes_checkpoints(config: Mapping[str, Any]) -> bool:
    """Whether each save goes to a branch: ``hub.push_revision``, or the callback by any name."""
    nodes = [node for node in (config.get("callbacks") or {}).values() if node]
    targets = [str(node.get("_target_")) for node in nodes]
    asked = bool((config.get("hub") or {}).get("push_revision"))
    return asked or any(target.endswith(".PushToHubRevision") for target in targets)


def check_access(
    config: Mapping[str, Any], run_id: str | None = None, api: HfApi | None = None
) -> None:
    """Everything that would make a push fail after hours of training, asked before it.

    Nothing is asked where the configuration pushes nothing. ``run_id`` is the MLflow run that is
    resumed, if one is: its own earlier pushes may be replaced.

    Raises :class:`ConfigError` (no ``hub.model_id``, a revision that holds somebody's files) or
    :class:`PrerequisiteError` (no token, a token that the Hub refuses, no connection).
    """
    hub = config.get("hub") or {}
    if not hub.get("push") and not pushes_checkpoints(config):
        return
    repo = hub.get("model_id")
    if not repo:
        fix = "set hub.model_id=NAME/MODEL, or hub.push=false"
        raise ConfigError(Problem("hub.model_id", repo, "is needed to push to the Hub", fix))
    api = api or connect()
    check_token(api)
    revision = hub.get("revision") or "main"
    if hub.get("push") and not hub.get("overwrite_revision"):
        _refuse_overwrite(api, repo, revision, run_id)


def push_folder(
    folder: Path | str,
    hub: Mapping[str, Any],
    message: str,
    revision: str | None = None,
    run_id: str | None = None,
    api: HfApi | None = None,
) -> str:
    """Upload a model or checkpoint to ``revision`` (default ``hub.revision``); returns its URL.

    The repository and the branch are made where they are missing. A revision that already holds
    files is refused, unless they are this run's own (``run_id``) or ``hub.overwrite_revision`` is
    set.
    """
    api = api or connect()
    repo, revision = hub["model_id"], revision or hub.get("revision") or "main"
    leaks = leaking_files(Path(folder))
    if leaks:
        raise RuntimeError(f"not pushed, these files hold a secret: {', '.join(map(str, leaks))}")
    private = bool(hub.get("private", True))
    api.create_repo(repo, private=private, exist_ok=True, repo_type="model")
    if not hub.get("overwrite_revision"):
        _refuse_overwrite(api, repo, revision, run_id)
    if revision != "main":
        api.create_branch(repo, branch=revision, exist_ok=True, repo_type="model")
    commit = api.upload_folder(
        repo_id=repo,
        folder_path=str(folder),
        revision=revision,
        commit_message=redact_text(f"{message}{_mark(run_id)}"),
        ignore_patterns=NOT_PUSHED,
        repo_type="model",
    )
    return str(getattr(commit, "commit_url", None) or f"{api.endpoint}/{repo}/tree/{revision}")


def step_revision(revision: str, step: int) -> str:
    """The branch of checkpoint ``step``, named as open-r1 names it."""
    return f"{revision}-step-{step:09d}"


def _mark(run_id: str | None) -> str:
    return f" (r1lab run {run_id})" if run_id else ""


def connect(no_push: str = _NO_PUSH) -> HfApi:
    """The Hub's API; PrerequisiteError without a token, which says that ``no_push`` needs none."""
    from huggingface_hub import HfApi, get_token

    if os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "on", "yes"}:
        raise PrerequisiteError(
            "a connection to the Hub",
            "HF_HUB_OFFLINE is set, and the configuration asks for a push",
            f"unset HF_HUB_OFFLINE, or set {no_push}",
        )
    if not get_token():
        raise PrerequisiteError(
            "a Hugging Face token",
            "the configuration asks for a push to the Hub",
            "export HF_TOKEN=... (one with write access, https://huggingface.co/settings/tokens), "
            f"or run `hf auth login`, or set {no_push}",
        )
    return HfApi(library_name="r1lab")


def check_token(api: HfApi, no_push: str = _NO_PUSH) -> None:
    """PrerequisiteError where the Hub refuses the token, lets it only read, or does not answer."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        role = ((api.whoami().get("auth") or {}).get("accessToken") or {}).get("role")
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status not in (401, 403):
            raise _unreachable(error, no_push) from None
        raise PrerequisiteError(
            "a valid Hugging Face token",
            f"the Hub refused this one (HTTP {status})",
            "make a new one with write access at https://huggingface.co/settings/tokens and export "
            f"HF_TOKEN=..., or set {no_push}",
        ) from None
    except OSError as error:  # requests', httpx's and the system's connection errors
        raise _unreachable(error, no_push) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "httpx":
            raise
        raise _unreachable(error, no_push) from None
    if role == "read":
        raise PrerequisiteError(
            "write access to the Hub",
            "the Hugging Face token may only read",
            "export HF_TOKEN=... with a write token from https://huggingface.co/settings/tokens, "
            f"or set {no_push}",
        )


def _unreachable(error: Exception, no_push: str) -> PrerequisiteError:
    return PrerequisiteError(
        "the Hugging Face Hub",
        redact_text(f"it does not answer: {error}".splitlines()[0]),
        f"check the connection (and HF_ENDPOINT), or set {no_push}",
    )


def _refuse_overwrite(api: HfApi, repo: str, revision: str, run_id: str | None) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        files = set(api.list_repo_files(repo, revision=revision, repo_type="model")) - BORN_WITH
        if not files:
            return
        commits = api.list_repo_commits(repo, revision=revision, repo_type="model")
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return
    if run_id and commits and _mark(run_id).strip() in commits[0].title:
        return  # this run pushed it before it was resumed
    raise ConfigError(
        Problem(
            "hub.revision",
            revision,
            f"{repo} already has {len(files)} files there",
            "choose another hub.revision, or set hub.overwrite_revision=true to add to it",
        )
    )
