"""The keyword arguments of TRL's config: the user's `trainer.args`, and what r1lab decides."""

from __future__ import annotations

from typing import Any

from r1lab.engines.training import trl_arguments
from r1lab.launch.settings import precision
from r1lab.record.wandb_env import report_to


def arguments(plan: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments for ``trl.GRPOConfig`` or ``trl.SFTConfig`` (plain Python values).

    :data:`r1lab.validate.OWNED` refuses the keys set here in `trainer.args`.
    """
    config, run = plan["config"], plan["run"]
    strategy = config["hardware"]["distributed"]
    chosen = precision(config["hardware"]["mixed_precision"], run["device"])
    # Every parameter of a language model is used: looking for others costs a pass over the graph.
    unused = {"ddp_find_unused_parameters": False} if strategy == "ddp" else {}
    return {
        **unused,
        **config["trainer"]["args"],
        **trl_arguments(config["engine"], config["trainer"]["kind"]),
        **({"vllm_server_base_url": run["engine_url"]} if run["engine_url"] else {}),
        "output_dir": run["dir"],
        "run_name": run["name"],
        "seed": config["seed"],
        "report_to": report_to(config),
        "remove_unused_columns": config["trainer"]["kind"] != "grpo",  # rewards read the others
        "use_cpu": run["device"] == "cpu",
        "bf16": chosen == "bf16",
        "fp16": chosen == "fp16",
    }
