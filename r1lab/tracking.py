"""One run's record in MLflow: params, metrics, tables, artifacts, status; only this imports mlflow.

The default store is SQLite beside the runs. Whatever leaves through a :class:`Tracker` is redacted
(:mod:`r1lab.secrets`). Metrics and tables are written by one background thread, in order, so that a
training step doesn't wait for a disk or a server; ``flush`` and ``finish`` wait for it.
"""

from __future__ import annotations

import json
import logging
import os
import posixpath
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from r1lab.errors import ConfigError, PrerequisiteError, Problem
from r1lab.record import params, sqlite_store
from r1lab.record.points import Points
from r1lab.record.waiting import MOST, Step, Waiting
from r1lab.secrets import leaking_files, learn, redact, redact_file, redact_text

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)
Status = Literal["FINISHED", "FAILED", "KILLED"]
STARTS = "r1lab.starts"  # tag: how often this run was started; start 2 is `resume_1`
TABLES = "mlflow.loggedArtifacts"  # tag by which MLflow's UI finds tables
KIND = {"mlflow.experimentKind": "custom_model_development"}  # its UI opens on training, not chats


class Tracker:
    """A run that is open. ``open`` is the way in; ``DisabledTracker`` has the same interface."""

    def __init__(self, client: MlflowClient, uri: str, run_dir: Path, run_id: str, resumed: bool):
        self._client, self._uri, self._run_dir, self.run_id = client, uri, run_dir, run_id
        kept, database = run_dir / "replaced_metrics.jsonl", sqlite_store.database_path(uri)
        self._points = Points(run_id, database, kept, self._read_history if resumed else None)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="r1lab-tracking")
        self._pending: list[tuple[Future[None], Callable[[], None]]] = []
        self._waiting = Waiting()
        self._tables: list[str] | None = None
        self.nonfinite = 0

    @classmethod
    def open(
        cls,
        config: Mapping[str, Any],
        run_dir: Path,
        run_name: str,
        run_id: str | None,
        parent_run_id: str | None = None,
    ) -> Tracker:
        """Open a new run, or continue ``run_id``; store and experiment are made if absent.

        Safe when several processes do it at once on a fresh SQLite store. A ``run_id`` that the
        store doesn't know (its database was removed) gives a new run that names the old one in a
        tag.
        """
        learn(config)
        tracking = config.get("tracking") or {}
        if not tracking.get("mlflow", True):
            return DisabledTracker()
        uri = tracking.get("uri") or sqlite_store.default_uri(config.get("output_dir") or "outputs")
        experiment = tracking.get("experiment") or "r1lab"
        client, experiment_id = connect(uri, experiment)
        if run_id is not None:
            if is_alive(client, run_id):
                client.update_run(run_id, status="RUNNING")
                return cls(client, uri, Path(run_dir), run_id, resumed=True)
            log.warning("MLflow run %s is not in the store: its record starts anew", run_id)
        tags = {"mlflow.user": os.environ.get("USER", ""), "mlflow.source.type": "LOCAL"}
        tags |= {"mlflow.parentRunId": parent_run_id} if parent_run_id else {}
        tags |= {"r1lab.previous_run_id": run_id} if run_id else {}
        tags["r1lab.run_dir"] = str(run_dir)
        run = client.create_run(experiment_id, run_name=redact_text(run_name), tags=redact(tags))
        return cls(client, uri, Path(run_dir), run.info.run_id, resumed=False)

    @property
    def url(self) -> str | None:
        """Where to look: the run's page, or for a local database the command that shows it."""
        if self._uri.startswith("http"):
            experiment = self._client.get_run(self.run_id).info.experiment_id
            page = f"{self._uri.rstrip('/')}/#/experiments/{experiment}/runs/{self.run_id}"
            return redact_text(page)
        return f"mlflow ui --backend-store-uri {redact_text(self._uri)}  (run {self.run_id})"

    def log_start(
        self, config: Mapping[str, Any], provenance: Mapping[str, Any], command: str
    ) -> None:
        """Record what is about to run: params, config, plan, versions, commit, diff, command.

        A param is never changed: what differs on a resumed run is logged as ``resume_<n>/<key>``,
        and its config and code go beside the first ones, under ``resume_<n>/``.
        """
        run = self._client.get_run(self.run_id)
        resume = int(run.data.tags.get(STARTS, "0"))
        folder = f"resume_{resume}" if resume else ""
        changed = self._log_params(params.flatten(redact(config)), run.data.params, resume)
        git = provenance.get("git") or {}
        tags: dict[str, Any] = {
            STARTS: resume + 1,
            "r1lab.command": command,
            "mlflow.source.name": command,
            "mlflow.source.git.commit": git.get("commit"),
            "r1lab.git_dirty": git.get("dirty"),
            "r1lab.host": (provenance.get("machine") or {}).get("host"),
        }
        if changed:
            tags[f"r1lab.resume_{resume}.changed"] = ", ".join(changed)
        self.set_tags({key: value for key, value in tags.items() if value is not None})

        import yaml

        whole = yaml.safe_dump(redact(config), sort_keys=False, allow_unicode=True)
        self.log_text(whole, posixpath.join(folder, "config.yaml"))
        facts = {**provenance, "git": {k: v for k, v in git.items() if k != "diff"} or None}
        self.log_text(
            json.dumps(facts, indent=2, default=str), posixpath.join(folder, "versions.json")
        )
        self.log_text(command + "\n", posixpath.join(folder, "command.txt"))
        if git.get("diff"):
            self.log_text(git["diff"], posixpath.join(folder, "code.diff"))
        if (self._run_dir / "plan.json").is_file():
            self.log_artifact(self._run_dir / "plan.json", folder or None)

    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        """Log numbers under names that MLflow accepts; NaN, infinite and None are counted.

        A step that the run already has keeps one point: an equal value is not logged twice, another
        one takes the old one's place, which is kept in the artifact ``replaced_metrics.jsonl`` (on
        a server both points stay: only SQLite lets one go). See :mod:`r1lab.record.points`.
        """
        kept, skipped = params.clean_metrics(metrics)
        if skipped:
            self.nonfinite += len(skipped)
            kept["nonfinite_metrics"] = float(self.nonfinite)
            log.debug("step %d: not a finite number: %s", step, ", ".join(skipped))
        if kept and self._waiting.add(Step(kept, int(step), int(time.time() * 1000))):
            self._submit(lambda: self._waiting.write(self._write_metrics))

    def hurry(self) -> None:
        """Start writing what waits: a run that resumes does not log the steps before again."""
        self._waiting.hurry()

    def log_table(self, rows: list[dict[str, Any]], artifact_path: str) -> None:
        """Log rows as a ``.json`` table that MLflow's UI shows; the same path is overwritten."""
        rows = list(rows)

        def write() -> None:
            columns = list(dict.fromkeys(name for row in rows for name in row))
            cells = redact([[row.get(name) for name in columns] for row in rows])
            table = {"columns": columns, "data": cells}
            text = json.dumps(table, default=str, ensure_ascii=False)
            self._client.log_text(self.run_id, text, artifact_path)
            self._tag_table(artifact_path)

        self._submit(write)

    def log_text(self, text: str, path: str) -> None:
        self._client.log_text(self.run_id, redact_text(text), path)

    def log_artifact(self, path: Path | str, dir: str | None = None) -> None:
        """Log a file, or a folder's files under its name; secrets in text files are masked."""
        path = Path(path)
        if path.is_dir():
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                below = file.parent.relative_to(path.parent).as_posix()
                self.log_artifact(file, posixpath.join(dir or "", below))
            return
        clean = redact_file(path)
        if clean is None:
            self._client.log_artifact(self.run_id, str(path), dir)
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            copy.write_bytes(clean)
            self._client.log_artifact(self.run_id, str(copy), dir)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        from mlflow.entities import RunTag

        clean = redact(dict(tags))
        rows = [
            RunTag(params.clean_name(key), params.cut(str(value), params.TAG_LIMIT))
            for key, value in clean.items()
        ]
        for chunk in params.chunks(rows):
            self._client.log_batch(self.run_id, tags=chunk, synchronous=True)

    def log_dataset_fingerprint(
        self, name: str, fingerprint: str, dataset: Any = None, context: str = "train"
    ) -> None:
        """Record which data it was: tags, and a ``datasets.Dataset``'s schema as the run's input.

        The schema is read from the first rows only, and MLflow's own digest is not computed.
        """
        self.set_tags({f"data.{context}.name": name, f"data.{context}.fingerprint": fingerprint})
        if dataset is None:
            return
        import mlflow.data
        from mlflow.entities import Dataset, DatasetInput, InputTag

        head = dataset.select(range(min(len(dataset), 100)))
        row = mlflow.data.from_huggingface(
            head, name=redact_text(name)[:500], digest=fingerprint[:36]
        )
        facts = redact(row.to_dict())
        entity = Dataset(
            facts["name"],
            facts["digest"],
            facts["source_type"],
            facts["source"],
            schema=facts["schema"],
            profile=json.dumps({"num_rows": len(dataset)}),
        )
        inputs = [DatasetInput(entity, [InputTag("mlflow.data.context", context)])]
        self._client.log_inputs(self.run_id, inputs)

    def register(self, model_dir: Path | str, name: str) -> str:
        """Upload a saved model folder as the next version of ``name``; returns the version."""
        from mlflow.exceptions import MlflowException

        leaks = leaking_files(Path(model_dir))
        if leaks:
            raise RuntimeError(
                f"not registered, these files hold a secret: {', '.join(map(str, leaks))}"
            )
        self._client.log_artifacts(self.run_id, str(model_dir), "model")
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        root = self._client.get_run(self.run_id).info.artifact_uri
        version = self._client.create_model_version(name, f"{root}/model", run_id=self.run_id)
        return str(version.version)

    def flush(self) -> None:
        """Wait until everything is written; what failed is tried once more, then raises."""
        self.hurry()
        pending, self._pending = self._pending, []
        for future, write in pending:
            error = future.exception()
            if error is not None:
                log.warning("writing to MLflow failed (%s), trying again", error)
                self._pool.submit(write).result()
        if self._points.replaced:
            self.log_artifact(self._points.kept)
            count = self._points.replaced
            self.set_tags({"r1lab.replaced": f"{count} points of steps that were done twice"})

    def finish(self, status: Status, traceback: str | None = None, ended: float = 0) -> None:
        """Write what is pending and close the run (at ``ended``, seconds since the epoch)."""
        try:
            if traceback:
                self.log_text(traceback, "traceback.txt")
            self.flush()
        finally:
            self._client.set_terminated(self.run_id, status, int(ended * 1000) or None)
            self._pool.shutdown()

    def _submit(self, write: Callable[[], None]) -> None:
        for future, _ in self._pending:
            error = future.exception() if future.done() else None
            if error is not None:  # said when it happens; flush tries again and raises
                log.error("writing to MLflow failed: %s", error)
        self._pending = [(f, w) for f, w in self._pending if not f.done() or f.exception()]
        self._pending.append((self._pool.submit(write), write))

    def _write_metrics(self, steps: list[Step]) -> None:
        from mlflow.entities import Metric

        rows = [
            Metric(key, value, stamp, step)
            for metrics, step, stamp in steps
            for key, value in self._points.admit(metrics, step).items()
        ]
        for chunk in params.chunks(rows, MOST):
            self._client.log_batch(self.run_id, metrics=chunk, synchronous=True)
        for metrics, step, _stamp in steps:
            self._points.logged(metrics, step)

    def _read_history(self) -> dict[tuple[str, int], float]:
        keys = self._client.get_run(self.run_id).data.metrics
        points = (p for key in keys for p in self._client.get_metric_history(self.run_id, key))
        return {(p.key, p.step): p.value for p in sorted(points, key=lambda p: p.timestamp)}

    def _log_params(self, flat: dict[str, str], known: dict[str, str], resume: int) -> list[str]:
        """Log what is new; returns the keys whose value differs from the start before this one."""
        from mlflow.entities import Param

        def latest(key: str) -> str | None:
            names = [f"resume_{n}/{key}" for n in range(resume - 1, 0, -1)]
            return next((known[name] for name in [*names, key] if name in known), None)

        before = {key: latest(key) for key in flat}
        changed = [key for key, value in flat.items() if before[key] not in (None, value)]
        rows = {key: value for key, value in flat.items() if before[key] is None}
        rows |= {params.clean_name(f"resume_{resume}/{key}"): flat[key] for key in changed}
        for chunk in params.chunks(Param(key, value) for key, value in rows.items()):
            self._client.log_batch(self.run_id, params=chunk, synchronous=True)
        return changed

    def _tag_table(self, path: str) -> None:
        if self._tables is None:
            rows = json.loads(self._client.get_run(self.run_id).data.tags.get(TABLES, "[]"))
            self._tables = [row["path"] for row in rows]
        if path not in self._tables:
            self._tables.append(path)
            rows = [{"path": table, "type": "table"} for table in self._tables]
            while len(json.dumps(rows)) > params.TAG_LIMIT:
                rows.pop(0)  # the UI lists the latest; all of them are among the artifacts
            self._client.set_tag(self.run_id, TABLES, json.dumps(rows))


class DisabledTracker(Tracker):
    """What ``tracking.mlflow=false`` gives: the same calls, nothing recorded."""

    def __init__(self) -> None:
        self.run_id = ""
        self.nonfinite = 0

    @property
    def url(self) -> str | None:
        return None

    def log_start(self, config: Any, provenance: Any, command: str) -> None: ...
    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None: ...
    def log_table(self, rows: list[dict[str, Any]], artifact_path: str) -> None: ...
    def log_text(self, text: str, path: str) -> None: ...
    def log_artifact(self, path: Path | str, dir: str | None = None) -> None: ...
    def set_tags(self, tags: Mapping[str, Any]) -> None: ...
    def log_dataset_fingerprint(
        self, name: str, fingerprint: str, dataset: Any = None, context: str = "train"
    ) -> None: ...
    def register(self, model_dir: Path | str, name: str) -> str:
        return ""

    def hurry(self) -> None: ...
    def flush(self) -> None: ...
    def finish(self, status: Status, traceback: str | None = None, ended: float = 0) -> None: ...


def connect(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    """A client, and the id of ``experiment``, created where it is missing."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    logging.getLogger("mlflow.store.db").setLevel(logging.WARNING)  # not "Creating tables..."
    try:
        database = sqlite_store.database_path(uri)
        with sqlite_store.locked(database) as folder:
            sqlite_store.make_whole(database, lambda new: MlflowClient(new).search_experiments())
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            found = client.get_experiment_by_name(experiment)
            if found is not None and found.lifecycle_stage == "deleted":
                said = "is a deleted MLflow experiment"
                fix = f"restore it (mlflow experiments restore -x {found.experiment_id}) or rename"
                raise ConfigError(Problem("tracking.experiment", experiment, said, fix))
            if found is not None:
                return client, found.experiment_id
            # Not MLflow's default, ./mlruns of whatever folder a command ran in.
            place = (folder / "mlartifacts" / _safe(experiment)).as_uri() if folder else None
            try:
                return client, client.create_experiment(experiment, place, KIND)
            except MlflowException as error:
                again = client.get_experiment_by_name(experiment)
                if error.error_code != "RESOURCE_ALREADY_EXISTS" or again is None:
                    raise
                return client, again.experiment_id
    except (MlflowException, OSError, sqlite3.Error) as error:
        raise PrerequisiteError(
            f"the MLflow store {redact_text(uri)}",
            redact_text(str(error).splitlines()[0] if str(error) else repr(error)),
            "set tracking.uri to one that answers (sqlite:///path/mlflow.db, http://host:port), or "
            "tracking.mlflow=false to train without a record",
        ) from None


def is_alive(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False


def _safe(name: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in name)
