"""The languages that the local provider runs: which tools, how to compile, how to start."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from r1lab.sandbox.base import Limits

#: What a compilation may use. Its time and memory are not the test's.
COMPILE_LIMITS = Limits(
    time_s=30.0, memory_mib=1024, processes=16, output_bytes=1 << 16, file_bytes=256 << 20
)


@dataclass(frozen=True)
class Language:
    """How programs in one language run.

    In ``compile`` and ``run``, ``{tool}`` stands for the full path of the first of ``tools`` that
    is there, ``{sources}`` for the source and the program's other files with the same ending, and
    ``{memory_mib}`` for the memory limit.
    """

    source: str
    tools: tuple[str, ...]
    run: tuple[str, ...]
    #: A program that prints the sum of two numbers, and one that exits with 3.
    trial: tuple[str, str]
    compile: tuple[str, ...] | None = None
    #: A runtime that reserves much more address space than it uses: only what it uses is limited.
    reserves: bool = False
    #: Largest stack of the first thread. glibc gives each further thread one of the same size.
    stack_mib: int = 8

    def ending(self) -> str:
        """Of a source file's name."""
        return os.path.splitext(self.source)[1]

    def command(
        self, parts: Iterable[str], tool: str, files: Iterable[str], memory_mib: int
    ) -> list[str]:
        """``parts`` (``run`` or ``compile``) with the placeholders filled in."""
        others = sorted(name for name in files if name.endswith(self.ending()))
        argv: list[str] = []
        for part in parts:
            if part == "{sources}":
                argv += [self.source, *(f"./{name}" for name in others if name != self.source)]
            else:
                argv.append(part.replace("{tool}", tool).replace("{memory_mib}", str(memory_mib)))
        return argv


#: What a compiler makes, in the program's folder.
BINARY = "program"


_GNU_TRIAL = (
    '#include <stdio.h>\nint main() { int a, b; scanf("%d %d", &a, &b); printf("%d", a + b); }',
    "int main() { return 3; }",
)


def _gnu(source: str, tools: tuple[str, ...], standard: str) -> Language:
    flags = ("-O2", f"-std={standard}", "-pipe", "-w", "-I.", "-o", BINARY)
    return Language(
        source,
        tools,
        run=(f"./{BINARY}",),
        trial=_GNU_TRIAL,
        compile=("{tool}", *flags, "{sources}", "-lm"),
        stack_mib=64,
    )


LANGUAGES: dict[str, Language] = {
    "python": Language(
        "main.py",
        ("python",),
        ("{tool}", "-s", "-B", "main.py"),
        ("print(sum(map(int, input().split())))", "raise SystemExit(3)"),
    ),
    "cpp": _gnu("main.cpp", ("g++", "clang++"), "gnu++17"),
    "cpp20": _gnu("main.cpp", ("g++", "clang++"), "gnu++20"),
    "c": _gnu("main.c", ("gcc", "clang"), "gnu17"),
    "javascript": Language(
        "main.js",
        ("node", "nodejs"),
        ("{tool}", "--max-old-space-size={memory_mib}", "main.js"),
        (
            "const [a, b] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number)\n"
            "console.log(a + b)",
            "process.exit(3)",
        ),
        reserves=True,
    ),
    "bash": Language(
        "main.sh", ("bash",), ("{tool}", "main.sh"), ("read a b; echo $((a + b))", "exit 3")
    ),
}

#: Other names that data sets use.
ALIASES: dict[str, str] = {
    "py": "python",
    "python3": "python",
    "c++": "cpp",
    "c++17": "cpp",
    "cpp17": "cpp",
    "c++20": "cpp20",
    "js": "javascript",
    "node": "javascript",
    "sh": "bash",
}


def find_language(name: str) -> Language | None:
    """By its name here or as data sets have it, in any case."""
    known = name.strip().lower()
    return LANGUAGES.get(ALIASES.get(known, known))
