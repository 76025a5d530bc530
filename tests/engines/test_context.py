from __future__ import annotations

from pathlib import Path

from r1lab.engines.context import context_of, fitting
from r1lab.engines.external import ExternalServer
from tests.generation.serving import serving


def test_a_servers_context_is_read_where_it_says_it(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        engine = ExternalServer({"url": server.url, "start_timeout": 5.0}, "tiny")
        assert context_of(engine) is None
        server.control(max_model_len=2048)
        assert context_of(engine) == 2048
    assert context_of(engine) is None  # it is gone: no error


def test_room_is_left_for_a_prompt() -> None:
    assert fitting(8192, None) == 8192
    assert fitting(8192, 2048) == 1536
    assert fitting(1000, 2048) == 1000
    assert fitting(32768, 32768) == 30720
