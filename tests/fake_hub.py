"""A fake Hub: repositories, branches and files in memory, behind the HfApi calls that r1lab makes.

Fake, and no more than that: every call is bound to the real HfApi's signature first, so that a call
which the installed huggingface_hub would refuse fails here as well.
"""

from __future__ import annotations

import fnmatch
import inspect
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


def http_error(kind: type[HfHubHTTPError], status: int, text: str) -> HfHubHTTPError:
    response = httpx.Response(status, request=httpx.Request("GET", "https://fake.hub"))
    return kind(text, response=response)


class FakeHub:
    """In-memory stand-in for ``huggingface_hub.HfApi``."""

    endpoint = "https://fake.hub"

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.commits: dict[tuple[str, str], list[str]] = {}
        self.private: dict[str, bool] = {}
        self.token_is_valid = True
        self.token_role = "write"
        self.reachable = True
        self.fail_uploads_to: set[str] = set()
        self.hold_uploads = threading.Event()
        self.hold_uploads.set()

    def __getattribute__(self, name: str) -> Any:
        attribute = object.__getattribute__(self, name)
        if name.startswith("_") or not inspect.ismethod(attribute):
            return attribute
        real = inspect.signature(getattr(HfApi, name))

        def call(*args: Any, **kwargs: Any) -> Any:
            real.bind(self, *args, **kwargs)
            if not self.reachable:
                raise httpx.ConnectError("no route to host")
            return attribute(*args, **kwargs)

        return call

    def whoami(self, **kwargs: Any) -> dict[str, Any]:
        if not self.token_is_valid:
            raise http_error(HfHubHTTPError, 401, "Invalid username or password.")
        return {"name": "me", "auth": {"accessToken": {"role": self.token_role}}}

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool, repo_type: str) -> None:
        if repo_id not in self.repos:
            self.repos[repo_id] = {"main": {".gitattributes": b""}}
            self.private[repo_id] = private
            self.commits[repo_id, "main"] = ["initial commit"]

    def create_branch(self, repo_id: str, *, branch: str, exist_ok: bool, repo_type: str) -> None:
        if branch not in self.repos[repo_id]:
            self.repos[repo_id][branch] = dict(self.repos[repo_id]["main"])
            self.commits[repo_id, branch] = list(self.commits[repo_id, "main"])

    def list_repo_files(self, repo_id: str, *, revision: str, repo_type: str) -> list[str]:
        return list(self._branch(repo_id, revision))

    def list_repo_commits(self, repo_id: str, *, revision: str, repo_type: str) -> list[Any]:
        self._branch(repo_id, revision)
        return [SimpleNamespace(title=title) for title in self.commits[repo_id, revision]]

    def upload_folder(
        self,
        *,
        repo_id: str,
        folder_path: str,
        revision: str,
        commit_message: str,
        ignore_patterns: list[str],
        repo_type: str,
        delete_patterns: list[str] | None = None,
    ) -> Any:
        self.hold_uploads.wait(timeout=60)
        if revision in self.fail_uploads_to:
            raise http_error(HfHubHTTPError, 500, "Internal Server Error")
        files = self._branch(repo_id, revision)
        for name in [n for n in files if any(fnmatch.fnmatch(n, p) for p in delete_patterns or [])]:
            del files[name]
        for path in Path(folder_path).rglob("*"):
            name = path.relative_to(folder_path).as_posix()
            if path.is_file() and not any(fnmatch.fnmatch(name, p) for p in ignore_patterns):
                files[name] = path.read_bytes()
        self.commits[repo_id, revision].insert(0, commit_message)
        return SimpleNamespace(commit_url=f"{self.endpoint}/{repo_id}/commit/{revision}")

    def _branch(self, repo_id: str, revision: str) -> dict[str, bytes]:
        if repo_id not in self.repos:
            raise http_error(RepositoryNotFoundError, 404, "Repository Not Found")
        if revision not in self.repos[repo_id]:
            raise http_error(RevisionNotFoundError, 404, "Revision Not Found")
        return self.repos[repo_id][revision]
