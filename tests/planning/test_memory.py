"""The memory estimate against what torch saves, and against what each choice must do to it."""

import pytest

from r1lab.planning.architecture import from_config, trainable_parameters
from r1lab.planning.geometry import Arguments, batch_geometry
from r1lab.planning.memory import GIB, device_bytes

QWEN_7B = from_config(
    {
        "model_type": "qwen2",
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
        "max_position_embeddings": 131072,
    },
    "test",
)
LORA = {"kind": "lora", "r": 16, "target_modules": ["q_proj", "v_proj"]}


def estimate(kind="grpo", args=None, model=None, processes=1, arch=QWEN_7B, **hardware):
    defaults = {"per_device_train_batch_size": 8, "num_generations": 8}
    arguments = Arguments(kind, {**(defaults if kind == "grpo" else {}), **(args or {})})
    batch, problems = batch_geometry(arguments, processes, None)
    assert not problems
    node = {"dtype": "bfloat16", "quantization": None, "peft": {"kind": "none"}, **(model or {})}
    machine = {"device": "cuda", "distributed": "none", "mixed_precision": "bf16", **hardware}
    machine.setdefault("processes", 1)  # on a machine; `processes` above are all ranks
    return device_bytes(arch, arguments, batch, node, machine)


def part(memory, name):
    return memory["parts"][name]


def test_every_range_is_ordered_and_the_total_covers_the_larger_phase():
    memory = estimate(args={"beta": 0.1})
    for low, high in memory["parts"].values():
        assert 0 <= low <= high
    low, high = memory["total"]
    held = sum(part(memory, n)[0] for n in ("weights", "optimizer", "reference model", "runtime"))
    training = sum(part(memory, n)[0] for n in ("gradients", "activations", "LM head"))
    assert low == pytest.approx(held + max(training, part(memory, "KV cache")[0]), abs=0.01)
    assert low < high


def test_sixteen_bytes_a_parameter_under_zero_before_sharding():
    """Rajbhandari et al. 2020, section 3.1: 2 + 2 + 12 bytes with mixed-precision Adam."""
    memory = estimate(distributed="deepspeed", zero_stage=2)
    parameters = memory["parameters"]
    states = sum(part(memory, n)[0] for n in ("weights", "gradients", "optimizer"))
    assert states == pytest.approx(16 * parameters / GIB, rel=0.001)


@pytest.mark.parametrize(
    ("hardware", "sharded"),
    [
        ({"distributed": "ddp"}, set()),
        ({"distributed": "deepspeed", "zero_stage": 2}, {"gradients", "optimizer"}),
        ({"distributed": "deepspeed", "zero_stage": 3}, {"gradients", "optimizer", "weights"}),
        ({"distributed": "fsdp"}, {"gradients", "optimizer", "weights"}),
    ],
)
def test_sharding_divides_what_it_should(hardware, sharded):
    two = estimate(processes=2, **hardware)
    sixteen = estimate(processes=16, **hardware)
    for name in ("weights", "gradients", "optimizer"):
        factor = 8 if name in sharded else 1
        assert part(two, name)[0] / part(sixteen, name)[0] == pytest.approx(factor, rel=0.01), name
    assert part(two, "activations") == part(sixteen, "activations")


def test_ddps_buckets_hold_the_gradients_again():
    alone, two = estimate(distributed="ddp"), estimate(processes=2, distributed="ddp")
    assert part(two, "gradients")[0] == 2 * part(alone, "gradients")[0]


@pytest.mark.parametrize("stage", [2, 3])
def test_offloading_moves_the_training_state_to_the_cpu(stage):
    wide = {"processes": 8, "distributed": "deepspeed", "zero_stage": stage}
    here, moved = estimate(**wide), estimate(offload=True, **wide)
    assert part(moved, "optimizer") == [0, 0]
    assert part(moved, "gradients")[1] < 0.1 * part(here, "gradients")[0]
    assert (part(moved, "weights") == [0, 0]) == (stage == 3)
    # 12 bytes of optimizer, 4 of gradients, and at stage 3 the 2 of the weights, over all ranks
    expected = (16 + 2 * (stage == 3)) * moved["parameters"] / GIB
    assert moved["host"][0] == pytest.approx(expected / 8, rel=0.01)
    assert here["host"] is None


def test_a_machines_memory_counts_all_of_its_ranks():
    machines = {"processes": 16, "distributed": "deepspeed", "zero_stage": 2, "offload": True}
    one_a_machine = estimate(**machines)
    arguments = Arguments("sft", {"max_length": 512})
    batch, _ = batch_geometry(arguments, 16, None)
    node = {"dtype": "bfloat16", "quantization": None, "peft": {"kind": "none"}}
    eight = device_bytes(QWEN_7B, arguments, batch, node, {**machines, "processes": 8})
    assert eight["host"][0] == pytest.approx(8 * one_a_machine["host"][0], rel=0.01)


def test_layers_are_whole_while_they_compute():
    wide = {"processes": 8, "distributed": "deepspeed"}
    low, high = part(estimate(zero_stage=3, **wide), "gathered layers")
    assert low == pytest.approx(2 * 152064 * 3584 / GIB, rel=0.01)  # the embedding
    assert high == pytest.approx(2 * 1e9 / GIB, rel=0.01)  # stage3_max_live_parameters
    assert "gathered layers" not in estimate(zero_stage=2, **wide)["parts"]
    assert "gathered layers" in estimate(processes=8, distributed="fsdp")["parts"]


def test_deepspeed_casts_weights_and_adapters_to_its_precision():
    wide = {"processes": 2, "distributed": "deepspeed", "zero_stage": 2}
    full = {"dtype": "float32"}
    half, whole = estimate(model=full, **wide), estimate(model=full, mixed_precision="no", **wide)
    assert part(whole, "weights")[0] == pytest.approx(2 * part(half, "weights")[0], rel=0.001)
    assert part(whole, "optimizer") == part(half, "optimizer")  # float32 with a master copy
    adapted = estimate(model={"peft": LORA}, **wide)
    two_bytes = 2 * adapted["trainable_parameters"] / 2 / GIB  # over two ranks
    assert part(adapted, "gradients")[0] == pytest.approx(two_bytes, abs=0.0006)


def test_zero_3_gathers_the_weights_to_generate_unless_told_not_to():
    wide = {"processes": 8, "distributed": "deepspeed", "zero_stage": 3}
    assert "gathered weights" in estimate(**wide)["parts"]
    without = estimate(args={"ds3_gather_for_generation": False}, **wide)
    assert "gathered weights" not in without["parts"]
    assert "gathered weights" not in estimate(kind="sft", args={"max_length": 512}, **wide)["parts"]


def test_adapters_train_little_and_need_no_reference_model():
    full, lora = estimate(args={"beta": 0.1}), estimate(args={"beta": 0.1}, model={"peft": LORA})
    assert QWEN_7B is not None
    assert lora["trainable_parameters"] == 28 * 16 * ((3584 + 3584) + (3584 + 512))
    assert part(lora, "optimizer")[1] < 0.01 * part(full, "optimizer")[1]
    assert "reference model" in full["parts"]
    assert "reference model" not in lora["parts"]


def test_reference_model_only_for_a_kl_term():
    assert "reference model" not in estimate(args={"beta": 0.0})["parts"]


def test_four_bits_shrink_the_linear_layers_only():
    plain, four = (
        estimate(model={"peft": LORA}),
        estimate(model={"peft": LORA, "quantization": "4bit"}),
    )
    assert QWEN_7B is not None
    embeddings = 2 * 2 * 152064 * 3584 / GIB  # two matrices, two bytes
    linear = QWEN_7B.linear_parameters() * 0.5 / GIB
    low, high = part(four, "weights")
    assert linear + embeddings < low < high < part(plain, "weights")[0] / 2


def test_optimizers():
    adam = part(estimate(), "optimizer")[1]
    assert part(estimate(args={"optim": "adamw_8bit"}), "optimizer")[1] == adam / 2
    assert part(estimate(args={"optim": "sgd"}), "optimizer")[1] == 0
    assert part(estimate(args={"optim": "paged_adamw_8bit"}), "optimizer")[0] == 0
    offloaded = estimate(distributed="deepspeed", zero_stage=2, offload=True)
    assert part(offloaded, "optimizer") == [0, 0]


def test_kv_cache_holds_the_whole_generation_batch():
    memory = estimate(args={"steps_per_generation": 4, "max_completion_length": 2048})
    sequences, token = 32, 28 * 2 * 4 * 128 * 2  # layers, keys and values, heads, size, bytes
    logits = sequences * 152064 * 4
    expected = (sequences * (512 + 2048) * token + logits) / GIB
    assert part(memory, "KV cache")[1] == pytest.approx(expected, abs=0.001)
    assert "KV cache" not in estimate(kind="sft", args={"max_length": 512})["parts"]


def test_vllm_takes_its_share_of_a_known_device():
    memory = estimate(args={"use_vllm": True}, gpu_memory_gib=80)
    assert part(memory, "vLLM") == [24, 24]  # TRL's default share of 0.3
    server = estimate(args={"use_vllm": True, "vllm_mode": "server"})
    assert not {"vLLM", "KV cache"} & set(server["parts"])


def test_logits_are_never_held_whole_but_with_label_smoothing():
    tiles = estimate(kind="sft", args={"max_length": 8192})
    full = estimate(kind="sft", args={"max_length": 8192, "label_smoothing_factor": 0.1})
    assert part(tiles, "LM head")[1] < 5
    assert part(full, "LM head")[0] == pytest.approx(8 * 8192 * 152064 * 4 / GIB, rel=0.01)


def test_auto_is_float32_on_a_cpu():
    cpu = estimate(model={"dtype": "auto"}, device="cpu", mixed_precision="auto")
    gpu = estimate(model={"dtype": "auto"})
    assert part(cpu, "weights")[0] == pytest.approx(2 * part(gpu, "weights")[0], rel=0.001)
    assert "runtime" not in cpu["parts"]


def test_unknown_architecture_says_so():
    memory = estimate(arch=None)
    assert memory["total"] is None
    assert "not known" in memory["assumptions"][0]


def test_trained_embeddings_count():
    assert QWEN_7B is not None
    saved = {**LORA, "modules_to_save": ["embed_tokens"]}
    more = trainable_parameters(QWEN_7B, {"peft": saved}) - trainable_parameters(
        QWEN_7B, {"peft": LORA}
    )
    assert more == 152064 * 3584


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_activations_bracket_what_torch_saves(kind, dtype, attention):
    """Bytes that autograd keeps in a forward pass lie in the range, give or take a twentieth."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sequences, length = 2, 256
    config = AutoConfig.for_model(
        kind,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=32,
        vocab_size=256,
        tie_word_embeddings=True,
    )
    model = AutoModelForCausalLM.from_config(
        config, dtype=getattr(torch, dtype), attn_implementation=attention
    )
    model.config.use_cache = False
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, object] = {}

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            saved[tensor.untyped_storage().data_ptr()] = tensor  # kept alive, so no reused address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.model(torch.zeros(sequences, length, dtype=torch.long))
    measured = sum(t.untyped_storage().nbytes() for t in saved.values()) / GIB

    arch = from_config(config.to_dict(), "test")
    args = {
        "per_device_train_batch_size": sequences,
        "max_length": length,
        "packing": True,
        "gradient_checkpointing": False,
    }
    memory = estimate(
        "sft",
        args,
        {"dtype": dtype, "attn_implementation": attention},
        arch=arch,
        device="cpu",
        mixed_precision="no",
    )
    low, high = part(memory, "activations")
    assert 0.95 * low <= measured <= 1.05 * high


def test_checkpointing_keeps_one_input_a_layer():
    kept = estimate(args={"gradient_checkpointing": False})
    recomputed = estimate(args={"gradient_checkpointing": True})
    assert part(recomputed, "activations")[1] < 0.2 * part(kept, "activations")[0]
