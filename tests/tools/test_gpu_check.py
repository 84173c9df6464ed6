"""The GPU check's runner, where there is no GPU: results are kept, whatever happens to a section."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gpu_checks import runner

import polygrad as pg

pytestmark = pytest.mark.skipif(pg.backends()["cupy"] is None, reason="here is a GPU")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_a_section_that_fails_has_written_what_it_knew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main([str(tmp_path), "--only", "versions", "--budget", "60"]) == 1
    written = lines(tmp_path)
    assert written[0]["check"] == "versions"
    assert written[0]["result"]["numpy"]
    assert any(line.get("check") == "device" and not line["ok"] for line in written)
    assert written[-1]["section"] == "versions"
    assert written[-1]["code"] == 1
    assert "versions" in capsys.readouterr().out
    assert (tmp_path / "versions.log").stat().st_size > 0


def test_a_section_is_stopped_at_its_limit(tmp_path: Path) -> None:
    found = runner.run(runner.Section("versions", 0.05, ""), tmp_path, 0.05, "")
    assert found["code"] == "stopped after 0 s"


def test_without_time_nothing_is_started(tmp_path: Path) -> None:
    assert runner.main([str(tmp_path), "--only", "smoke,memory", "--budget", "1"]) == 1
    assert [line["code"] for line in lines(tmp_path)] == ["no time left", "no time left"]


def test_unknown_sections_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        runner.main([str(tmp_path), "--only", "smok"])


def test_every_section_is_there() -> None:
    text = Path(runner.__file__).with_name("sections.py").read_text()
    assert all(f"def {section.name}() -> None:" in text for section in runner.SECTIONS)
    assert sum(section.limit for section in runner.SECTIONS) < 600
