"""Imported once, by the server that the benchmark's processes are forked from."""

import torch  # noqa: F401
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer  # noqa: F401

import r1lab.run  # noqa: F401
