"""Whole runs on the tiny model, through the command line, read back from a real SQLite MLflow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1lab.data.arithmetic import make_problem
from r1lab.data.prompts import PROMPTS
from r1lab.rewards.build import build_rewards
from tests.conftest import Cli
from tests.running import SMALL, artifacts, client, runs


@pytest.fixture(scope="module")
def grpo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cli, str]:
    cli = Cli(tmp_path_factory.mktemp("grpo"))
    done = cli(
        "trainer=grpo",
        "rewards=[accuracy,cosine]",
        *SMALL,
        "trainer.args.max_steps=2",
        "callbacks.completions.every_steps=1",
        "run_name=first",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return cli, done.stdout


def test_grpo_says_what_it_did(grpo: tuple[Cli, str]) -> None:
    cli, said = grpo
    log = (cli.folder / "outputs" / "first" / "log.txt").read_text()
    assert log.count("step 2/2") >= 1 and "registered as" in log
    for part in (
        "run    ",
        "before accuracy",
        "after  accuracy",
        "step 2/2",
        ": generation ",
        "model  ",
        "mlflow ",
    ):
        assert part in said, said


def test_the_table_of_completions_can_be_scored_again(grpo: tuple[Cli, str]) -> None:
    cli, _ = grpo
    (run,) = runs(cli.folder)
    path = client(cli.folder).download_artifacts(
        run.info.run_id, "completions/step_000002.json", str(cli.folder)
    )
    table = json.loads(Path(path).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    config = json.loads((cli.folder / "outputs/first/plan.json").read_text())["config"]
    rewards, weights = build_rewards(config["rewards"])
    for row in rows:
        earned = [
            reward(
                [row["completion"]],
                solution=[row["solution"]],
                completion_ids=[range(row["completion_tokens"])],
            )[0]
            for reward in rewards
        ]
        total = sum(weight * value for weight, value in zip(weights, earned, strict=True))
        assert row["reward"] == pytest.approx(total)


def test_grpo_is_recorded_in_mlflow(grpo: tuple[Cli, str]) -> None:
    cli, _ = grpo
    (run,) = runs(cli.folder)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "first"
    assert run.data.params["seed"] == "42"
    assert run.data.params["rewards.cosine.max_len"] == "1000"
    for name in (
        "reward",
        "rewards/accuracy/mean",
        "rewards/cosine/mean",
        "rewards/cosine/std",
        "rewards/cosine/frac_zero_std",
        "time/generate_s",
        "time/reward_s",
        "time/update_s",
        "time/reward_share",
        "heldout/accuracy",
        "heldout/accuracy_low",
        "heldout_before/accuracy",
    ):
        assert name in run.data.metrics, sorted(run.data.metrics)
    points = client(cli.folder).get_metric_history(run.info.run_id, "reward")
    assert [point.step for point in points] == [1, 2]
    assert run.data.tags["r1lab.command"].startswith("python -m r1lab trainer=grpo")
    assert run.data.tags["data.train.fingerprint"]
    kept = artifacts(cli.folder, run.info.run_id)
    for name in (
        "config.yaml",
        "plan.json",
        "versions.json",
        "README.md",
        "data_report.json",
        "completions/step_000001.json",
        "evaluation/heldout.parquet",
        "model/model.safetensors",
    ):
        assert name in kept, sorted(kept)


def test_completions_table_has_text_and_rewards(grpo: tuple[Cli, str]) -> None:
    cli, _ = grpo
    (run,) = runs(cli.folder)
    path = client(cli.folder).download_artifacts(run.info.run_id, "completions/step_000002.json")
    table = json.loads(Path(path).read_text())
    assert {
        "prompt",
        "completion",
        "reward/accuracy",
        "reward/cosine",
        "reward",
        "advantage",
    } <= set(table["columns"])
    assert any("<answer>" in str(row) for row in table["data"])


def test_saved_model_reloads_and_ends_its_turn(grpo: tuple[Cli, str]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    cli, _ = grpo
    folder = cli.folder / "outputs" / "first" / "model"
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder),
    )
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token not in (None, tokenizer.eos_token)
    ends = model.generation_config.eos_token_id
    assert (ends if isinstance(ends, list) else [ends]) == [tokenizer.eos_token_id]
    assert model.config.use_cache is True
    problem = make_problem(0, 0, "test", "medium")["problem"]
    chat = [
        {"role": "system", "content": PROMPTS["open_r1"]},
        {"role": "user", "content": problem},
    ]
    ids = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**ids, max_new_tokens=96, do_sample=False)
    assert int(out[0, -1]) == tokenizer.eos_token_id
    card = (folder / "README.md").read_text()
    assert "run_name=first" in card and "heldout/accuracy" in card


@pytest.mark.slow
def test_sft_trains_and_evaluates(cli: Cli) -> None:
    done = cli("trainer=sft", *SMALL, "trainer.args.max_steps=2", "data.sft_think_fraction=0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = runs(cli.folder)
    assert run.info.status == "FINISHED"
    assert {"loss", "eval_loss", "heldout/accuracy", "heldout_before/accuracy"} <= set(
        run.data.metrics
    )
    assert not any(name.startswith("rewards") for name in run.data.metrics)


@pytest.mark.slow
def test_a_reward_that_raises_stops_the_run_with_its_row(cli: Cli) -> None:
    (cli.folder / "mylab.py").write_text(
        "class Brittle:\n"
        "    def __init__(self, limit: int = 1):\n"
        "        self.limit = limit\n"
        "    def __call__(self, completions, solution, **kwargs):\n"
        "        raise KeyError('no such thing')\n"
    )
    done = cli(
        *SMALL,
        "rewards=[accuracy]",
        "+rewards.mine._target_=mylab.Brittle",
        "+rewards.mine.weight=1",
        "run_name=r",
        R1LAB_PACKAGES="mylab",
    )
    assert done.returncode == 1
    assert "row 0" in done.stdout and "mine" in done.stdout
    (run,) = runs(cli.folder)
    assert run.info.status == "FAILED"
    path = client(cli.folder).download_artifacts(run.info.run_id, "traceback.txt")
    assert "no such thing" in Path(path).read_text()
    status = json.loads((cli.folder / "outputs" / "r" / "status.json").read_text())
    assert status["state"] == "failed"


@pytest.mark.slow
def test_wrong_data_is_reported_without_a_traceback(cli: Cli) -> None:
    rows = [{"prompt": "1+1?", "solution": ""}, {"prompt": "", "solution": "2"}]
    (cli.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cli("data=local", "data.path=rows.jsonl", "rewards=[accuracy]", "hardware=cpu")
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert "fix:" in done.stderr


@pytest.mark.slow
def test_multirun_trains_each_point_in_a_worker_of_its_own(cli: Cli) -> None:
    done = cli("-m", "seed=1,2", *SMALL, "trainer.args.max_steps=1")
    assert done.returncode == 0, done.stdout + done.stderr
    found = runs(cli.folder)
    assert {run.info.status for run in found} == {"FINISHED"}
    points = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    assert len(found) == len(points) + 1
    assert sorted(run.data.params["seed"] for run in points) == ["1", "2"]


def test_a_mistake_in_one_point_stops_the_sweep_before_it_starts(cli: Cli) -> None:
    done = cli("-m", "seed=1,abc", "rewards=[accuracy],[acuracy]")
    assert done.returncode == 2
    assert "seed = 'abc'" in done.stderr and "accuracy" in done.stderr
    assert not (cli.folder / "outputs").exists()


@pytest.mark.slow
def test_lora_trains_and_saves_an_adapter(cli: Cli) -> None:
    done = cli(*SMALL, "model/peft=lora", "trainer.args.max_steps=1", "run_name=r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (cli.folder / "outputs" / "r" / "model" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_default_command_learns_to_think(cli: Cli, seed: int) -> None:
    done = cli(
        "trainer=grpo", "rewards=[accuracy,cosine]", f"seed={seed}", "run_name=r", timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((cli.folder / "outputs" / "r" / "metrics.json").read_text())
    assert metrics["heldout_before/accuracy"] < 0.40
    assert metrics["heldout/accuracy"] > 0.80
    assert metrics["heldout/mean_tokens"] > 1.5 * metrics["heldout_before/mean_tokens"]


@pytest.mark.slow
def test_a_token_in_a_traceback_reaches_no_file_and_no_terminal(cli: Cli) -> None:
    token = "hf_" + "Zq7Lw3Kx9Vb2Nm5Rt8Yp4Hd6Jf1Gs0Ac"
    (cli.folder / "mylab.py").write_text(
        "import logging, os\n"
        "class Leaky:\n"
        "    def __call__(self, completions, **kwargs):\n"
        "        logging.getLogger('mylab').warning('token is %s', os.environ['HF_TOKEN'])\n"
        "        raise RuntimeError('refused: ' + os.environ['HF_TOKEN'])\n"
    )
    line = ["rewards=[accuracy]", "+rewards.mine._target_=mylab.Leaky", "+rewards.mine.weight=1"]
    done = cli(*SMALL, *line, R1LAB_PACKAGES="mylab", HF_TOKEN=token)
    assert done.returncode == 1
    assert "refused: " in done.stdout
    assert token not in done.stdout + done.stderr
    written = [path for path in (cli.folder / "outputs").rglob("*") if path.is_file()]
    assert len(written) > 10
    assert [path for path in written if token.encode() in path.read_bytes()] == []
