"""How a run's processes start: on this machine, under torchrun or accelerate, as Slurm's tasks."""
