"""Configurations that are wrong, and what the one message about each must hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Bad:
    """``arguments``, and what the message must hold: key, value (if any), part of the fix."""

    name: str
    arguments: list[str]
    key: str
    value: str
    fix: str


def write(folder: Path) -> dict[str, str]:
    """Files that the table refers to."""
    broken = folder / "checkpoint-3"
    broken.mkdir()
    (broken / "model.safetensors").write_bytes(b"x")
    (folder / "bad.jsonl").write_text('{"problem": "1+1?", "solution": "2"}\n{"problem": \n')
    (folder / "empty.jsonl").write_text("")
    (folder / "good.jsonl").write_text('{"problem": "1+1?", "solution": "2"}\n')
    (folder / "notes.txt").write_text("hello")
    (folder / "a_file").write_text("")
    return {"tmp": str(folder)}


TABLE = [
    Bad("unknown verb", ["trian", "seed=1"], "verb", "trian", "train"),
    Bad("unknown flag", ["--mulitrun", "seed=1"], "--mulitrun", "", "--multirun"),
    Bad("json for train", ["train", "--json"], "--json", "", "plan --json"),
    Bad(
        "no such config dir",
        ["--config-dir", "{tmp}/none", "seed=1"],
        "--config-dir",
        "none",
        "folder",
    ),
    Bad("word without =", ["seed=1", "quick"], "quick", "", "key=value"),
    Bad("unreadable value", ["rewards=[accuracy,cosine"], "rewards", "[accuracy,cosine", "quote"),
    Bad("same override twice", ["seed=1", "seed=1"], "seed", "1", "leave one"),
    # options of groups
    Bad("unknown model", ["model=qwen2_5_8b"], "model", "qwen2_5_8b", "qwen2_5_7b"),
    Bad("unknown trainer", ["trainer=gpro"], "trainer", "gpro", "grpo"),
    Bad("unknown data", ["data=arithmetics"], "data", "arithmetics", "arithmetic"),
    Bad("unknown hardware", ["hardware=deepspeed_z4"], "hardware", "deepspeed_z4", "deepspeed_z"),
    Bad("unknown experiment", ["experiment=quickstrat"], "experiment", "quickstrat", "quickstart"),
    Bad("unknown algo", ["trainer/algo=drgrpo"], "trainer/algo", "drgrpo", "dr_grpo"),
    Bad("unknown reward", ["rewards=[acuracy]"], "rewards", "acuracy", "accuracy"),
    Bad("unknown callback", ["callbacks=[early_stopp]"], "callbacks", "early_stopp", "early_stop"),
    Bad("rewards null", ["rewards=null"], "rewards", "", "rewards=[]"),
    Bad(
        "duplicate reward",
        ["rewards=[accuracy,accuracy]"],
        "rewards",
        "accuracy",
        "+rewards@rewards.accuracy_2",
    ),
    Bad("no reward", ["rewards=[]"], "rewards", "[]", "rewards=[accuracy"),
    Bad("list for a group of one", ["model=[tiny]"], "model", "tiny", "model=NAME"),
    Bad("group written as a value", ["model.peft=lora"], "model.peft", "lora", "model/peft=lora"),
    Bad("algo with sft", ["trainer=sft", "trainer/algo=dapo"], "trainer/algo", "dapo", ""),
    # keys
    Bad("key at the root", ["sede=3"], "sede", "3", "seed"),
    Bad("key in model", ["model.reivsion=main"], "model.reivsion", "main", "model.revision"),
    Bad("key in peft", ["model.peft.rr=3"], "model.peft.rr", "3", "model.peft.r"),
    Bad("key in trainer", ["trainer.nme=3"], "trainer.nme", "3", "trainer."),
    Bad(
        "key in trainer.args",
        ["trainer.args.learning_rte=1e-5"],
        "trainer.args.learning_rte",
        "1e-05",
        "learning_rate",
    ),
    Bad(
        "SFT's field with GRPO",
        ["trainer.args.packing=true"],
        "trainer.args.packing",
        "True",
        "trainer=sft",
    ),
    Bad(
        "key in a reward",
        ["rewards=[cosine]", "rewards.cosine.max_lne=5"],
        "rewards.cosine.max_lne",
        "5",
        "max_len",
    ),
    Bad(
        "added key in a reward",
        ["rewards=[cosine]", "+rewards.cosine.max_lne=5"],
        "rewards.cosine.max_lne",
        "5",
        "max_len",
    ),
    Bad(
        "reward not selected",
        ["rewards=[accuracy]", "rewards.cosine.weight=2"],
        "rewards.cosine.weight",
        "2",
        "add cosine",
    ),
    Bad("key in data", ["data.difficluty=hard"], "data.difficluty", "hard", "difficulty"),
    Bad("key below a value", ["seed.x=3"], "seed.x", "3", "seed="),
    Bad("plus for what exists", ["+seed=3"], "seed", "3", "seed=3"),
    # types and ranges
    Bad("seed is a word", ["seed=abc"], "seed", "abc", "type"),
    Bad("seed below zero", ["seed=-1"], "seed", "-1", "0"),
    Bad(
        "bool is a word",
        ["model.trust_remote_code=perhaps"],
        "model.trust_remote_code",
        "perhaps",
        "type",
    ),
    Bad(
        "TRL field of the wrong type",
        ["trainer.args.max_steps=many"],
        "trainer.args.max_steps",
        "many",
        "type",
    ),
    Bad(
        "reward parameter of the wrong type",
        ["rewards=[cosine]", "rewards.cosine.max_len=long"],
        "rewards.cosine.max_len",
        "long",
        "",
    ),
    Bad(
        "weight is a word",
        ["rewards=[accuracy]", "rewards.accuracy.weight=big"],
        "rewards.accuracy.weight",
        "big",
        "1.0",
    ),
    Bad(
        "weight is a list",
        ["rewards=[accuracy]", "rewards.accuracy.weight=[1,2]"],
        "rewards.accuracy.weight",
        "[1, 2]",
        "1.0",
    ),
    Bad(
        "weight is negative",
        ["rewards=[accuracy]", "rewards.accuracy.weight=-1"],
        "rewards.accuracy.weight",
        "-1",
        "0 or more",
    ),
    Bad(
        "all weights zero",
        ["rewards=[accuracy]", "rewards.accuracy.weight=0"],
        "rewards",
        "",
        "positive",
    ),
    Bad(
        "normalization that TRL has not",
        ["trainer.args.scale_rewards=bacth"],
        "trainer.args.scale_rewards",
        "bacth",
        "batch",
    ),
    Bad(
        "loss of another trainer",
        ["trainer=sft", "trainer.args.loss_type=dapo"],
        "trainer.args.loss_type",
        "dapo",
        "nll",
    ),
    Bad(
        "option of a reward",
        ["rewards=[cosine]", "rewards.cosine.length_unit=token"],
        "rewards.cosine.length_unit",
        "token",
        "did you mean tokens?",
    ),
    Bad(
        "reward of one's own without a weight",
        ["+rewards.mine._target_=r1lab.rewards.accuracy.Accuracy"],
        "rewards.mine.weight",
        "",
        "+rewards.mine.weight=1.0",
    ),
    Bad(
        "weights in trainer.args",
        ["trainer.args.reward_weights=[1,2,3]"],
        "trainer.args.reward_weights",
        "[1, 2, 3]",
        "weight",
    ),
    Bad(
        "positive repetition penalty",
        ["rewards=[repetition_penalty]", "rewards.repetition_penalty.max_penalty=1.0"],
        "rewards.repetition_penalty.max_penalty",
        "1.0",
        "",
    ),
    Bad(
        "cosine bounds upside down",
        ["rewards=[cosine]", "rewards.cosine.min_value_correct=2.0"],
        "rewards.cosine",
        "2.0",
        "",
    ),
    Bad("dtype", ["model.dtype=float31"], "model.dtype", "float31", "float32"),
    Bad("quantization", ["model.quantization=2bit"], "model.quantization", "2bit", "4bit"),
    Bad("difficulty", ["data.difficulty=impossible"], "data.difficulty", "impossible", "hard"),
    Bad("processes", ["hardware.processes=0"], "hardware.processes", "0", "auto"),
    # owned keys
    Bad(
        "owned output_dir",
        ["trainer.args.output_dir=x"],
        "trainer.args.output_dir",
        "x",
        "output_dir",
    ),
    Bad("owned seed", ["trainer.args.seed=3"], "trainer.args.seed", "3", "seed"),
    Bad(
        "owned report_to",
        ["trainer.args.report_to=mlflow"],
        "trainer.args.report_to",
        "mlflow",
        "tracking",
    ),
    Bad(
        "owned deepspeed",
        ["trainer.args.deepspeed=z3.json"],
        "trainer.args.deepspeed",
        "z3.json",
        "hardware=deepspeed",
    ),
    # what does not go together
    Bad(
        "rewards with SFT",
        ["trainer=sft", "rewards=[accuracy]"],
        "rewards",
        "accuracy",
        "trainer=grpo",
    ),
    Bad(
        "qlora without quantization",
        ["model/peft=qlora", "model.quantization=null"],
        "model.peft.kind",
        "qlora",
        "4bit",
    ),
    Bad(
        "quantized full fine-tuning",
        ["model.quantization=4bit"],
        "model.quantization",
        "4bit",
        "qlora",
    ),
    Bad("push without a repository", ["hub.push=true"], "hub.model_id", "", "hub.model_id="),
    Bad(
        "benchmark that does not exist",
        ["trainer.benchmarks=[gsm9k]"],
        "trainer.benchmarks",
        "gsm9k",
        "gsm8k",
    ),
    # geometry
    Bad(
        "one generation",
        ["trainer.args.num_generations=1"],
        "trainer.args.num_generations",
        "1",
        "2",
    ),
    Bad("batch not divisible", ["trainer.args.num_generations=7"], "num_generations", "7", ""),
    Bad("nothing to do", ["trainer.args.max_steps=0"], "trainer.args.max_steps", "0", ""),
    # files and folders
    Bad(
        "chat template",
        ["model.chat_template={tmp}/none.jinja"],
        "model.chat_template",
        "none.jinja",
        ".jinja",
    ),
    Bad("model folder", ["model.id={tmp}/none"], "model.id", "none", "config.json"),
    Bad("run name", ["run_name=a/b"], "run_name", "a/b", "run_name=a_b"),
    Bad("run name that climbs", ["run_name=../x"], "run_name", "../x", "run_name="),
    Bad("output folder is a file", ["output_dir={tmp}/a_file"], "output_dir", "a_file", "folder"),
    Bad("resume from nothing", ["resume={tmp}/nowhere"], "resume", "nowhere", "auto"),
    Bad(
        "resume from a broken checkpoint",
        ["resume={tmp}/checkpoint-3"],
        "resume",
        "checkpoint-3",
        "trainer_state.json",
    ),
    Bad(
        "data file missing",
        ["data=local", "data.path={tmp}/none.jsonl"],
        "data.path",
        "none.jsonl",
        "",
    ),
    Bad(
        "unreadable line",
        ["data=local", "data.path={tmp}/bad.jsonl", "data.columns.prompt=problem"],
        "data.path",
        "bad.jsonl",
        "line 2",
    ),
    Bad("zero rows", ["data=local", "data.path={tmp}/empty.jsonl"], "data.path", "empty.jsonl", ""),
    Bad(
        "wrong column",
        ["data=local", "data.path={tmp}/good.jsonl", "data.columns.prompt=question"],
        "data.columns.prompt",
        "question",
        "problem",
    ),
    Bad(
        "unknown kind of file",
        ["data=local", "data.path={tmp}/notes.txt"],
        "data.path",
        "notes.txt",
        "jsonl",
    ),
    Bad("no path", ["data=local"], "data.path", "", "data.path="),
    Bad(
        "unknown reasoning-gym task",
        ["data=reasoning_gym", "data.task=leg_countin"],
        "data.task",
        "leg_countin",
        "leg_counting",
    ),
    # dynamic sampling
    Bad(
        "dynamic sampling with sft",
        ["trainer=sft", "trainer.dynamic_sampling.enabled=true"],
        "trainer.dynamic_sampling.enabled",
        "True",
        "trainer=grpo",
    ),
    Bad(
        "dynamic sampling by a reward that is not there",
        ["trainer/algo=dapo", "trainer.dynamic_sampling.reward=acuracy"],
        "trainer.dynamic_sampling.reward",
        "acuracy",
        "accuracy",
    ),
    Bad(
        "dynamic sampling that replaces nothing",
        ["trainer/algo=dapo", "trainer.dynamic_sampling.max_rounds=0"],
        "trainer.dynamic_sampling.max_rounds",
        "0",
        "1 or more",
    ),
    # components
    Bad(
        "target outside the allowed packages",
        ["+rewards.mine._target_=os.system", "+rewards.mine.weight=1"],
        "rewards.mine._target_",
        "os.system",
        "R1LAB_PACKAGES",
    ),
    Bad(
        "target that does not exist",
        ["+rewards.mine._target_=r1lab.rewards.acuracy.Accuracy", "+rewards.mine.weight=1"],
        "rewards.mine._target_",
        "acuracy",
        "spelling",
    ),
    Bad(
        "class that does not exist",
        ["+rewards.mine._target_=r1lab.rewards.accuracy.Acuracy", "+rewards.mine.weight=1"],
        "rewards.mine._target_",
        "Acuracy",
        "Accuracy",
    ),
]
