"""The launchers and the sweeper hooks of r1lab, where Hydra looks for plugins."""
