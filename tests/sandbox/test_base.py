import subprocess
import sys

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.sandbox.base import PROVIDERS, Limits, Program, Result, make_provider


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time_s", 0),
        ("time_s", float("nan")),
        ("time_s", "5"),
        ("cpu_s", -1.0),
        ("memory_mib", 0),
        ("memory_mib", 1.5),
        ("processes", 0),
        ("output_bytes", 0),
        ("file_bytes", -1),
    ],
)
def test_a_limit_that_makes_no_sense_is_named(field, value):
    with pytest.raises(ParameterError, match=field):
        Limits(**{field: value})


def test_defaults():
    assert Program("python", "print(1)").files == {}
    assert Limits().cpu_s is None
    assert Result("timeout").exit_code is None


def test_an_unknown_provider_is_named():
    with pytest.raises(ParameterError, match=r"provider = 'locla'.*\n.*local, piston, e2b, morph"):
        make_provider("locla")


def test_an_option_that_the_provider_does_not_have_is_named():
    with pytest.raises(ParameterError, match="nonsense"):
        make_provider("local", nonsense=1)


def test_a_mistake_in_an_option_keeps_its_name():
    with pytest.raises(ParameterError, match="parallel = 0"):
        make_provider("local", parallel=0)


def test_every_provider_is_there():
    assert make_provider("local").name == "local"
    assert set(PROVIDERS) == {"local", "piston", "e2b", "morph"}


def test_providers_are_imported_when_asked_for():
    code = (
        "import sys, r1lab.sandbox.base\n"
        "print([m for m in sys.modules if m.startswith('r1lab.sandbox.') and 'base' not in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
