"""Dynamic sampling over two processes, with groups that span both: rows move, and stay whole."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from tests.launch.running import DDP, only_run
from tests.running import history

#: A user's reward that tells no completion of half the prompts from another, and a user's callback
#: that keeps what each process trained on.
PACKAGE = '''
import json
import os
import zlib

from r1lab.callbacks.base import Callback


def dead(prompt):
    return zlib.crc32(prompt[-1]["content"].encode()) % 2 == 0


class Scripted:
    __name__ = "scripted"

    def prepare(self):
        pass

    reads_math = False
    prefill = ""

    def __call__(self, prompts, completions, solution, **_):
        return [
            1.0 if dead(p) else float(zlib.crc32((c[0]["content"] + s).encode()) % 97)
            for p, c, s in zip(prompts, completions, solution, strict=True)
        ]


class Keep(Callback):
    """Writes what this process trained on, and the table of all completions."""

    def on_step_end(self, args, state, control, **kwargs):
        trainer, logs = self.run.trainer, self.run.trainer._logs
        (batch,) = trainer._buffered_inputs
        decode = trainer.processing_class.batch_decode
        encode = trainer.processing_class.apply_chat_template
        asked = [
            encode(prompt, add_generation_prompt=True)["input_ids"] for prompt in logs["prompt"]
        ]
        table = {
            "asked": decode(asked, skip_special_tokens=True),
            "prompt": [prompt[-1]["content"] for prompt in logs["prompt"]],
            "completion": [completion[0]["content"] for completion in logs["completion"]],
            "advantage": list(logs["advantages"]),
            "reward": list(logs["rewards"]["scripted"]),
            "solution": list(logs["extra"]["solution"]),
        }
        kept = {
            "asked": decode(batch["prompt_ids"], skip_special_tokens=True),
            "completion": decode(batch["completion_ids"], skip_special_tokens=True),
            "advantage": batch["advantages"].tolist(),
            "tokens": batch["completion_mask"].sum().item(),
            "tokens_of_all": batch["num_items_in_batch"].item(),
            "table": [dict(zip(table, row)) for row in zip(*table.values(), strict=True)],
        }
        name = f"rank{trainer.accelerator.process_index}_step{state.global_step}.json"
        with open(os.path.join(os.environ["KEEP"], name), "w") as file:
            json.dump(kept, file)
'''


@pytest.mark.launch
def test_replaced_rows_reach_the_process_that_owns_their_place(cli: Any) -> None:
    (cli.folder / "lab_scripted.py").write_text(PACKAGE)
    for group, name in (("rewards", "Scripted"), ("callbacks", "Keep")):
        folder = cli.folder / "mine" / group
        folder.mkdir(parents=True)
        weight = "weight: 1.0\n" if group == "rewards" else ""
        (folder / f"{name.lower()}.yaml").write_text(
            f"# @package {group}.{name.lower()}\n_target_: lab_scripted.{name}\n{weight}"
        )
    done = cli(
        f"--config-dir={cli.folder / 'mine'}",
        *DDP,
        # Three groups of six: the second one's rows are half on one process, half on the other.
        "trainer.args.per_device_train_batch_size=9",
        "trainer.args.num_generations=6",
        "trainer.args.max_steps=3",
        "trainer/algo=dapo",
        "rewards=[scripted]",
        "callbacks=[keep]",
        PYTHONPATH=f"{cli.folder}:{cli.environment()['PYTHONPATH']}",
        R1LAB_PACKAGES="lab_scripted",
        KEEP=str(cli.folder),
    )
    assert done.returncode == 0, done.stderr
    logged = history(only_run(cli.folder))
    assert sum(row["dynamic_sampling/groups_replaced"] for row in logged) > 0
    for step, metrics in enumerate(logged, 1):
        files = [cli.folder / f"rank{rank}_step{step}.json" for rank in (0, 1)]
        kept = [json.loads(file.read_text()) for file in files]
        table = kept[0]["table"]
        assert len(table) == 18
        assert table == kept[1]["table"]
        for start in range(0, 18, 6):
            group = table[start : start + 6]
            assert len({row["prompt"] for row in group}) == 1
            assert len({row["reward"] for row in group}) > 1
            mean = sum(row["reward"] for row in group) / 6
            assert all((row["advantage"] > 0) == (row["reward"] > mean) for row in group)
        for row in table:
            assert zlib.crc32(row["prompt"].encode()) % 2
            said = row["completion"] + row["solution"]
            assert row["reward"] == zlib.crc32(said.encode()) % 97
        for rank, mine in enumerate(kept):
            share = table[rank * 9 : rank * 9 + 9]  # TRL then shuffles it
            wanted = [(row["asked"], row["completion"], row["advantage"]) for row in share]
            trained = zip(mine["asked"], mine["completion"], mine["advantage"], strict=True)
            assert sorted(trained) == sorted(wanted)
            assert mine["tokens_of_all"] == sum(of["tokens"] for of in kept)
        assert metrics["dynamic_sampling/groups_without_signal"] == 0
        assert metrics["frac_reward_zero_std"] == 0
        assert metrics["reward"] == pytest.approx(sum(row["reward"] for row in table) / 18)
