"""Operations against torch's own counter, and what each choice must do to time and price."""

import pytest

from r1lab.planning.architecture import from_config
from r1lab.planning.cost import DECODING, NETWORK, TRAINING, run_cost
from r1lab.planning.geometry import Arguments, batch_geometry
from r1lab.planning.gpus import GPUS
from r1lab.planning.layout import layout

SHAPE = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
    "max_position_embeddings": 131072,
}
H100 = {"peak_tflops": 989, "bandwidth": 3.35}
GRPO = {"max_steps": 100, "per_device_train_batch_size": 16, "gradient_accumulation_steps": 4}
GRPO |= {"num_generations": 16, "max_completion_length": 1024, "gradient_checkpointing": True}
SFT = {"max_steps": 100, "max_length": 4096, "packing": True, "gradient_checkpointing": False}
LORA = {"kind": "lora", "r": 16, "target_modules": ["q_proj"]}


def cost(kind="grpo", shape=SHAPE, peft=None, nodes=1, processes=8, **args):
    hardware = {"device": "cuda", "distributed": "deepspeed", "zero_stage": 3, **H100}
    hardware |= {key: args.pop(key) for key in list(args) if key in HARDWARE}
    hardware |= {"nodes": nodes, "processes": processes}
    engine = {"kind": "vllm_server", "data_parallel_size": args.pop("copies", None)}
    arguments = Arguments(kind, {**(GRPO if kind == "grpo" else SFT), **args})
    batch, problems = batch_geometry(arguments, nodes * processes, None)
    assert not problems
    model = {"dtype": "bfloat16", "peft": peft or {"kind": "none"}, "quantization": None}
    arch = from_config(shape, "test") if shape else None
    return run_cost(arch, arguments, batch, model, hardware, layout(arguments, hardware, engine))


HARDWARE = (
    "device",
    "distributed",
    "zero_stage",
    "peak_tflops",
    "bandwidth",
    "price_per_gpu_hour",
)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_operations_are_those_that_torch_counts(checkpointing):
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {**SHAPE, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 3}
    shape |= {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape))
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    ids = torch.zeros(2, 64, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    planned = cost(
        "sft",
        shape,
        processes=1,
        per_device_train_batch_size=2,
        max_length=64,
        gradient_checkpointing=checkpointing,
    )
    assert planned["flops_per_step"][0] == pytest.approx(counter.get_total_flops(), rel=0.1)


def test_six_operations_a_parameter_and_token():
    """Kaplan et al. 2020; attention adds little to a large model over 4096 tokens."""
    made = cost("sft", per_device_train_batch_size=1, processes=1)
    tokens, parameters = 4096, 7_615_616_512 - 152064 * 3584  # the look-up multiplies nothing
    assert 6 * tokens * parameters < made["flops_per_step"][0] < 1.1 * 6 * tokens * parameters


def test_recomputing_and_adapters():
    full = cost("sft")["flops_per_step"][0]
    again = cost("sft", gradient_checkpointing=True)["flops_per_step"][0]
    assert again == pytest.approx(full * 8 / 6, rel=0.001)
    assert cost("sft", peft=LORA)["flops_per_step"][0] == pytest.approx(full * 4 / 6, rel=0.001)


def test_seconds_hours_and_price_follow():
    made = cost("sft", price_per_gpu_hour=2.0)  # long sequences: arithmetic outlasts the network
    (low, high), flops = made["seconds_per_step"], made["flops_per_step"]
    assert low == pytest.approx(flops[0] / (8 * 989e12 * TRAINING[1]), rel=0.001)
    assert high == pytest.approx(flops[1] / (8 * 989e12 * TRAINING[0]), rel=0.001)
    assert made["hours"][0] == pytest.approx(100 * low / 3600, rel=0.001)
    assert made["gpu_hours"][0] == pytest.approx(8 * made["hours"][0], rel=0.001)
    assert made["price"][0] == pytest.approx(2 * made["gpu_hours"][0], rel=0.001)
    assert made["generation_seconds"] is None


def test_a_step_takes_at_least_what_the_network_does():
    """ZeRO-3's 3 x 2 bytes a parameter in every micro-step, over many machines with little work."""
    work = {"per_device_train_batch_size": 1, "max_length": 128, "gradient_accumulation_steps": 2}
    low, high = cost("sft", nodes=64, **work)["seconds_per_step"]
    sent = 2 * 3 * 2 * 7_615_616_512
    assert low == pytest.approx(sent / (NETWORK[True][1] * 1e9), rel=0.01)
    assert high == pytest.approx(sent / (NETWORK[True][0] * 1e9), rel=0.01)
    one_machine = cost("sft", **work)["seconds_per_step"]
    assert one_machine[1] < low
    ddp = cost("sft", nodes=64, distributed="ddp", **work)["seconds_per_step"]
    assert ddp[1] == pytest.approx(high * 2 / 6, rel=0.01)  # once a step, both ways
    zero_2 = cost("sft", nodes=64, zero_stage=2, **work)["seconds_per_step"]
    assert zero_2[1] == pytest.approx(high * 3 / 6, rel=0.01)


def test_a_price_of_nothing_is_nothing_and_not_unknown():
    assert cost("sft", price_per_gpu_hour=0.0)["price"] == [0, 0]
    assert cost("sft")["price"] is None


def test_decoding_is_bound_by_reading_the_weights():
    """One sequence: each token reads every weight once."""
    made = cost(processes=2, per_device_train_batch_size=1, num_generations=2)
    least = 1024 / 2 * 2 * 7_615_616_512 / 3.35e12
    low = made["generation_seconds"][0] * DECODING["transformers"][1]
    assert least < low < 1.1 * least


def test_more_gpus_share_training_and_not_the_reading_of_weights():
    one, eight = cost(nodes=1), cost(nodes=8)
    assert eight["training_seconds"] == one["training_seconds"]  # the same batch on each
    assert eight["generation_seconds"] == one["generation_seconds"]
    fewer = cost(nodes=8, gradient_accumulation_steps=1, per_device_train_batch_size=8)
    # at the high end, where arithmetic outlasts the network
    assert fewer["training_seconds"][1] == pytest.approx(one["training_seconds"][1] / 8, rel=0.001)
    assert fewer["generation_seconds"][0] > one["generation_seconds"][0] / 8


def test_vllm_decodes_nearer_the_roofline_and_a_server_is_paid_for():
    plain, shared = cost(), cost(use_vllm=True)
    assert shared["generation_seconds"][0] < plain["generation_seconds"][0]
    served = cost(use_vllm=True, vllm_mode="server", copies=8)
    assert served["gpu_hours"][0] == pytest.approx(2 * shared["gpu_hours"][0], rel=0.001)


def test_reused_completions_are_generated_once():
    fresh, twice = cost(), cost(num_iterations=2)
    assert twice["generation_seconds"][0] == pytest.approx(
        fresh["generation_seconds"][0] / 2, rel=0.001
    )


def test_scoring_by_a_reference_model_and_of_old_log_probabilities_costs_forward_passes():
    plain = cost(beta=0.0)["flops_per_step"][0]
    assert cost(beta=0.1)["flops_per_step"][0] == pytest.approx(plain * 5 / 4, rel=0.001)
    assert cost(beta=0.0, use_vllm=True)["flops_per_step"][0] == pytest.approx(
        plain * 5 / 4, rel=0.001
    )


def test_unknown_steps_are_an_example_of_a_thousand():
    made = cost("sft", max_steps=-1)
    assert (made["steps"], made["steps_known"]) == (1000, False)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"peak_tflops": None}, "set hardware.gpu (a100_40gb, "),
        ({"device": "cpu"}, "on the CPU"),
        ({"shape": None}, "model.arch"),
    ],
)
def test_what_is_missing_is_named_and_nothing_guessed(changes, text):
    made = cost(**changes)
    assert text in made["missing"]
    assert list(made) == ["missing"]


def test_a_peak_alone_gives_a_range_of_bandwidths():
    made = cost(bandwidth=None)
    assert made["generation_seconds"][0] < cost()["generation_seconds"][0]
    assert made["generation_seconds"][1] > cost()["generation_seconds"][1]


def test_the_table_of_gpus_is_in_the_units_it_says():
    for gpu in GPUS.values():
        assert 10 < gpu.memory_gib < 300
        assert 100 < gpu.tflops < 3000
        assert 0.1 < gpu.bandwidth < 10
