"""What a wrong line of ``generate`` is told, before anything is asked or written."""

from __future__ import annotations

import pytest

from r1lab.cli import main


def test_all_mistakes_of_values_are_told_together(generate):
    said = generate.mistakes(
        *("generate.temperature=-1", "generate.top_p=1.5", "generate.seed=-1"),
        *("generate.num_generations=0", "generate.max_new_tokens=0", "generate.limit=0"),
        *("generate.input_batch_size=0", "generate.client_replicas=0", "generate.retries=-1"),
        *("generate.timeout=0", "generate.server_timeout=-1", "generate.max_concurrency=0"),
        *("generate.client=ryay", "generate.format=message", "generate.test_size=1.5"),
        *("generate.name=a/b", "generate.output=prompts.jsonl", "generate.extra.stream=true"),
        *("generate.extra.n=3", "data.max_train=2"),
    )
    keys = [line.split(" = ")[0].strip() for line in said.splitlines() if " = " in line]
    assert len(keys) == 20 and len(set(keys)) == 20, said
    assert "20 problems in the configuration" in said
    for told in (
        *("did you mean ray?", "did you mean messages?", "set generate.num_generations"),
        "set generate.limit, or data.max_train=null",
    ):
        assert told in said, said


def test_misspelt_options_are_recognised(generate):
    said = generate.mistakes(
        *("generate.modle=x", "generate.num_generation=2", "steps=[verfy]", "data.paht=x"),
    )
    for name in ("generate.model?", "generate.num_generations?", "verify?", "data.path?"):
        assert f"did you mean {name}" in said, said


def test_what_contradicts_itself_is_told(generate):
    url = generate.served.url
    said = generate.mistakes("model=tiny", "hardware=cpu", "engine.url=http://elsewhere:1/v1")
    assert f"model = 'tiny': is not what answers: {url} is a server with its own model" in said
    assert "hardware = 'cpu': is not what answers" in said
    assert f"another server is generate.base_url={url}\n    fix: leave engine.url out" in said
    said = generate.mistakes(
        "model=tiny",
        "generate.model=tiny",
        given=("data=local", "data.path=prompts.jsonl"),
    )
    assert "generate.model = 'tiny': is named by model=... too" in said
    assert "fix: leave one of the two out" in said
    said = generate.mistakes("generate.temperature=0", "generate.num_generations=4")
    assert "with temperature 0 all samples of a prompt would be the same" in said


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "ftp://a/v1", "http://a:port/v1"])
def test_an_address_that_is_none_is_told_once(generate, url):
    said = generate.mistakes(f'generate.base_url="{url}"')
    assert "1 problem in" in said and f"generate.base_url = '{url}': is no address" in said
    assert "fix: write http://HOST:PORT/v1" in said


def test_what_the_data_does_not_have_is_told(generate):
    said = generate.mistakes(
        *("generate.split=tset", "generate.keep_columns=[topc]"),
        'generate.prompt_template="{{ promt }}"',
    )
    assert "generate.split = 'tset': local has no such split" in said
    assert "the data has no column 'topc'; it has: prompt, solution, topic" in said
    assert "did you mean {{ prompt }}?" in said
    said = generate.mistakes(
        *("data.columns.solution=null", "generate.format=prompt_solution", "steps=[verify]"),
    )
    assert "generate.format = 'prompt_solution': needs a solution, and the data has none" in said
    assert "steps.verify" in said


def test_a_template_that_hydra_cannot_read_is_told_with_its_quotes(generate):
    said = generate.mistakes('generate.prompt_template=Solve: {{ prompt }} "well"')
    assert "fix: quote it" in said
    assert r"""'generate.prompt_template="Solve: {{ prompt }} \"well\""'""" in said
    generate.mistakes(r'generate.prompt_template="{{ prompt"')
    assert "is no Jinja template" in generate.said


def test_steps_out_of_order_are_told(generate):
    said = generate.mistakes("steps=[choose,verify]")
    assert "steps.choose.only_right" in said and "put verify before it" in said


def test_what_generate_does_not_read_is_told(generate):
    said = generate.mistakes("trainer=sft", "seed=3", "run_name=x", "resume=never")
    for key in ("trainer", "seed", "run_name", "resume"):
        assert f"  {key} = " in said
    assert "is not read by generate" in said


@pytest.mark.parametrize("verb", [[], ["train"], ["plan"]])
def test_other_verbs_do_not_read_its_options(verb, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*verb, "generate.limit=3", "steps=[verify]"]) == 2
    said = capsys.readouterr().err
    assert "generate.limit = '3': is read by generate alone" in said
    assert "steps = '[verify]': is read by generate alone" in said
    assert "fix: write: python -m r1lab generate ..." in said


def test_the_help_names_it(capsys):
    assert main(["generate", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "generate.base_url=" in shown and "decontaminate" in shown


def test_it_does_not_sweep(generate):
    assert "does not sweep" in generate.mistakes("-m")


def test_a_hub_that_cannot_be_reached_is_told_first(generate, monkeypatch):
    said = generate.mistakes("generate.hub_id=me/sums")
    assert "HF_HUB_OFFLINE is set" in said and "generate.hub_id=null" in said


def test_a_model_that_the_server_does_not_have_is_told(generate):
    generate("generate.model=huge", code=1)
    assert "has no model 'huge'; it has: tiny" in generate.said
    assert generate.asked == []
