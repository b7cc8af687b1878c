"""The catalog of translations: every string of the code and the templates, found without GNU gettext.

Babel is a development tool: what runs reads the compiled catalogs, which are kept beside their sources.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

LOCALE = Path(settings.BASE_DIR) / "dashboard" / "locale"
FUNCTIONS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
COMMENT = "Translators:"


def sources() -> Iterator[tuple[str, bytes]]:
    """What to look through: where it stands, and as Python."""
    base = Path(settings.BASE_DIR)
    for path in sorted((base / "dashboard").rglob("*.py")):
        yield path.relative_to(base).as_posix(), path.read_bytes()
    for path in sorted((base / "templates").rglob("*.html")):
        # Calls among blotted-out words, which Python reads as names when no line is indented.
        code = re.sub(r"(?m)^[ \t]+", "", templatize(path.read_text(), origin=path.name))
        yield path.relative_to(base).as_posix(), code.encode()


def found() -> Catalog:
    """Every string that the code and the templates hold."""
    catalog = Catalog(charset="utf-8")
    for place, code in sources():
        for _line, ids, comments, context in extract("python", BytesIO(code), FUNCTIONS, [COMMENT]):
            catalog.add(ids, None, [(place, 0)], auto_comments=comments, context=context)
    return catalog


def languages() -> list[str]:
    """Those that have a catalog; English is in the code."""
    return sorted(path.parent.parent.name for path in LOCALE.glob("*/LC_MESSAGES/django.po"))


def po_of(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "django.po"


def read(language: str) -> Catalog:
    with po_of(language).open("rb") as file:
        return read_po(file, locale=language)


def update(language: str, template: Catalog) -> Catalog:
    """Bring a catalog in line with what was found. New strings come without a translation: a guess would be shown."""
    catalog = read(language)
    catalog.update(template, no_fuzzy_matching=True, update_creation_date=False)
    for message in catalog:
        message.locations = sorted({(place, None) for place, _line in message.locations})  # type: ignore[misc]
    with po_of(language).open("wb") as file:
        write_po(file, catalog, width=110, ignore_obsolete=True, include_lineno=False)
    with po_of(language).with_suffix(".mo").open("wb") as file:
        write_mo(file, catalog)
    return catalog


def compiled(language: str) -> bytes:
    """What the translations compile to."""
    file = BytesIO()
    write_mo(file, read(language))
    return file.getvalue()


def untranslated(catalog: Catalog) -> list[Message]:
    return [message for message in catalog if message.id and not all(strings_of(message))]


def strings_of(message: Message) -> list[str]:
    """Its translation, or each of its plural forms."""
    return list(message.string) if isinstance(message.string, list | tuple) else [message.string or ""]
