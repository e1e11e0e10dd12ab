"""What nodes without a shared folder send: checked, then written as this command would have written it itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from ...adapters.errors import MibenchError
from ..home import home
from ..record_check import fault
from .node import Answer, Files, write_files
from .schedule import Report
from .task import Task


def keep(answer: Answer, task: Task, results: Path) -> Report:
    """Write what a task left on its node, and find its records here.

    Raises:
        MibenchError: a record is damaged, or not one of those that were planned.
    """
    files = answer.results or {}
    for name, content in files.items():
        if name.endswith(".json"):
            _assert_whole(answer.node, name, content, files)
    write_files(home(), answer.kept or {})
    write_files(results, files)
    if answer.report.state != "done":
        return answer.report
    paths = task.arrived()
    if paths is None:
        raise MibenchError(
            f"node {answer.node} made other runs than were planned here: are the same weights registered there, and "
            f"the same files given? Its records were kept"
        )
    return replace(answer.report, paths=tuple(paths))


def _assert_whole(node: str, name: str, content: bytes, files: Files) -> None:
    try:
        record = json.loads(content)
        wrong = fault(record)
    except (ValueError, AttributeError, TypeError):
        wrong = "it is no record"
    if not wrong and record["predictions"] is not None:
        beside = name.rpartition("/")[0] + "/" + Path(str(record["predictions"]["file"])).name
        if hashlib.sha256(files.get(beside, b"")).hexdigest() != record["predictions"]["sha256"]:
            wrong = "its predictions are not what it vouches for"
    if wrong:
        raise MibenchError(f"the record {name} from node {node} is damaged: {wrong}; run again")
