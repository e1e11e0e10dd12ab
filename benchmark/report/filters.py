"""Forms that choose rows. They are hidden until the script wakes them: without it they could do nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .markup import element, escape

TICKS: Mapping[str, str] = {"anchors": "Anchors", "paper": "The paper's lines", "intervals": "Intervals"}


def form(scope: str, what: str, choices: Mapping[str, Sequence[str]], *, ticks: bool = False) -> str:
    """A text field, a choice for each attribute that has more than one value, and switches.

    Args:
        scope: id of the element whose rows are chosen.
        what: the rows are, for the form's name.
        choices: label and values by the name of the `data-` attribute: `{"ratio Train %": ("25", "100")}`.
        ticks: whether anchors, the paper's lines and intervals can be switched off.
    """
    search = element("label", f"Method, weights or any word{_input('search', 'text')}", class_="text")
    fields = [search]
    for key, values in choices.items():
        name, _, label = key.partition(" ")
        if len(values) > 1:
            options = element("option", "all", value="")
            options += "".join(element("option", escape(value), value=value) for value in values)
            fields.append(element("label", escape(label) + element("select", options, name=name)))
    if ticks:
        for name, label in TICKS.items():
            fields.append(element("label", f"{_input('checkbox', name, ' checked')} {escape(label)}", class_="tick"))
    fields.append(element("button", "Show all", type="reset"))
    fields.append(element("output", "", aria_live="polite"))
    body = "\n".join(fields)
    return element("form", f"\n{body}\n", data_scope=scope, aria_label=f"Filter {what}", role="search", hidden=True)


def _input(kind: str, name: str, more: str = "") -> str:
    return f'<input type="{kind}" name="{name}"{more}>'
