"""What the local provider does with programs that mean no harm, and with machines that fail it."""

from __future__ import annotations

import itertools
import pickle
import threading
from pathlib import Path

import pytest

from r1lab.errors import PrerequisiteError
from r1lab.rewards.base import ParameterError
from r1lab.sandbox import specification
from r1lab.sandbox.base import Job, Limits, Program
from r1lab.sandbox.languages import ALIASES, LANGUAGES, Language, find_language
from r1lab.sandbox.local import Local
from tests.sandbox.machine import isolated, needs

PATIENT = Limits(time_s=20.0, memory_mib=1024)
ADD = Program("python", "print(sum(map(int, input().split())))")


@pytest.fixture
def provider() -> Local:
    return isolated()


def python(source: str, **files: str) -> Program:
    return Program("python", source, {name.replace("__", "."): t for name, t in files.items()})


def output(provider: Local, program: Program, stdin: str = "", limits: Limits = PATIENT) -> str:
    [result] = provider.run(program, [stdin], limits)
    assert result.status == "ok", result
    return result.stdout


@pytest.mark.parametrize("language", LANGUAGES)
def test_languages(provider, language):
    needs(provider, language)
    right, wrong = LANGUAGES[language].trial
    results = provider.run(Program(language, right), ["3 4\n", "20 22\n", "-1 1\n"], PATIENT)
    assert [(r.status, r.stdout.strip(), r.exit_code) for r in results] == [
        ("ok", "7", 0),
        ("ok", "42", 0),
        ("ok", "0", 0),
    ]
    [failed] = provider.run(Program(language, wrong), ["3 4\n"], PATIENT)
    assert (failed.status, failed.exit_code) == ("runtime_error", 3)
    assert "exit code 3" in failed.message


def test_other_names_of_languages():
    assert find_language(" C++ ") is LANGUAGES["cpp"]
    assert all(find_language(name) is LANGUAGES[known] for name, known in ALIASES.items())
    assert find_language("cobol") is None


@pytest.mark.parametrize(
    ("source", "stdin", "expected"),
    [
        ("print(open('/dev/stdin').read())", "x", "x\n"),
        ("print(open(0).read())", "x", "x\n"),
        ("open('/dev/stdout', 'w').write('y')", "", "y"),
        ("print(len(input()))", "9" * 5_000_000, "5000000\n"),  # more than a pipe holds
        ("print(1)", "9" * 5_000_000, "1\n"),  # does not read it
        ("print(1); exit()", "", "1\n"),
        ("print(__name__, __file__)", "", "__main__ /scratch/work/main.py\n"),
        ("print('é', '\\u4e2d')", "", "é 中\n"),
        ("print(input())", "é中\n", "é中\n"),
        ("import os; print(os.getcwd(), os.path.expanduser('~'))", "", "/scratch/work " * 2),
        ("import tempfile; print(tempfile.gettempdir())", "", "/scratch/tmp\n"),
        ("import numpy; print(numpy.arange(3).sum())", "", "3\n"),
        ("from multiprocessing import Pool\nprint(sum(Pool(2).map(abs, [-1, 2])))", "", "3\n"),
        ("import subprocess; print(subprocess.getoutput('echo $((6 * 7))'))", "", "42\n"),
        ("import asyncio\nasync def f():\n    print(1)\nasyncio.run(f())", "", "1\n"),
        ("import sys; print(sys.flags.no_user_site, len(sys.argv))", "", "1 1\n"),
    ],
)
def test_what_programs_may_count_on(provider, source, stdin, expected):
    assert output(provider, python(source), stdin).strip() == expected.strip()


def test_orphans_do_not_fill_up_the_process_limit(provider):
    source = "import os, time\nfor _ in range(40):\n    os.system('true &'); time.sleep(0.03)"
    output(provider, python(source))


def test_the_same_program_prints_the_same(provider):
    program = python("print(list({'a', 'b', 'c', 'd', 'e', 'f'}))")
    assert len({result.stdout for result in provider.run(program, [""] * 4, PATIENT)}) == 1


def test_packages_are_hidden_unless_asked_for():
    isolated()
    hidden = Local(packages=())
    [result] = hidden.run(python("import numpy"), [""], PATIENT)
    assert "ModuleNotFoundError" in result.stderr
    with pytest.raises(ParameterError, match="packages = 'no_such_package'"):
        Local(packages=["no_such_package"])


def test_files_lie_beside_the_program(provider):
    program = python(
        "import more, sub.deep\nprint(more.x, sub.deep.y, open('data.txt').read())",
        more__py="x = 1",
        data__txt="text",
        **{"sub/deep__py": "y = 2"},
    )
    assert output(provider, program) == "1 2 text\n"


def test_sources_among_the_files_are_compiled_with_it(provider):
    needs(provider, "cpp")
    files = {
        "grader.cpp": '#include <cstdio>\n#include "g.h"\nint main() { printf("%d", f(20)); }',
        "g.h": "int f(int);",
    }
    program = Program("cpp", '#include "g.h"\nint f(int x) { return 2 * x + 2; }', files)
    assert output(provider, program) == "42"


def test_threads_in_cpp(provider):
    needs(provider, "cpp")
    source = """
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>
int main() {
    std::atomic<int> sum{0};
    std::vector<std::thread> threads;
    for (int n = 0; n < 12; n++) threads.emplace_back([&sum, n] { sum += n; });
    for (auto &thread : threads) thread.join();
    printf("%d", sum.load());
}
"""
    assert output(provider, Program("cpp", source), limits=Limits(memory_mib=256)) == "66"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "", ".", "a/../../x", "a\0b"])
def test_files_outside_the_folder_are_refused(provider, name):
    [result] = provider.run(Program("python", "print(1)", {name: "x"}), [""], PATIENT)
    assert result.status == "infrastructure"
    assert "path" in result.message


def test_a_folder_to_read(provider, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/greet").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "bin/greet").chmod(0o755)
    tmp_path.chmod(0o755)
    shown = Local(read_only=[str(tmp_path)])
    assert output(shown, Program("bash", f"greet; touch {tmp_path}/x || echo no")) == "hello\nno\n"
    for folder in (str(Path.home()), "/", "/no/such/folder"):
        with pytest.raises(ParameterError, match="read_only"):
            Local(read_only=[folder])


def test_what_does_not_compile_says_why_for_every_input(provider):
    needs(provider, "cpp")
    results = provider.run(Program("cpp", "int main() { return oops; }"), ["1", "2"], PATIENT)
    assert [r.status for r in results] == ["compile_error"] * 2
    assert all("oops" in r.stderr for r in results)


def test_compiling_has_limits_of_its_own(provider, monkeypatch):
    needs(provider, "cpp")
    monkeypatch.setattr(specification, "COMPILE_LIMITS", Limits(time_s=0.05, memory_mib=1024))
    [result] = provider.run(
        Program("cpp", "#include <bits/stdc++.h>\nint main() {}"), [""], PATIENT
    )
    assert result.status == "compile_error"
    assert "0.05 s" in result.message


def test_unknown_languages_and_missing_compilers_are_no_verdict(provider, monkeypatch):
    [result] = provider.run(Program("cobol", "x"), [""], PATIENT)
    assert result.status == "infrastructure"
    assert "cobol" in result.message
    with pytest.raises(ParameterError, match="languages = 'cobol'"):
        Local(languages=["cobol"])
    missing = Language("x.x", ("no-such-compiler",), ("{tool}",), ("", ""))
    monkeypatch.setitem(LANGUAGES, "missing", missing)
    [result] = provider.run(Program("missing", "x"), [""], PATIENT)
    assert result.status == "infrastructure"
    with pytest.raises(PrerequisiteError, match="no-such-compiler is missing"):
        Local(languages=["missing"]).self_test()


@pytest.mark.parametrize("language", LANGUAGES)
def test_self_test(provider, language):
    needs(provider, language)
    Local(languages=[language]).self_test()


def test_self_test_finds_a_language_that_is_broken(provider, monkeypatch):
    broken = Language("main.sh", ("bash",), ("{tool}", "main.sh"), ("echo 8", "exit 3"))
    monkeypatch.setitem(LANGUAGES, "bash", broken)
    with pytest.raises(PrerequisiteError, match="bash"):
        Local(languages=["bash"]).self_test()


def test_many_programs_in_order(provider):
    jobs = [Job(python(f"print({n}, input())"), [f"{m}\n" for m in range(3)]) for n in range(8)]
    results = provider.run_many(jobs, PATIENT)
    found = [[r.stdout for r in row] for row in results]
    assert found == [[f"{n} {m}\n" for m in range(3)] for n in range(8)]
    assert provider.run_many([], PATIENT) == []
    assert provider.run(ADD, [], PATIENT) == []


def test_no_more_programs_at_a_time_than_parallel():
    provider = Local(parallel=1)
    isolated()
    jobs = [Job(python("import time; print(time.monotonic()); time.sleep(0.2)"), [""])] * 3
    starts = [float(row[0].stdout) for row in provider.run_many(jobs, PATIENT)]
    assert all(later - earlier >= 0.2 for earlier, later in itertools.pairwise(starts))


def test_from_many_threads(provider):
    found: dict[int, str] = {}

    def work(n: int) -> None:
        found[n] = output(provider, ADD, f"{n} 1\n")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: f"{n + 1}\n" for n in range(6)}


def test_survives_pickling(provider):
    copy = pickle.loads(pickle.dumps(Local(parallel=3, packages=())))
    assert (copy.parallel, copy.packages) == (3, ())
    assert output(copy, ADD, "1 2") == "3\n"
