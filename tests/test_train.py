"""Whole runs on the tiny model, through the command line, read back from a real SQLite MLflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from r1lab.data.arithmetic import make_problem
from r1lab.data.prompts import PROMPTS
from r1lab.rewards.build import build_rewards
from tests.conftest import Cli

SMALL = [
    "hardware=cpu",
    "trainer.args.per_device_train_batch_size=16",
    "trainer.evaluation.problems=16",
    "data.train_size=256",
    "data.test_size=32",
]


def client(folder: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder / 'outputs' / 'mlflow.db'}")


def runs(folder: Path) -> list[Any]:
    found = client(folder)
    experiment = found.get_experiment_by_name("r1lab")
    return list(found.search_runs([experiment.experiment_id]))


def artifacts(folder: Path, run_id: str, path: str = "") -> set[str]:
    found: set[str] = set()
    for item in client(folder).list_artifacts(run_id, path or None):
        found |= artifacts(folder, run_id, item.path) if item.is_dir else {item.path}
    return found


def history(run: Path) -> list[dict[str, float]]:
    """What training logged at each step, without the clock's figures."""
    rows = json.loads((run / "trainer_state.json").read_text())["log_history"]
    timed = ("time/", "step_time", "train_runtime", "_per_second", "num_input_tokens_seen")
    steps = [row for row in rows if "loss" in row]
    return [{k: v for k, v in row.items() if not any(t in k for t in timed)} for row in steps]


def wait_for(process: subprocess.Popen[str], text: str, seconds: float = 180) -> None:
    assert process.stdout is not None
    end = time.monotonic() + seconds
    seen = ""
    while time.monotonic() < end:
        line = process.stdout.readline()
        seen += line
        if text in line:
            return
        if not line and process.poll() is not None:
            break
    raise AssertionError(f"{text!r} was not printed:\n{seen}")


def worker_of(process: subprocess.Popen[str]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return next(
        int(pid) for pid in children if b"r1lab.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


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
def test_kill_9_then_the_same_command_gives_the_same_curve(cli: Cli) -> None:
    line = [
        "rewards=[accuracy,cosine]",
        *SMALL,
        "trainer.args.max_steps=6",
        "trainer.args.save_steps=2",
    ]
    whole = cli(*line, "output_dir=whole", "run_name=r")
    assert whole.returncode == 0, whole.stderr
    process = cli.start(*line, "run_name=r")
    wait_for(process, "step 5/6")
    os.kill(worker_of(process), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 1
    (run,) = runs(cli.folder)
    assert run.info.status == "FAILED"
    again = cli(*line, "run_name=r")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "checkpoint-4 (attempt 2)" in again.stdout
    (run,) = runs(cli.folder)
    assert run.info.status == "FINISHED"
    steps = [p.step for p in client(cli.folder).get_metric_history(run.info.run_id, "loss")]
    assert sorted(steps) == [1, 2, 3, 4, 5, 6]
    assert history(cli.folder / "outputs" / "r") == history(cli.folder / "whole" / "r")
    losses = [
        json.loads((cli.folder / where / "r" / "metrics.json").read_text())["train_loss"]
        for where in ("outputs", "whole")
    ]
    assert losses[0] == losses[1]
    before = (cli.folder / "whole" / "r" / "model" / "model.safetensors").read_bytes()
    assert (cli.folder / "outputs" / "r" / "model" / "model.safetensors").read_bytes() == before


@pytest.mark.slow
def test_resuming_in_a_later_epoch_goes_on_in_its_order(cli: Cli) -> None:
    line = ["rewards=[accuracy]", *SMALL, "data.train_size=8", "trainer.args.save_steps=2"]
    line += ["trainer.args.num_generations=4", "trainer.evaluation.enabled=false", "run_name=r"]
    whole = cli(*line, "trainer.args.max_steps=6", "output_dir=whole")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    process = cli.start(*line, "trainer.args.max_steps=6")
    wait_for(process, "step 5/6")
    os.kill(worker_of(process), signal.SIGKILL)
    process.communicate(timeout=60)
    again = cli(*line, "trainer.args.max_steps=6")
    assert "checkpoint-4 (attempt 2)" in again.stdout
    assert history(cli.folder / "outputs" / "r") == history(cli.folder / "whole" / "r")


@pytest.mark.slow
def test_killing_the_parent_leaves_no_worker(cli: Cli) -> None:
    process = cli.start(*SMALL, "trainer.args.max_steps=50", "run_name=r")
    wait_for(process, "step 1/50")
    worker = worker_of(process)
    process.kill()
    process.wait(timeout=10)
    for _ in range(50):
        if (
            not Path(f"/proc/{worker}/stat").exists()
            or Path(f"/proc/{worker}/stat").read_text().split()[2] == "Z"
        ):
            return
        time.sleep(0.1)
    raise AssertionError("the worker outlived its parent")


@pytest.mark.slow
def test_ctrl_c_saves_and_marks_killed_then_goes_on(cli: Cli) -> None:
    line = [*SMALL, "trainer.args.max_steps=8", "trainer.args.save_steps=100", "run_name=r"]
    process = cli.start(*line)
    wait_for(process, "step 2/8")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "The same command goes on from there" in said
    (run,) = runs(cli.folder)
    assert run.info.status == "KILLED"
    assert list((cli.folder / "outputs" / "r").glob("checkpoint-*"))
    again = cli(*line)
    assert again.returncode == 0, again.stdout + again.stderr
    (after,) = runs(cli.folder)
    assert after.info.run_id == run.info.run_id
    assert after.info.status == "FINISHED"


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
    assert sorted(run.data.params["seed"] for run in found) == ["1", "2"]
    assert {run.info.status for run in found} == {"FINISHED"}


def test_a_mistake_in_one_point_stops_the_sweep_before_it_starts(cli: Cli) -> None:
    done = cli("-m", "seed=1,abc", "rewards=[accuracy],[acuracy]")
    assert done.returncode == 2
    assert "seed = 'abc'" in done.stderr and "accuracy" in done.stderr
    assert not (cli.folder / "outputs").exists()


@pytest.mark.slow
def test_finished_run_is_kept_and_the_next_stands_beside_it(cli: Cli) -> None:
    line = [*SMALL, "trainer.args.max_steps=1", "trainer.evaluation.enabled=false", "run_name=r"]
    assert cli(*line).returncode == 0
    kept = (cli.folder / "outputs" / "r" / "model" / "model.safetensors").stat().st_mtime_ns
    assert cli(*line).returncode == 0
    assert (cli.folder / "outputs" / "r-2" / "model").is_dir()
    assert (cli.folder / "outputs" / "r" / "model" / "model.safetensors").stat().st_mtime_ns == kept


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
