"""Run by test_allocations.py: two processes train one step under each kind of data parallelism.

Prints a JSON line a case: the bytes that rank 0 holds once the model is built, after the backward
pass, while the optimizer steps, and after it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

os.environ |= {"DS_BUILD_OPS": "0", "DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

SHAPE = {
    "model_type": "qwen2",
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 9,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 2048,
    "tie_word_embeddings": True,
}
DTYPES = {"no": torch.float32, "bf16": torch.bfloat16}


def main(rank: int, port: int, cases: list[tuple[str, str]]) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for strategy, precision in cases:
        row = one_step(strategy, precision)
        if rank == 0:
            print(json.dumps({"strategy": strategy, "precision": precision, **row}), flush=True)
        dist.barrier()
    dist.destroy_process_group()


def one_step(strategy: str, precision: str) -> dict[str, Any]:
    """Bytes more than before the model was built, when it is, and as the step goes on."""
    build = {"ddp": ddp, "fsdp": fsdp}.get(strategy, deepspeed)
    ids = torch.randint(0, SHAPE["vocab_size"], (1, 4))
    marks: dict[str, int] = {}
    start = in_use()

    def mark(name: str) -> None:
        marks[name] = in_use() - start

    network = fresh_model("no" if strategy != "ddp" else precision)
    parameters = sum(p.numel() for p in network.parameters())
    optimizer, model, backward, step, close = build(network, strategy, precision)
    optimizer.register_step_post_hook(lambda *_: mark("while stepping"))
    mark("built")
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    backward(loss)
    del loss
    mark("after backward")
    step()
    mark("after step")
    close()
    return {"parameters": parameters, "shape": SHAPE, **marks}


class _Mallinfo2(ctypes.Structure):
    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def in_use() -> int:
    """Bytes that malloc has given out and not got back: heaps of all threads, and mapped blocks.

    Unlike the tensors that Python knows, they include DDP's buckets and whatever else C++ holds.
    """
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Mallinfo2
    info = libc.mallinfo2()
    return info.uordblks + info.hblkhd


def fresh_model(precision: str):
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**SHAPE)
    return AutoModelForCausalLM.from_config(
        config, dtype=DTYPES[precision], attn_implementation="sdpa"
    )


def ddp(network, strategy, precision):
    model = torch.nn.parallel.DistributedDataParallel(network)
    optimizer = torch.optim.AdamW(model.parameters())
    return optimizer, model, lambda loss: loss.backward(), optimizer.step, lambda: None


def fsdp(network, strategy, precision):
    """What accelerate's FSDP2 does: float32 shards, cast to the compute type a layer at a time."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    policy = MixedPrecisionPolicy(param_dtype=DTYPES[precision])
    mesh = init_device_mesh("cpu", (2,))
    for layer in network.model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(network, mesh=mesh, mp_policy=policy)
    optimizer = torch.optim.AdamW(network.parameters())
    return optimizer, network, lambda loss: loss.backward(), optimizer.step, lambda: None


def deepspeed(network, strategy, precision):
    """The shipped file of the stage, with its `auto` values as accelerate fills them in."""
    import deepspeed
    import deepspeed.ops

    # Compiled when it is first used, which takes minutes.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    root = Path(__file__).resolve().parents[2]
    config = json.loads((root / "launchers/deepspeed" / f"{strategy}.json").read_text())
    width = SHAPE["hidden_size"]
    zero = config["zero_optimization"]
    zero["reduce_bucket_size"] = width * width
    if zero["stage"] == 3:
        zero["stage3_prefetch_bucket_size"] = int(0.9 * width * width)
        zero["stage3_param_persistence_threshold"] = 10 * width
    config |= {
        "bf16": {"enabled": precision == "bf16"},
        "fp16": {"enabled": False},
        "gradient_clipping": 1.0,
        "gradient_accumulation_steps": 1,
        "train_batch_size": 2,
        "train_micro_batch_size_per_gpu": 1,
    }
    optimizer = torch.optim.AdamW(network.parameters())
    engine, *_ = deepspeed.initialize(model=network, optimizer=optimizer, config=config)
    return optimizer, engine, engine.backward, engine.step, engine.destroy


if __name__ == "__main__":
    mp.spawn(main, args=(int(sys.argv[1]), json.loads(sys.argv[2])), nprocs=2)
