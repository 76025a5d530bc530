"""DeepSpeed with adapters, with offloading, in bfloat16, and with files of one's own: for real, two
gloo processes each.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from r1lab.callbacks.shares import held, moments, whole
from r1lab.callbacks.universal import own_steps
from tests.launch.lab import PAIR, Lab, environment, largest_difference, losses, shares

AUTO = dict.fromkeys(
    ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"), "auto"
)
SFT = ["trainer=sft", *PAIR]
LORA = ["model/peft=lora", "trainer.args.max_steps=3"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("deepspeed"))


@pytest.fixture(scope="module")
def adapters(lab):
    """The second offloads weights and optimizer as well."""
    offloaded = ["hardware=deepspeed_z3", "hardware.offload=true"]
    lab.train_all(
        {
            "lora_ddp": ["hardware=ddp", *SFT, *LORA],
            "lora_z3": [*offloaded, *SFT, *LORA],
        }
    )
    return lab


@pytest.mark.launch
def test_lora_under_offloaded_zero3_is_lora_under_ddp(adapters):
    ours, ddp = adapters.run("lora_z3"), adapters.run("lora_ddp")
    assert losses(ours) == pytest.approx(losses(ddp), abs=1e-4)
    assert largest_difference(ours / "model", ddp / "model") < 1e-5
    found = shares(ours)
    for rank in found["ranks"]:
        assert 0.5 <= rank["parameters"] / found["parameters"] < 0.52
        # Only the adapters train: two moments of half of them.
        assert rank["optimizer_values"] < found["parameters"] / 4


@pytest.mark.launch
def test_the_adapter_loads_in_a_fresh_process_on_its_base(adapters):
    code = (
        "import sys; from peft import AutoPeftModelForCausalLM\n"
        "model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "b = [p.abs().max().item() for n, p in model.named_parameters() if 'lora_B' in n]\n"
        "print(len(b), min(b) > 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(adapters.run("lora_z3") / "model")],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
    )
    count, trained = done.stdout.split()[-2:]
    assert int(count) > 0 and trained == "True", done.stdout + done.stderr


@pytest.mark.launch
def test_bfloat16_trains_with_full_precisions_losses_but_for_its_rounding(adapters):
    run = adapters.train(
        "bf16",
        *("hardware=deepspeed_z3", "hardware.mixed_precision=bf16", *SFT),
        "trainer.args.max_steps=2",
    )
    assert "16-bit: bf16" in adapters.printed["bf16"]
    # An adapter changes nothing at first, and the first step's learning rate is 0.
    exact = losses(adapters.run("lora_ddp"))[:2]
    found = losses(run)
    assert found == pytest.approx(exact, rel=0.02)
    assert found != pytest.approx(exact, abs=1e-7)  # it is not full precision after all


@pytest.mark.launch
def test_numbers_of_an_own_file_that_differ_are_one_error_before_training(lab):
    own = lab.folder / "own.json"
    own.write_text(
        json.dumps({"zero_optimization": {"stage": 3}, "gradient_clipping": 7.5, **AUTO})
    )
    done = lab.start("own", "hardware=deepspeed_z3", f"hardware.deepspeed_config={own}", *SFT)
    assert done.returncode == 2
    assert "ds gradient_clipping=7.5 vs hf max_grad_norm=1.0" in done.stderr
    assert str(own) in done.stderr and "Traceback" not in done.stderr
    assert "step 1" not in done.stdout


def model_of(size: int) -> torch.nn.Module:
    return torch.nn.Linear(size, 1, bias=False)


def test_held_counts_the_part_of_an_emptied_parameter_and_a_whole_one():
    model = model_of(10)
    assert held(model) == whole(model) == 10
    weight = model.weight
    weight.ds_numel, weight.ds_tensor = 10, torch.zeros(5)
    assert held(model) == 10  # small enough to stay whole
    weight.data = torch.empty(0)
    assert (held(model), whole(model)) == (5, 10)


def test_moments_are_counted_through_the_wrappers():
    model = model_of(10)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 10)).sum().backward()
    optimizer.step()

    class Wrapper:
        def __init__(self, inner):
            self.optimizer = inner

    assert moments(Wrapper(Wrapper(optimizer))) == 20


def test_a_counter_of_steps_that_is_shared_is_given_to_each():
    one, other = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([one, other])
    step = torch.tensor(2.0)
    for p in (one, other):
        moments_of_it = {"exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}
        optimizer.state[p] = {"step": step, **moments_of_it}
        p.grad = torch.ones(2)
    own_steps(optimizer)
    optimizer.step()
    assert [float(optimizer.state[p]["step"]) for p in (one, other)] == [3.0, 3.0]
