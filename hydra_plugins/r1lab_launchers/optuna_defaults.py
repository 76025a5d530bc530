"""What ``hydra/sweeper=optuna`` starts from in r1lab.

The plugin brings its configs as nodes of Hydra's ConfigStore, and Hydra refuses a YAML file of the
same name beside a node that has a defaults list. So its nodes are stored again, with our values,
once Hydra has loaded all plugins (in whatever order), which is when it asks for search paths.
"""

from __future__ import annotations

import sys

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

#: Unless ``hydra.sweeper.X=...`` says otherwise.
SWEEPER = {
    "direction": "maximize",  # of `objective`
    "study_name": "${sweep.name}",
    "n_trials": 20,
    # Points asked for at once: as many as run at once.
    "n_jobs": "${oc.select:hydra.launcher.parallel,1}",
    # A failed point is no reason to stop; r1lab's exit code says that there was one.
    "max_failure_rate": 1.0,
}
#: A seeded sampler asks for the same points when the same line is started again, and those that
#: have finished are answered from their folders.
SEED = 0


class OptunaDefaults(SearchPathPlugin):
    """Stores our values; changes no search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        plugin = sys.modules.get("hydra_plugins.hydra_optuna_sweeper.config")
        if plugin is None:  # not installed: asking for it says so (r1lab.sweep.request)
            return
        configs = ConfigStore.instance()
        sweeper = OmegaConf.merge(OmegaConf.structured(plugin.OptunaSweeperConf), SWEEPER)
        configs.store("optuna", sweeper, "hydra/sweeper", provider="r1lab")
        for name, sampler in (
            ("tpe", plugin.TPESamplerConfig(seed=SEED)),
            ("random", plugin.RandomSamplerConfig(seed=SEED)),
            ("cmaes", plugin.CmaEsSamplerConfig(seed=SEED)),
        ):
            configs.store(name, sampler, "hydra/sweeper/sampler", provider="r1lab")
