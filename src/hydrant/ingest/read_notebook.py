"""Jupyter notebooks to Markdown: text cells as they are, code cells fenced, outputs left out."""

from __future__ import annotations

import json
from typing import Any

from hydrant.errors import UnreadableDocument


def markdown_from_notebook(source: str) -> str:
    """The cells of a notebook as one Markdown text.

    Args:
        source: The notebook's JSON, of format 3 or 4.

    Raises:
        UnreadableDocument: It is no JSON, or has no cells.
    """
    try:
        notebook = json.loads(source)
    except (ValueError, RecursionError) as error:
        message = f"is not a notebook: {error}"
        raise UnreadableDocument(message) from error
    cells = _cells(notebook)
    language = _language(notebook)
    return "\n\n".join(text for cell in cells if (text := _cell(cell, language)))


def _cells(notebook: Any) -> list[Any]:
    if isinstance(notebook, dict):
        # Format 3 kept its cells in worksheets.
        sheets = notebook.get("worksheets")
        holders = [notebook, *sheets] if isinstance(sheets, list) else [notebook]
        found = [holder["cells"] for holder in holders if isinstance(holder, dict) and "cells" in holder]
        if found and all(isinstance(cells, list) for cells in found):
            return [cell for cells in found for cell in cells]
    message = "is not a notebook: it has no list of cells"
    raise UnreadableDocument(message)


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    kernel = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    language = kernel.get("language") if isinstance(kernel, dict) else None
    return language if isinstance(language, str) else "python"


def _cell(cell: Any, language: str) -> str:
    """One cell as Markdown; nothing for what is not text or code."""
    if not isinstance(cell, dict):
        return ""
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if not isinstance(source, str) or not source.strip():
        return ""
    if cell.get("cell_type") == "heading":
        level = cell.get("level")
        return f"{'#' * level if isinstance(level, int) and 1 <= level <= 6 else '#'} {source.strip()}"  # noqa: PLR2004  HTML's six levels
    return f"```{language}\n{source.strip(chr(10))}\n```" if cell.get("cell_type") == "code" else source
