"""A pytest plugin that writes which lines of some files each test executes.

    PYTHONPATH=tools python -m pytest -p executed_lines --executed-lines FOLDER --executed-in DIRECTORY

``sys.monitoring`` (Python 3.12) reports a line once and then stays silent until the next test, so that a run takes little longer
than one without. Each process writes a file of its own to FOLDER: JSON with the lines by test and file, relative to DIRECTORY.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from pathlib import Path
from types import CodeType
from typing import Any, Final

import pytest

_TOOL: Final = 4  # neither a debugger's, a profiler's nor coverage's


class ExecutedLines:
    """Notes the lines that each test executes.

    Args:
        folder: where the file is written.
        directory: whose files are of interest.
    """

    def __init__(self, folder: Path, directory: Path) -> None:
        self._file = folder / f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.json"
        self._directory = f"{directory}{os.sep}"
        self._lines: set[tuple[str, int]] = set()
        self._tests: dict[str, dict[str, list[int]]] = {}
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
        self._monitoring, self._events = monitoring, monitoring.events
        monitoring.use_tool_id(_TOOL, "executed lines")
        monitoring.register_callback(_TOOL, self._events.PY_START, self._started)
        monitoring.register_callback(_TOOL, self._events.LINE, self._executed)
        monitoring.set_events(_TOOL, self._events.PY_START)

    def _started(self, code: CodeType, _offset: int) -> Any:
        if code.co_filename.startswith(self._directory):
            self._monitoring.set_local_events(_TOOL, code, self._events.LINE)
        return self._monitoring.DISABLE

    def _executed(self, code: CodeType, line: int) -> Any:
        self._lines.add((code.co_filename, line))
        return self._monitoring.DISABLE

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note a test's lines."""
        self._lines = set()
        self._monitoring.restart_events()
        result = yield
        files: dict[str, list[int]] = {}
        for name, line in sorted(self._lines):
            files.setdefault(name.removeprefix(self._directory), []).append(line)
        self._tests[item.nodeid] = files
        return result

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        if self._tests:
            self._file.write_text(json.dumps(self._tests))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    group = parser.getgroup("executed lines")
    group.addoption("--executed-lines", type=Path, metavar="FOLDER", help="write the lines that each test executes")
    group.addoption("--executed-in", type=Path, metavar="DIRECTORY", help="whose files")


def pytest_configure(config: pytest.Config) -> None:
    """Note lines if a folder is given."""
    folder = config.getoption("--executed-lines")
    if folder is not None:
        if not hasattr(sys, "monitoring"):
            raise pytest.UsageError("--executed-lines needs Python 3.12 or newer, for sys.monitoring")
        config.pluginmanager.register(ExecutedLines(folder, config.getoption("--executed-in")), "executed-lines-notes")
