"""Programs that judge an output where more than one is right: a problem's own checker.

Checkers come with the data (open-r1/codeforces has Python ones that a model wrote, IOI C++ ones),
so they run in the sandbox too, in runs of their own: never beside the submission, whose sandbox
must not hold the expected output. Both are called as

    checker input.txt correct_output.txt solution_output.txt

and say on standard output what the submission's output is worth: 0, 1 or a share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from r1lab.sandbox.base import Limits, Program

#: For one run of a checker: they read whole files, and some were written by a model.
CHECKER_LIMITS = Limits(time_s=10.0, memory_mib=1024, file_bytes=256 << 20)

_FILES = ("input.txt", "correct_output.txt", "solution_output.txt")

_PYTHON = f"""\
import json, runpy, sys
for name, text in zip({list(_FILES)!r}, json.load(sys.stdin)):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)
sys.argv = ["checker.py", *{list(_FILES)!r}]
runpy.run_path("checker.py", run_name="__main__")
"""

# Standard input: the three sizes in bytes, one a line, then the three texts.
_CPP = """\
#define main checker_main
#include "checker_source.h"
#undef main
#include <cstdio>
#include <vector>
int main() {
    const char* names[3] = {"input.txt", "correct_output.txt", "solution_output.txt"};
    std::size_t sizes[3];
    if (std::scanf("%zu %zu %zu", &sizes[0], &sizes[1], &sizes[2]) != 3) return 3;
    std::getchar();
    for (int i = 0; i < 3; i++) {
        std::vector<char> text(sizes[i] + 1);
        if (std::fread(text.data(), 1, sizes[i], stdin) != sizes[i]) return 3;
        std::FILE* file = std::fopen(names[i], "wb");
        if (!file) return 3;
        std::fwrite(text.data(), 1, sizes[i], file);
        std::fclose(file);
    }
    char self[] = "checker", a[] = "input.txt", b[] = "correct_output.txt",
         c[] = "solution_output.txt";
    char* arguments[] = {self, a, b, c, nullptr};
    return checker_main(4, arguments);
}
"""


@dataclass(frozen=True)
class Checker:
    """A checker's program, which reads the three texts of a test from standard input."""

    program: Program

    def stdin(self, test_input: str, expected: str, output: str) -> str:
        texts = (test_input, expected, output)
        if self.program.language == "python":
            return json.dumps(texts)
        sizes = "".join(f"{len(text.encode())}\n" for text in texts)
        return sizes + "".join(texts)


def python_checker(source: str) -> Checker:
    return Checker(Program("python", _PYTHON, {"checker.py": source}))


def cpp_checker(source: str, headers: Mapping[str, str]) -> Checker:
    """A C++ checker, whose ``main(argc, argv)`` has both arguments; ``headers``: testlib.h, ..."""
    return Checker(Program("cpp", _CPP, {**headers, "checker_source.h": source}))


def read_verdict(stdout: str) -> float | None:
    """The share from 0 to 1 that is all a checker printed; ``None`` for anything else.

    Strict on purpose: a message such as "wrong, expected 1" must not pass for a 1.
    """
    try:
        value = float(stdout)
    except ValueError:
        return None
    return value if 0.0 <= value <= 1.0 else None
