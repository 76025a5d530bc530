from __future__ import annotations

import inspect
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from r1lab import targets
from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import ParameterError
from r1lab.rewards.binary_code import BinaryCode
from r1lab.rewards.code import Code
from tests.sandbox.fake_server import serving
from tests.sandbox.runner import Runner
from tests.sandbox.test_piston import FakePiston

ADD = "```python\na, b = map(int, input().split())\nprint(a + b)\n```"
FIRST_ONLY = "```python\nprint(3)\n```"
TESTS = [{"input": "1 2", "output": "3"}, {"input": "20 22", "output": "42"}]
INFO = {"language": "python", "test_cases": TESTS}


def reward(runner: Runner | None = None, kind: type[Code] = Code, **parameters: Any) -> Code:
    made = kind(**parameters)
    made._provider = runner or Runner()
    return made


def score(text: Any, info: Any = INFO, **parameters: Any) -> float | None:
    return reward(**parameters)([text], verification_info=[info])[0]


@pytest.mark.parametrize(
    ("text", "partial", "pass_fail", "weighted_sum", "binary"),
    [
        (ADD, 1.0, 1.0, 1.1, 1.0),
        (FIRST_ONLY, 0.5, 0.0, 0.05, 0.0),
        ("```python\nprint(0)\n```", 0.0, 0.0, 0.0, 0.0),
        ("```python\nprint(1 +\n```", 0.0, 0.0, 0.0, 0.0),
        ("```python\nprint(3, flush=True)\n1 / 0\n```", 0.0, 0.0, 0.0, 0.0),  # right, then crashes
        (f"<think>\n{ADD}\n</think>\nIt is 3.", 0.0, 0.0, 0.0, 0.0),
        (f"<think>\n{ADD}", 0.0, 0.0, 0.0, 0.0),
        (f"<think>\nhm\n</think>\n<answer>\n{ADD}\n</answer>", 1.0, 1.0, 1.1, 1.0),
        (f"{ADD}\nor rather\n{FIRST_ONLY}", 0.5, 0.0, 0.05, 0.0),  # the last block counts
        ("no code", 0.0, 0.0, 0.0, 0.0),
        ("", 0.0, 0.0, 0.0, 0.0),
    ],
)
def test_values(
    text: str, partial: float, pass_fail: float, weighted_sum: float, binary: float
) -> None:
    message = [{"role": "assistant", "content": text}]
    for completion in (text, message):
        assert score(completion) == partial
        assert score(completion, scoring="pass_fail") == pass_fail
        assert score(completion, scoring="weighted_sum") == pytest.approx(weighted_sum)
        assert score(completion, kind=BinaryCode) == binary


@pytest.mark.parametrize(
    ("text", "info", "value", "counted"),
    [
        (ADD, json.dumps(INFO), 1.0, {}),
        (ADD, {"test_cases": TESTS}, 1.0, {}),
        ("none", INFO, 0.0, {"no_code": 1}),
        (ADD, {"language": "python", "test_cases": []}, None, {"no_tests": 1}),
        (ADD, "nonsense", None, {"unusable_tests": 1}),
        ("```python\n1 / 0\n```", INFO, 0.0, {"runtime_error": 1}),
        ("```python\nwhile True: pass\n```", INFO, 0.0, {"timeout": 1}),
        (
            "```c++\nint main() { return 0 }\n```",
            {**INFO, "language": "cpp"},
            0.0,
            {"compile_error": 1},
        ),
        ("```cobol\nSTOP RUN.\n```", {**INFO, "language": "cobol"}, None, {"infrastructure": 1}),
    ],
)
def test_what_is_counted(text: str, info: Any, value: Any, counted: dict[str, int]) -> None:
    made = reward(timeout_s=0.5)
    assert made([text], verification_info=[info]) == [value]
    assert made.drain_counts() == counted


def test_function_calls() -> None:
    case = {"input": "[1, 2]", "output": "[3]", "type": "function_call", "fn_name": "add"}
    info = {"language": "python", "test_cases": [case]}
    right = "```python\ndef add(a, b):\n    return a + b\n```"
    wrong = "```python\ndef add(a, b):\n    print(3)\n```"
    assert [score(text, info) for text in (right, wrong)] == [1.0, 0.0]
    made = reward()
    other = "```cpp\nint add(int a, int b) { return a + b; }\n```"
    mixed = {"language": "python", "test_cases": [case, *TESTS]}
    assert (
        made([other, right], verification_info=[{**info, "language": "cpp"}, mixed]) == [None] * 2
    )
    assert made.drain_counts() == {"unsupported": 2}


@pytest.mark.parametrize(
    ("printed", "expected", "parameters", "value"),
    [
        ("1 2", "1\n2", {}, 0.0),
        ("1 2", "1\n2", {"compare": "tokens"}, 1.0),
        ("0.33333334", "0.333333333", {}, 0.0),
        ("0.33333334", "0.333333333", {"float_tolerance": 1e-6}, 1.0),
        ("1", "1", {"compare": "exact"}, 0.0),  # print ends the line
        ("1", "1\n", {"compare": "exact"}, 1.0),
    ],
)
def test_comparing(printed: str, expected: str, parameters: dict[str, Any], value: float) -> None:
    info = {"test_cases": [{"input": "", "output": expected}]}
    assert score(f"```python\nprint({printed!r})\n```", info, **parameters) == value


def test_infrastructure_is_no_verdict_and_rows_keep_their_places() -> None:
    made = reward(Runner(broken=["cpp"]))
    texts = ["none", "```cpp\nint main() {}\n```", ADD, FIRST_ONLY]
    infos = [INFO, {**INFO, "language": "cpp"}, INFO, INFO]
    assert made(texts, verification_info=infos) == [0.0, None, 1.0, 0.5]
    assert made.drain_counts() == {"no_code": 1, "infrastructure": 1, "retries": 1}


LOOP = "```python\na, b = map(int, input().split())\nwhile a > 1: pass\nprint(a + b)\n```"


@pytest.mark.parametrize(
    ("text", "info", "value", "open_r1"),
    [
        (ADD, INFO, 1.0, 1.0),
        (FIRST_ONLY, INFO, 0.5, 0.5),
        (f"<think>\n{ADD}", INFO, 0.0, 1.0),  # reasoning counts
        (ADD.replace("python", "py"), INFO, 1.0, 0.0),
        (ADD, {"test_cases": [{"input": "1 2", "output": "3\n4"}]}, 0.0, 1.0),  # a beginning
        ("no code", {"test_cases": [{"input": "", "output": ""}]}, 0.0, 1.0),  # the empty program
        ("no code", INFO, 0.0, 0.0),
        (LOOP, INFO, 0.5, 0.0),  # one timeout spoils it all
        (ADD, {"test_cases": []}, None, 0.0),
    ],
)
def test_compat(text: str, info: Any, value: float | None, open_r1: float) -> None:
    assert score(text, info, timeout_s=0.5) == value
    assert score(text, info, timeout_s=0.5, compat="open_r1") == open_r1


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"provider": "docker"}, "provider"),
        ({"provider_url": "http://localhost"}, "provider_url"),
        ({"provider": "e2b", "provider_url": " "}, "provider_url"),
        ({"provider": "e2b", "allow_unisolated": True}, "allow_unisolated"),
        ({"allow_unisolated": "yes"}, "allow_unisolated"),
        ({"language": ""}, "language"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"memory_mib": 1.5}, "memory_mib"),
        ({"parallel": 0}, "parallel"),
        ({"test_batch_size": 0}, "test_batch_size"),
        ({"scoring": "best"}, "scoring"),
        ({"compare": "diff"}, "compare"),
        ({"float_tolerance": -1}, "float_tolerance"),
        ({"float_tolerance": 1e-6, "compare": "exact"}, "float_tolerance"),
        ({"compat": "trl"}, "compat"),
        ({"compat": "open_r1", "scoring": "pass_fail"}, "scoring"),
        ({"compat": "open_r1", "compare": "tokens"}, "compare"),
    ],
)
def test_bad_parameters_are_named(parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Code(**parameters)
    assert caught.value.parameter == named
    if named != "scoring":
        with pytest.raises(ParameterError):
            BinaryCode(**parameters)


@pytest.mark.parametrize("threshold", [1.0, -0.1, 1.5, "all"])
def test_a_threshold_that_cannot_be_passed(threshold: Any) -> None:
    with pytest.raises(ParameterError, match="threshold"):
        BinaryCode(threshold=threshold)


def test_prepare_tries_the_sandbox() -> None:
    runner = Runner()
    reward(runner, language="python").prepare()
    assert runner.counts == {"tested": 1}
    with pytest.raises(PrerequisiteError, match=r"infrastructure: out of order"):
        reward(Runner(broken=["cpp"]), language="c++").prepare()


def test_a_remote_provider_from_end_to_end() -> None:
    with serving(FakePiston()) as server:
        made = Code(provider="piston", provider_url=server.url, timeout_s=2.0)
        made.prepare()
        server.requests.clear()
        assert made(**Code.example) == [1.0, 0.5, 0.0]
        assert "42" not in json.dumps([body for _, _, body, _ in server.requests])
        slow = Code(provider="piston", provider_url=server.url, timeout_s=60.0)
        with pytest.raises(PrerequisiteError, match="configured limit of 5000"):
            slow.prepare()
    made.provider.client.wait_s = 0.01  # type: ignore[attr-defined]
    made.drain_counts()
    assert made(**Code.example) == [None, None, 0.0]  # nobody is there any more
    counts = made.drain_counts()
    assert (counts["infrastructure"], counts["no_code"]) == (2, 1)
    assert counts["retries"] > 0


@pytest.mark.parametrize("name", ["code", "binary_code", "code_format", "cf_code", "ioi_code"])
def test_config_files_hold_every_parameter_with_its_default(name: str) -> None:
    file = Path(__file__).parents[2] / "conf" / "rewards" / f"{name}.yaml"
    assert file.read_text().startswith(f"# @package rewards.{name}\n")
    values = yaml.safe_load(file.read_text())
    signature = inspect.signature(targets.resolve(values.pop("_target_")))
    assert values.pop("weight") == 1.0
    assert list(values.items()) == [(p.name, p.default) for p in signature.parameters.values()]


def test_in_the_local_sandbox_with_a_copy_and_in_a_fork() -> None:
    """The one test here with a real provider; its own tests say what it withstands."""
    made = Code()
    try:
        made.prepare()
    except PrerequisiteError as error:
        pytest.skip(f"nothing isolates here: {error}")
    expected = made(**Code.example)
    assert expected == [1.0, 0.5, 0.0]
    assert pickle.loads(pickle.dumps(made))(**Code.example) == expected
    assert BinaryCode()(**BinaryCode.example) == [1.0, 0.0, 0.0]
    child = os.fork()
    if child == 0:
        os._exit(0 if made(**Code.example) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
