"""LightEval's benchmarks at the end of a training: on the checkpoint, in the run's own record.

They begin when the workers are gone and the memory is free. The saved steps that
``callbacks=[benchmarks]`` kept come here as well: an engine beside the training would take its
memory and its time, and a failure there would cost the run. What fails here fails a run that is
trained and saved: the same command goes on with the benchmarks alone.
"""

from __future__ import annotations

import json
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab import hardware, schema
from r1lab.engines import choose
from r1lab.engines.base import Engine
from r1lab.errors import R1labError
from r1lab.evaluation import environment, identity, measure
from r1lab.evaluation import place as places
from r1lab.evaluation.measure import Asked
from r1lab.evaluation.place import Place
from r1lab.evaluation.watching import Watch
from r1lab.models import reference
from r1lab.plan import resolve_hardware
from r1lab.serve import Stop, stopped_by_signals

if TYPE_CHECKING:
    from r1lab.tracking import Tracker

#: Fields of the ``engine`` node that mean the same after a training as in it.
_KEPT = ("tensor_parallel_size", "dtype", "enforce_eager", "start_timeout", "args")


def run(
    config: Mapping[str, Any], folder: Path, tracker: Tracker, device: str, command: str
) -> tuple[str, str | None]:
    """The run's state after its benchmarks (finished, killed, failed), and what failed."""
    if not config["evaluate"]["tasks"]:
        return "finished", None
    try:
        with stopped_by_signals():
            metrics = _run(config, folder, tracker, device, command)
    except Stop:
        return "killed", None
    except R1labError as error:
        return "failed", f"the benchmarks, after the training: {error}"
    except Exception:
        return "failed", traceback.format_exc()
    kept = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**kept, **metrics}, indent=2) + "\n")
    return "finished", None


def _run(
    config: Mapping[str, Any], folder: Path, tracker: Tracker, device: str, command: str
) -> dict[str, float]:
    from rich.console import Console

    python = environment.python(print)
    watch = Watch(Console(stderr=True))

    def measured(model: Path, place: Place, step: int, called: str) -> dict[str, float]:
        print(f"benchmarks of {called}: {', '.join(config['evaluate']['tasks'])}", flush=True)
        asked = Asked(*_subject(config, model, called, place, device), command, python, watch)
        wanted = measure.requests(asked.evaluate, asked.engine_node, asked.engine, asked.model)
        places.remember(place, wanted)
        return measure.log(tracker, place, measure.measure(asked, place), step)

    for model in kept_steps(folder):
        step = step_of(model.parent)
        called = f"{folder.name}-{model.parent.name}"  # as `model=RUN@STEP` calls it
        measured(model, Place(model.parent, "benchmark", folder), step, called)
        shutil.rmtree(model)
    step = int(json.loads((folder / "trainer_state.json").read_text())["global_step"])
    return measured(folder / "model", Place(folder, "benchmark", folder), step, folder.name)


def _subject(
    config: Mapping[str, Any], folder: Path, called: str, place: Place, device: str
) -> tuple[Mapping[str, Any], dict[str, Any], Engine, dict[str, Any]]:
    """What is asked, by which engine, of the model that was saved in ``folder``, and what it is."""
    trained = config["model"]
    node = asdict(schema.Model(id=str(folder), name=called))
    model = reference.servable({**node, "trust_remote_code": trained["trust_remote_code"]})
    engine = engine_node(config["engine"])
    server = choose.make(
        engine,
        model,
        {**resolve_hardware(config["hardware"]), "device": device},
        place.folder / "server.log",
        visible=hardware.gpu_count(),
        verb="evaluate",
    )
    return config["evaluate"], engine, server, identity.of_model(model)


def engine_node(trained: Mapping[str, Any]) -> dict[str, Any]:
    """The ``engine`` node of a training, as it serves evaluation: all of the memory is free now."""
    kind = "vllm_server" if str(trained["kind"]).startswith("vllm") else trained["kind"]
    fresh = asdict(schema.Engine(kind=kind, args={}))
    read = _KEPT if kind != "transformers" else ("dtype", "start_timeout")
    return {**fresh, **{name: trained[name] for name in read}}


def kept_steps(folder: Path) -> list[Path]:
    """The models that the callback kept of saved steps, not evaluated yet, in order."""
    found = (folder / "evaluations").glob("checkpoint-*/model")
    return sorted(found, key=lambda path: step_of(path.parent))


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
