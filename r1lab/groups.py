"""Which configs there are: the folder of them, its groups, and the options of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from r1lab.launch.slurm_config import LAUNCHERS

#: Groups that take a list of names (``rewards=[accuracy,cosine]``), and the node of what was chosen
#: (``rewards.cosine``, ``evaluate.tasks.aime24``).
LIST_GROUPS = {
    "rewards": "rewards",
    "callbacks": "callbacks",
    "evaluate": "evaluate.tasks",
    "steps": "steps",
}


def config_dir() -> Path:
    """The folder of shipped configs: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if (inside / "config.yaml").is_file() else package.parent / "conf"


def group_options(group: str, extra_dirs: Sequence[str] = ()) -> list[str]:
    """Names that ``group=NAME`` takes, from the shipped folder and the user's own."""
    folders = [config_dir(), *(Path(folder) for folder in extra_dirs)]
    found = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")}
    if group == "hydra/launcher":
        found |= set(LAUNCHERS)
    return sorted(name for name in found if not name.startswith("_"))


def groups(extra_dirs: Sequence[str]) -> dict[str, list[str]]:
    """The options of every group but Hydra's own, which have more of them than these folders do."""
    folders = [config_dir(), *(Path(folder) for folder in extra_dirs)]
    names = {
        str(path.relative_to(folder))
        for folder in folders
        for path in folder.rglob("*")
        if path.is_dir()
    }
    own = sorted(name for name in names if name.partition("/")[0] != "hydra")
    return {name: group_options(name, extra_dirs) for name in own}
