"""The lab's page and its lines elsewhere: each command can be read and composed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from r1lab.lab import command
from r1lab.lab.audit import STRICT, WHAT
from r1lab.lab.hacks import ANSWER_HACKS, CODE_HACKS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reward-lab.md"
CHECKS = {
    "score": command.check_rewards,
    "audit": command.check_data,
    "attack": command.check_both,
}
LINES = [
    pytest.param(line, id=f"{page.name}:{line[24:60]}")
    for page in (PAGE, ROOT / "README.md", ROOT / "docs" / "rewards.md")
    if page.is_file()
    for line in dict.fromkeys(
        re.findall(r"^(?: {4}|)(?:\$ )?(python -m r1lab rewards .*)$", page.read_text(), re.M)
    )
]


@pytest.mark.parametrize("line", LINES)
def test_command_lines_are_read_and_composed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "problems.jsonl").write_text('{"prompt": "1 + 1?", "solution": "2"}\n')
    request = command.parse(shlex.split(line, comments=True)[4:])
    assert command._unused(request) == []
    if "outputs/RUN" in request.files and any(o.startswith("rewards.") for o in request.overrides):
        return  # they change the run's own rewards
    command.composed(request, CHECKS[request.command])


def test_the_page_has_commands() -> None:
    assert len(LINES) > 5


def test_every_kind_of_offender_is_described() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (exit code 1|0) \|$", PAGE.read_text(), re.M))
    assert set(rows) == set(WHAT)
    assert {kind for kind, told in rows.items() if told != "0"} == set(STRICT)


def test_the_table_on_the_page_has_every_hack() -> None:
    for hack in ANSWER_HACKS:
        assert hack.what in PAGE.read_text()


def test_hacks_have_names_of_their_own() -> None:
    for hacks in (ANSWER_HACKS, CODE_HACKS):
        assert len({hack.name for hack in hacks}) == len(hacks)


def test_the_usage_names_every_flag_and_subcommand() -> None:
    for name in (*command._SWITCHES, *command.COMMANDS):
        assert name in command.USAGE
