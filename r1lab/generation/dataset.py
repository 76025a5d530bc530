"""The part of a generation that makes data of answers: steps, files, card, record. Asks nobody."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1lab.errors import ConfigError, RunFailed
from r1lab.generation import publish, writing
from r1lab.generation.card import train_line, write_card
from r1lab.generation.dead_letters import DEAD_LETTERS
from r1lab.generation.formats import Form
from r1lab.generation.statistics import Statistics
from r1lab.generation.steps import runner
from r1lab.generation.steps.base import Context, Group, Step
from r1lab.generation.writing import MADE, Written

if TYPE_CHECKING:
    from r1lab.tracking import Tracker

DATA = "data"
#: Of ``generate``: what the rows depend on, beside the answers.
_ROWS = ("num_generations", "format", "keep_columns", "test_size", "limit")
#: A step that leaves less than this share of so many prompts is worth a warning.
_FEW, _MANY = 0.1, 20


def make(
    config: Mapping[str, Any],
    context: Context,
    steps: Mapping[str, Step],
    groups: Iterable[Group],
    *,
    folder: Path,
    command: str,
    model: str,
    dead: Mapping[str, int],
    provenance: Mapping[str, Any],
    tracker: Tracker,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Run the steps and write what they keep; plain facts of what came of it."""
    node = config["generate"]
    before, after = Statistics(), Statistics()
    flow = runner.run(steps, before.watch(groups), context)
    form = Form(
        format=node["format"],
        test_size=node["test_size"],
        keep_columns=node["keep_columns"],
        has_gold=context.has_gold,
        model=model,
    )
    made_with = {
        "generate": {name: node[name] for name in _ROWS},
        "steps": config["steps"],
        "rewards": config["rewards"],
    }
    output = node["output"]
    wanted = Path(output).expanduser().absolute() if output else folder / DATA
    target = writing.place(wanted, made_with)
    if target != wanted:
        note(f"data    {wanted} was made otherwise and stays; this goes to {target.name}")

    def finish(fresh: Path, written: Written) -> None:
        offenders: list[dict[str, Any]] = []
        for name, step in steps.items():
            if step.listed:
                lines = (json.dumps(row, ensure_ascii=False, default=str) for row in step.listed)
                (fresh / MADE / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
                offenders += [row for row in step.listed if "benchmark" in row]
        write_card(
            fresh,
            config=config,
            command=command,
            model=model,
            written=written,
            steps=flow.rows(),
            provenance=provenance,
            path=str(target),
            asked=_asked(before, steps),
            kept=after.facts(),
            dead=dead,
            offenders=offenders,
            hub_id=node["hub_id"],
        )

    try:
        written = writing.write(after.watch(flow), target, form, made_with, finish)
    except ConfigError:
        if not before.facts()["samples"]:
            asks = "leave generate.ask=false out to ask for some"
            fix = f"{DEAD_LETTERS} says why they failed" if dead else asks
            said = f"there is no answer to make data of\n    fix: {fix}"
            raise RunFailed(said) from None
        show(flow.rows())  # what dropped everything
        raise
    finally:
        flow.close()
        tracker.log_metrics(runner.metrics(flow.rows()), 0)
        tracker.log_table(flow.rows(), "steps.json")
    asked, kept = _asked(before, steps), after.facts()
    tracker.log_metrics(_metrics(asked, kept, written, dead), 0)
    tracker.log_artifact(target / "README.md", DATA)
    tracker.set_tags({"r1lab.data": str(target)})
    pushed = None
    if node["hub_id"]:
        pushed = publish.push(target, node["hub_id"], folder.name, node["private"])
    for line in _nearly_all(flow.rows()):
        note(f"r1lab: warning: {line}")
    return {
        "data": str(target),
        "rows": written.rows,
        "left_out": dict(written.left_out),
        "steps": flow.rows(),
        "asked": asked,
        "kept_samples": kept["samples"],
        "pushed": pushed,
        "train": train_line(config, f"local data.path={target}"),
    }


def _nearly_all(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Steps that dropped nearly everything, which is seldom what was meant."""
    return [
        f"{row['step']} left {row['prompts_out']:,} of {row['prompts_in']:,} prompts: "
        + ", ".join(f"{why}: {count:,}" for why, count in row["counts"].items())
        for row in rows
        if row["prompts_in"] >= _MANY and row["prompts_out"] < _FEW * row["prompts_in"]
    ]


def _asked(before: Statistics, steps: Mapping[str, Step]) -> dict[str, Any]:
    """What the answers were like; the first step that verifies knows which were right."""
    facts = before.facts()
    verifier = next((step for step in steps.values() if step.verifies), None)
    return facts if verifier is None else facts | verifier.facts()


def reasons(letters: Path) -> dict[str, int]:
    """How many dead letters there are of each kind."""
    found: Counter[str] = Counter()
    with letters.open(encoding="utf-8") as lines:
        for line in lines:
            found[json.loads(line)["kind"]] += 1
    return dict(found.most_common())


def show(rows: Iterable[Mapping[str, Any]]) -> None:
    """The count for a person who watches."""
    from rich.console import Console

    Console(stderr=True).print(runner.table(rows))


def _metrics(
    asked: Mapping[str, Any], kept: Mapping[str, Any], written: Written, dead: Mapping[str, int]
) -> dict[str, float]:
    verified = asked["right"] + asked["wrong"]
    metrics = {
        "answers/prompts": asked["prompts"],
        "answers/samples": asked["samples"],
        "answers/dead_letters_left": sum(dead.values()),
        "data/samples": kept["samples"],
        "data/prompts": kept["prompts"],
        **{f"data/rows_{split}": count for split, count in written.rows.items()},
        **{f"answers/tokens_{name}": value for name, value in asked["tokens"].items()},
    }
    if verified:
        metrics["answers/accuracy"] = asked["right"] / verified
    return {name: float(value) for name, value in metrics.items()}
