"""``fixtures/site/VARIANTS.md``: what the stand-in site can play, as people read it."""

from typing import Any

from fixtures.site.variants import FIVE, VARIANTS, Group, Variant
from tests.docs.markdown import table

TITLES: dict[Group, str] = {
    "page": "Page states",
    "composer": "Composer",
    "answer": "Answers with pictures",
    "no picture": "Answers without a picture",
    "flow": "Flow",
}

HEAD = """\
# What the stand-in site can play

Made from the rows in [`variants`](variants) by `python -m tests.docs`; do not edit. Each row is something the real
site was seen to do, according to the project's field notes. *Expected* is what the program should make of it: a status,
or an error code of the contract. Where no person can be asked, `needs_sign_in` is an error and `needs_verification` is
`verification_required`. The switches are fields of `Switches` in [`switches.py`](switches.py); *own* is what the page
does by itself. A page can be looked at by hand:

    python -m fixtures.site --switches '{"generation": "october", "dialogs": ["promo"]}'
"""


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(value)


def _switches(row: Variant) -> str:
    return "; ".join(f"`{name}` {_value(value)}" for name, value in row.changes.items())


def _asked(row: Variant) -> str:
    """What the request has beside a prompt."""
    parts: list[str] = []
    if row.references:
        parts.append(f"{row.references} reference{'s' * (row.references > 1)}")
    if row.size != "auto":
        parts.append(f"size {row.size}")
    if row.continued:
        parts.append("continued")
    return ", ".join(parts)


def _expected(row: Variant) -> str:
    told = (
        "an error, nothing sent"
        if row.expects == "not_sent"
        else " or ".join(f"`{each}`" for each in row.expects.split("/"))
    )
    if row.expects == "saved" and row.pictures > 1:
        told += f", {row.pictures} pictures"
    return f"{told}; {row.note}" if row.note else told


def _languages(row: Variant) -> str:
    if row.languages == ("en",):
        return ""
    return "five languages" if row.languages == FIVE else ", ".join(row.languages)


def variants_page() -> str:
    parts = [HEAD]
    for group, title in TITLES.items():
        rows = [
            (
                row.key.lstrip("0"),
                row.title,
                _switches(row),
                ", ".join(row.generations),
                ", ".join(filter(None, (_asked(row), _languages(row)))),
                _expected(row),
            )
            for row in VARIANTS
            if row.group == group
        ]
        parts.append(f"## {title}\n\n" + table(("no.", "what it does", "switches", "pages", "with", "expected"), rows))
    if missing := {row.group for row in VARIANTS} - set(TITLES):
        raise ValueError(f"no title for the groups {missing}")
    return "\n".join(parts)
