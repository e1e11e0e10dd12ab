"""What the pages take from the program itself, so that it is never written twice: mkdocs calls `on_page_markdown`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "benchmark" / "run_record.schema.json"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put tables in place of the comments that ask for them."""
    for name, make in {"schema": schema, "weights": weights}.items():
        marker = f"<!-- {name} -->"
        if marker in markdown:
            markdown = markdown.replace(marker, make())
    return markdown


def schema() -> str:
    """Every field of a run record, from its JSON Schema."""
    content = json.loads(SCHEMA.read_text(encoding="utf-8"))
    parts = ["## Fields", "", *_table(_fields(content["properties"], content.get("required", ())))]
    for name, definition in content.get("$defs", {}).items():
        if definition.get("properties"):
            parts += ["", f"## {name}", "", definition.get("description", ""), ""]
            parts += _table(_fields(definition["properties"], definition.get("required", ())))
    return "\n".join(parts)


def weights() -> str:
    """Where published weights are, from the methods' own files."""
    lines = ["| method | file | where | licence |", "|---|---|---|---|"]
    for file in sorted((ROOT / "configs" / "methods").glob("*.yaml")):
        published = yaml.safe_load(file.read_text(encoding="utf-8")).get("published")
        if published:
            hub = published.get("hub")
            where = f"[{hub}](https://huggingface.co/{hub})" if hub else f"by hand: {published['by_hand']}"
            lines.append(f"| `{file.stem}` | `{published['file']}` | {where} | {published['license']} |")
    return "\n".join(lines)


def _table(rows: Iterator[tuple[str, str, str]]) -> list[str]:
    return [
        "| field | type | meaning |",
        "|---|---|---|",
        *(f"| `{name}` | {kind} | {text} |" for name, kind, text in rows),
    ]


def _fields(properties: dict[str, Any], required: Any, above: str = "") -> Iterator[tuple[str, str, str]]:
    for name, about in properties.items():
        optional = "" if name in required else ", optional"
        text = str(about.get("description", "")).replace("|", "\\|").replace("<", "&lt;")
        yield above + name, _kind(about) + optional, text
        if "properties" in about:
            yield from _fields(about["properties"], about.get("required", ()), f"{above}{name}.")


def _kind(about: dict[str, Any]) -> str:
    if "const" in about:
        return f"`{json.dumps(about['const'])}`"
    if "enum" in about:
        return " \\| ".join(f"`{json.dumps(value)}`" for value in about["enum"])
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "oneOf" in about:
        return " \\| ".join(_kind(option) for option in about["oneOf"])
    kinds = about.get("type", "any")
    return " \\| ".join(kinds) if isinstance(kinds, list) else str(kinds)
