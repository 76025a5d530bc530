"""The data card: what the rows are, how they were made, what was left out, and how to use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1lab.generation.writing import Written
from r1lab.record.card import hub_datasets
from r1lab.secrets import redact, redact_text

#: The Hub's size categories by their upper bounds.
_SIZES = {
    **{"n<1K": 10**3, "1K<n<10K": 10**4, "10K<n<100K": 10**5, "100K<n<1M": 10**6},
    **{"1M<n<10M": 10**7, "10M<n<100M": 10**8, "100M<n<1B": 10**9},
}
_VERSIONS = ("r1lab", "openai", "transformers", "vllm", "math-verify", "datasets")
#: Offenders that the card shows; the file has all.
_SHOWN = 5
_USES = {
    "messages": ("sft", "a row is a conversation with one answer"),
    "prompt_solution": ("grpo", "a row is a prompt with its final answer and its pass rate"),
    "raw": (None, "a row is a prompt with all its answers"),
}


def write_card(folder: Path, **facts: Any) -> Path:
    """Write ``README.md`` into a folder of data; facts as for :func:`data_card`."""
    path = folder / "README.md"
    path.write_text(data_card(**facts), encoding="utf-8")
    return path


def data_card(
    *,
    config: Mapping[str, Any],
    command: str,
    model: str,
    written: Written,
    steps: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
    path: str,
    asked: Mapping[str, Any] | None = None,
    kept: Mapping[str, Any] | None = None,
    dead: Mapping[str, int] | None = None,
    offenders: Sequence[Mapping[str, Any]] = (),
    hub_id: str | None = None,
) -> str:
    """A card with YAML front matter that the Hub accepts, secrets masked.

    ``steps`` are the rows of their count (step, prompts_in, prompts_out, samples_in, samples_out,
    counts); ``asked`` and ``kept`` are :meth:`~r1lab.generation.statistics.Statistics.facts` before
    and after them; ``dead`` counts the dead letters by reason; ``offenders`` is what
    ``decontaminate`` listed; ``path`` is where the data lies, for the command that trains on it.
    """
    node, data = config["generate"], config.get("data") or {}
    how = {"Asked": asked or {}, "Kept": kept or {}}
    sections = [
        f"# {hub_id or data.get('name') or 'Generated data'}",
        _intro(node, data, model, written),
        "## Use\n\n" + _use(config, path, hub_id),
        "## Splits\n\n" + _splits(written),
        "## How it was made\n\n"
        + f"```\n{command}\n```\n\n"
        + _bullets(_making(node, data, model, provenance)),
        "## From answers to rows\n\n" + _steps(steps, written, dead or {}),
        "## Numbers\n\n" + _numbers(how) if asked or kept else "",
        "## Decontamination\n\n" + _decontamination(config, offenders),
        "## Licence\n\nThe terms of the source data and of the model apply. They were not known to "
        "r1lab: look them up before you share or use the rows, and add `license:` above.",
    ]
    front = _front_matter(data, model, written, hub_id)
    return redact_text(f"---\n{front}---\n\n" + "\n\n".join(s for s in sections if s) + "\n")


def _front_matter(data: Mapping[str, Any], model: str, written: Written, hub_id: str | None) -> str:
    import yaml

    files = [{"split": name, "path": f"{name}.parquet"} for name in written.rows]
    total = sum(written.rows.values())
    size = next((name for name, bound in _SIZES.items() if total < bound), "n>1T")
    front: dict[str, Any] = {
        "task_categories": ["text-generation"],
        "tags": ["synthetic", "r1lab"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": files}],
        "generated_by": model,
    }
    if hub_id:
        front["pretty_name"] = hub_id.rpartition("/")[2]
    if sources := hub_datasets(data):
        front["source_datasets"] = sources
    text: str = yaml.safe_dump(redact(front), sort_keys=False, allow_unicode=True)
    return text


def _intro(node: Mapping[str, Any], data: Mapping[str, Any], model: str, written: Written) -> str:
    links = ", ".join(f"[{i}](https://huggingface.co/datasets/{i})" for i in hub_datasets(data))
    source = links or f"`{data.get('path') or data.get('name')}`"
    _, row = _USES[node["format"]]
    rows, prompts = sum(written.rows.values()), sum(written.prompts.values())
    return (
        f"{rows:,} rows from {prompts:,} prompts of {source} ({node['split']}), answered by "
        f"`{model}` and sifted by r1lab. The text is synthetic: {row}."
    )


def train_line(config: Mapping[str, Any], source: str) -> str | None:
    """The line that trains on the data at ``source``; None for a format that no trainer takes."""
    trainer, _ = _USES[config["generate"]["format"]]
    if trainer is None:
        return None
    line = f"python -m r1lab trainer={trainer} data={source}"
    # What was asked without a system prompt is; `local` and `hub` have one by default.
    asked = (config.get("data") or {}).get("system_prompt")
    return line if asked else f"{line} data.system_prompt=null"


def _use(config: Mapping[str, Any], path: str, hub_id: str | None) -> str:
    sources = [f"local data.path={path}", *([f"hub data.id={hub_id}"] if hub_id else [])]
    lines = [line for source in sources if (line := train_line(config, source))]
    lines.append(f'datasets.load_dataset("{hub_id or path}")')
    return "```\n" + "\n".join(lines) + "\n```"


def _splits(written: Written) -> str:
    rows = ["| split | rows | prompts |", "|---|---|---|"]
    rows += [f"| {name} | {n:,} | {written.prompts[name]:,} |" for name, n in written.rows.items()]
    apart = "\n\nNo prompt is in both." if len(written.rows) > 1 else ""
    columns = ", ".join(f"`{name}`" for name in written.columns)
    return "\n".join(rows) + apart + f"\n\nColumns: {columns}."


def _making(
    node: Mapping[str, Any],
    data: Mapping[str, Any],
    model: str,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    def said(name: str) -> Any:
        return "the server's own" if node[name] is None else node[name]

    git, versions = provenance.get("git") or {}, provenance.get("versions") or {}
    shown = [f"{name} {versions[name]}" for name in _VERSIONS if name in versions]
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    system = data.get("system_prompt")
    return {
        "model": f"`{model}`",
        "samples a prompt": node["num_generations"],
        "temperature": said("temperature"),
        "top_p": said("top_p"),
        "new tokens at most": node["max_new_tokens"],
        "seed": node["seed"] if node["seed"] is not None else "none",
        "further parameters": ", ".join(f"{k}={v}" for k, v in (node["extra"] or {}).items()),
        "prompt template": _code(node["prompt_template"]),
        "system prompt": _code(system) if system else "none",
        "code": f"commit {git['commit']}{dirty}" if git.get("commit") else None,
        "versions": ", ".join([f"Python {provenance.get('python')}", *shown]),
    }


def _steps(rows: Sequence[Mapping[str, Any]], written: Written, dead: Mapping[str, int]) -> str:
    table = ["| step | prompts | samples | what it did |", "|---|---|---|---|"]
    for row in rows:
        did = ", ".join(f"{why}: {count:,}" for why, count in row["counts"].items())
        prompts, samples = (
            f"{row[f'{what}_out']:,} of {row[f'{what}_in']:,}" for what in ("prompts", "samples")
        )
        table.append(f"| {row['step']} | {prompts} | {samples} | {_cell(did)} |")
    lost = ", ".join(f"{count:,} {_cell(reason)}" for reason, count in dead.items())
    left_out = ", ".join(f"{count:,} {why}" for why, count in written.left_out.items())
    said = [f"Requests that were given up (dead letters): {lost or 'none'}."]
    if left_out:
        said.append(f"Prompts that have no row in this format: {left_out}.")
    return "\n".join(table) + "\n\n" + " ".join(said)


def _numbers(how: Mapping[str, Mapping[str, Any]]) -> str:
    """The two sides next to each other, each group of numbers in a table of its own."""
    plain = ("prompts", "samples", "right", "wrong", "not verified", "with reasoning apart")
    known = {when: facts for when, facts in how.items() if facts}
    said = [n for n in plain if n in plain[:2] or any(facts[n] for facts in known.values())]
    tables = [_beside("", {when: {n: facts[n] for n in said} for when, facts in known.items()})]
    for title, key in (
        ("tokens of an answer", "tokens"),
        ("finish reason", "finish_reasons"),
        ("pass rate", "pass_rates"),
    ):
        found = {when: facts[key] for when, facts in how.items() if facts and facts[key]}
        if found:
            tables.append(_beside(title, found))
    return "\n\n".join(tables)


def _beside(title: str, columns: Mapping[str, Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for facts in columns.values() for name in facts))
    rows = [f"| {title} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        values = (_number(facts.get(name, 0)) for facts in columns.values())
        rows.append(f"| {_cell(name)} | {' | '.join(values)} |")
    return "\n".join(rows)


def _decontamination(config: Mapping[str, Any], offenders: Sequence[Mapping[str, Any]]) -> str:
    nodes = (config.get("steps") or {}).values()
    node = next((n for n in nodes if n and str(n.get("_target_")).endswith(".Decontaminate")), None)
    if node is None:
        return (
            "None: nobody looked whether the prompts overlap with benchmarks "
            "(the step `decontaminate` does)."
        )
    names = ", ".join(node["benchmarks"])
    kind = f"{node['ngram']} words in a row" + (", and whole short questions" * node["short"])
    rows = {(each["row"], each["sample"]) for each in offenders}
    shown = [
        f"- row {each['row']}, {each['benchmark']}: {_code(each['shared'])}"
        for each in offenders[:_SHOWN]
    ]
    listed = f"\n\n{chr(10).join(shown)}" if shown else ""
    return f"Against {names} ({kind}): {len(rows):,} dropped.{listed}"


def _bullets(facts: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {v}" for name, v in facts.items() if v not in (None, ""))


def _code(text: str) -> str:
    """One line of code, whatever backquotes it holds."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{' '.join(text.split())}{fence}"


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 or value.is_integer() else f"{value:.4g}"
    return f"{value:,}"
