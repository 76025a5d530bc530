"""The shell of a configuration: the keys that every run has, and their types.

Only the shell is here. What a reward, a callback or a data source takes is its constructor's
business, and what `trainer.args` may hold is TRL's; :mod:`r1lab.validate` compares a config with
those. Values live in ``conf/``; the defaults below are what holds where no file says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from r1lab.launch import slurm_config

VERBS = ("train", "plan", "evaluate", "generate", "serve", "compare", "rewards", "sweep")

#: What only ``generate`` reads.
GENERATION = ("generate", "steps")


@dataclass
class Peft:
    kind: str = "none"  # none | lora | qlora
    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    target_modules: Any = "all-linear"  # a list of module names, or all-linear
    modules_to_save: list[str] | None = None
    use_rslora: bool = False


@dataclass
class Model:
    name: str = "model"
    id: str = "???"
    revision: str = "main"
    dtype: str = "auto"
    attn_implementation: str | None = None
    trust_remote_code: bool = False
    quantization: str | None = None  # 4bit | 8bit
    use_cache: bool = True
    from_scratch: bool = False  # the id's config and tokenizer, with random weights
    chat_template: str | None = None  # path of a .jinja file
    eos_token: str | None = None  # null: what the chat template ends a turn with
    pad_token: str | None = None  # null: the tokenizer's own, else a spare special token
    peft: Peft = field(default_factory=Peft)
    license: str | None = None  # of the weights, for the model card
    arch: Any = None  # shape facts for `plan`, where no config.json is at hand
    recipe: Any = None  # starting values for trainer.args, by trainer kind


@dataclass
class Evaluation:
    """Sampled accuracy on the held-out split, before and after training."""

    enabled: bool = True
    before: bool = True
    problems: int | None = 512
    samples: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int | None = None
    batch_size: int = 128


@dataclass
class DynamicSampling:
    """Replace GRPO's groups whose rewards are all equal (DAPO)."""

    enabled: bool = False
    max_rounds: int = 10  # generations for one batch beside the first
    reward: str | None = None  # that has to differ in a group; null: the weighted sum


@dataclass
class Trainer:
    kind: str = "???"
    args: Any = field(default_factory=lambda: DictConfig({}, flags={"struct": False}))
    benchmarks: list[str] = field(default_factory=list)  # of conf/evaluate, else of conf/data
    evaluation: Evaluation = field(default_factory=Evaluation)
    dynamic_sampling: DynamicSampling = field(default_factory=DynamicSampling)


@dataclass
class Hardware:
    kind: str = "auto"
    device: str = "auto"  # auto | cpu | cuda
    distributed: str = "none"  # none | ddp | deepspeed | fsdp
    processes: Any = 1  # on each machine: a number, or auto (one a GPU)
    nodes: int = 1  # machines
    zero_stage: int = 0
    offload: bool = False
    deepspeed_config: str | None = None  # a name in launchers/deepspeed, or the path of a file
    mixed_precision: str = "auto"  # auto | no | bf16 | fp16
    gpu: str | None = None  # a name of planning/gpus.py: its memory and speed, for `plan`
    gpu_memory_gib: float | None = None
    peak_tflops: float | None = None  # of one GPU at the training precision, for `plan`
    price_per_gpu_hour: float | None = None  # in any currency, for `plan`


@dataclass
class Engine:
    """What generates: rollouts in training, answers for serve, evaluate and generate.

    ``None`` is the engine's own default. A field that the chosen kind has no use for is an error.
    """

    kind: str = "auto"  # auto | transformers | vllm_colocate | vllm_server
    url: str | None = None  # of a server that runs already; null: r1lab starts one
    host: str = "127.0.0.1"  # where a server of ours listens; the network needs R1LAB_API_KEY
    port: int | None = None  # null: a free one
    start_timeout: float = 900.0  # seconds until a server must answer
    tensor_parallel_size: int | None = None  # GPUs that hold one copy of the model; null: 1
    data_parallel_size: int | None = None  # copies of a server's; null: 1, in serve what fits
    gpu_memory_utilization: float | None = None  # share of each GPU; null: 0.3 colocated, else 0.9
    max_model_len: int | None = None  # prompt and answer, in tokens; null: the model's own
    dtype: str = "auto"  # auto | float32 | bfloat16 | float16
    enforce_eager: bool | None = None  # no compilation and no CUDA graphs: a faster start
    sleep_mode: bool | None = None  # free its GPU memory while the trainer updates
    importance_sampling_correction: bool | None = None  # null: true
    importance_sampling_mode: str | None = None  # null: TRL's sequence_mask
    importance_sampling_clip_max: float | None = None
    importance_sampling_clip_min: float | None = None
    args: Any = field(default_factory=lambda: DictConfig({}, flags={"struct": False}))  # vLLM's own


@dataclass
class Benchmark:
    """One benchmark of ``evaluate.tasks``; ``null`` leaves it to ``evaluate``."""

    samples: int = 1  # answers a question
    answers: str = "math"  # math | choice: what the lenient score reads
    data: str | None = None  # a .jsonl, or a folder of SPLIT.jsonl, in the data set's own schema
    prompt: str | None = None  # with {problem}; null: the benchmark's own
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None


@dataclass
class Evaluate:
    """LightEval's benchmarks: by the verb ``evaluate``, and after a training."""

    tasks: dict[str, Any] = field(default_factory=dict)  # conf/evaluate
    name: str | None = None  # of the results' folder; null: from the run or the model
    data_dir: str | None = None  # TASK.jsonl or TASK/ for every task; null: the hub
    samples: int | None = None  # answers a question, for every task; null: each task's own
    limit: int | None = None  # the first so many questions of every task; null: all
    temperature: float = 0.6
    top_p: float = 0.95
    max_new_tokens: int = 32768
    system_prompt: str | None = None  # open_r1, boxed, or the text
    seed: int = 42  # of sampling
    concurrency: int = 64  # requests at a time
    timeout: float = 3600.0  # seconds for one answer
    again: bool = False  # ask anew, beside finished answers; at temperature 0 both are compared


@dataclass
class Generate:
    """Answers to the prompts of ``data``, by ``generate``; ``steps`` makes data of them."""

    model: str | None = None  # as the server calls it; null: the one that it has
    base_url: str | None = None  # of a server, ends with /v1; null: the engine, with model=...
    client: str = "async"  # async | ray | distilabel
    client_replicas: int = 1  # processes (Ray actors, distilabel's replicas) that ask
    name: str | None = None  # of the folder; null: from the data, the model and how it is asked
    split: str = "train"  # of the data
    limit: int | None = None  # the first so many prompts; null: all
    prompt_template: str = "{{ instruction }}"  # Jinja, with the data's columns
    temperature: float | None = None  # null: the server's default, as for top_p
    top_p: float | None = None
    max_new_tokens: int = 8192
    num_generations: int = 1  # samples a prompt
    seed: int | None = None  # null: the server draws as it likes
    extra: Any = field(default_factory=lambda: DictConfig({}, flags={"struct": False}))
    input_batch_size: int = 64  # requests in flight at first; distilabel: prompts a batch
    max_concurrency: int = 1024  # requests in flight at most
    timeout: float = 900.0  # seconds for one answer
    retries: int = 10  # of a request that fails while others are answered
    server_timeout: float = 600.0  # seconds that a server may answer nobody
    format: str = "messages"  # messages | prompt_solution | raw
    keep_columns: list[str] = field(default_factory=list)  # of the data's own, in the result
    test_size: float = 0.0  # prompts held out: a number, or a share below 1
    output: str | None = None  # folder of the dataset; null: data, in the generation's own
    hub_id: str | None = None  # OWNER/NAME: push the dataset there
    private: bool = True
    ask: bool = True  # false: only the steps, on what the journal has


@dataclass
class Wandb:
    enabled: bool = False
    entity: str | None = None
    project: str | None = None
    run_group: str | None = None


@dataclass
class Tracking:
    mlflow: bool = True
    uri: str | None = None
    experiment: str = "r1lab"
    register: bool = True
    wandb: Wandb = field(default_factory=Wandb)


@dataclass
class Hub:
    push: bool = False
    model_id: str | None = None
    private: bool = True
    revision: str = "main"
    push_revision: bool = False
    overwrite_revision: bool = False


@dataclass
class Sweep:
    """What a sweep (``-m``) adds to its points; no part of what a run is."""

    name: str | None = None  # null: from the grid, so that the same line finds the same sweep
    seeds: list[int] = field(default_factory=list)  # every point is run with each of them


@dataclass
class Root:
    seed: int = 42
    objective: str = "heldout/accuracy"  # the final metric that a sweep compares its points by
    sweep: Sweep = field(default_factory=Sweep)
    run_name: str | None = None
    output_dir: str = "outputs"
    resume: str = "auto"
    log_level: str = "info"
    model: Model = field(default_factory=Model)
    data: Any = field(default_factory=dict)
    trainer: Trainer = field(default_factory=Trainer)
    rewards: dict[str, Any] = field(default_factory=dict)
    callbacks: dict[str, Any] = field(default_factory=dict)
    hardware: Hardware = field(default_factory=Hardware)
    engine: Engine = field(default_factory=Engine)
    evaluate: Evaluate = field(default_factory=Evaluate)
    generate: Generate = field(default_factory=Generate)
    steps: dict[str, Any] = field(default_factory=dict)
    tracking: Tracking = field(default_factory=Tracking)
    hub: Hub = field(default_factory=Hub)


def register() -> None:
    """Make the schema known to Hydra as ``/schema/root``; calling it again changes nothing."""
    # Plugins store their configs when Hydra finds them. Its own plugin for submitit, where that is
    # installed, has the same names as our launchers, which are stored after it.
    Plugins.instance()
    store = ConfigStore.instance()
    for name, node in slurm_config.LAUNCHERS.items():
        store.store(group="hydra/launcher", name=name, node=node, provider="r1lab")
    store.store(group="schema", name="root", node=Root, package="_global_")
    store.store(group="schema", name="benchmark", node=Benchmark)
    # Included as `/schema/open@args`, it opens exactly that subtree: `trainer.args.x=1` needs no
    # `+`.
    store.store(group="schema", name="open", node=DictConfig({}, flags={"struct": False}))
