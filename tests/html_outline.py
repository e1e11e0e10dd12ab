"""What an HTML page consists of, for the tests that hold it to be sound."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br"}
RAW = {"style", "script"}


class Outline(HTMLParser):
    """Elements in their order, and a complaint about every one that is not closed where it should be.

    `elements` are (name, attributes, text directly inside and in what is inside).
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], str]] = []
        self._open: list[int] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, ""))
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for place in self._open:
            tag, attributes, text = self.elements[place]
            self.elements[place] = (tag, attributes, text + data)

    def of(self, *tags: str) -> list[tuple[dict[str, str], str]]:
        """Attributes and texts of all elements of these names."""
        return [(attributes, text) for tag, attributes, text in self.elements if tag in tags]

    def text(self, ident: str) -> str:
        """The text of the element with an id."""
        (found,) = (text for _, attributes, text in self.elements if attributes.get("id") == ident)
        return found
