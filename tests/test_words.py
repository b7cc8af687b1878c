"""The translations: complete, true to their strings, compiled, and kept so by a command."""

import ast
import re
import sys
from collections import Counter
from gettext import GNUTranslations
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from django.conf import settings
from django.core.management import CommandError, call_command

from dashboard.dialects import fields, record
from dashboard.insight import oddities
from dashboard.management import catalog

PLACES = re.compile(r"%\(\w+\)0?\d?[sd]|%%|\{\w*\}|<[^>]+>")
LANGUAGES = [code for code, _name in settings.LANGUAGES if code != "en"]


@pytest.fixture(scope="module")
def found() -> Catalog:
    return catalog.found()


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ids_of(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def test_every_offered_language_has_a_catalog_and_nothing_else_has() -> None:
    assert catalog.languages() == sorted(LANGUAGES)


def test_every_string_that_people_see_is_translated(language: str, found: Catalog) -> None:
    known = catalog.read(language)
    missing = [message.id for message in found if message.id and not known.get(ids_of(message)[0], message.context)]
    assert missing == [], "run manage.py words, then translate what it names"
    assert catalog.untranslated(known) == []
    assert [message.id for message in known if message.id and message.fuzzy] == []


def test_no_translation_is_kept_of_what_nobody_says_any_more(language: str, found: Catalog) -> None:
    gone = [
        message.id
        for message in catalog.read(language)
        if message.id and not found.get(ids_of(message)[0], message.context)
    ]
    assert gone == [], "run manage.py words"


def test_a_translation_has_the_places_and_the_markup_of_its_string(language: str) -> None:
    # The singular may leave the number out, as in "One group is new".
    assert [
        (message.id, string)
        for message in catalog.read(language)
        if message.id
        for string in catalog.strings_of(message)
        if Counter(PLACES.findall(string)) not in [Counter(PLACES.findall(one)) for one in ids_of(message)]
    ] == []


def test_a_plural_has_a_form_for_each_number(language: str) -> None:
    known = catalog.read(language)
    plurals = [message for message in known if message.id and message.pluralizable]
    assert plurals
    assert [message.id for message in plurals if len(catalog.strings_of(message)) != known.num_plurals] == []


def test_what_is_compiled_is_what_is_written(language: str) -> None:
    """By what is in it: the head names the version of Babel."""
    kept = said_by(catalog.po_of(language).with_suffix(".mo").read_bytes())
    assert len(kept) > 1_000
    assert kept == said_by(catalog.compiled(language)), "run manage.py words"


def said_by(compiled: bytes) -> dict[Any, str]:
    translations: dict[Any, str] = GNUTranslations(BytesIO(compiled))._catalog  # type: ignore[attr-defined]
    return {key: words for key, words in translations.items() if key}


def test_strings_are_found_in_templates_too(found: Catalog) -> None:
    """In a tag, in a block with a plural, in the argument of another tag, of a filter, and with a context."""
    assert "Skip to content" in found
    assert found["%(count)s group"].id == ("%(count)s group", "%(count)s groups")
    assert "Copy the id" in found
    assert "not reported" in found
    assert found.get("Failed", "head of a column")
    assert not any(len(message.id) == 1 for message in found), "a key of ours was taken for a string"


def test_the_command_keeps_what_is_translated_and_names_what_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = catalog.po_of("de").read_text()
    monkeypatch.setattr(catalog, "LOCALE", tmp_path)
    catalog.po_of("de").parent.mkdir(parents=True)
    catalog.po_of("de").write_text(source.replace('msgstr "Zum Inhalt"', 'msgstr ""'))
    said = StringIO()
    call_command("words", stdout=said)
    assert "1 without a translation\n  Skip to content\n" in said.getvalue()
    assert catalog.read("de")["Close"].string == "Schließen"
    catalog.po_of("de").write_text(
        catalog.po_of("de")
        .read_text()
        .replace('"Skip to content"\nmsgstr ""', '"Skip to content"\nmsgstr "Zum Inhalt"')
    )
    call_command("words", stdout=said)
    assert catalog.po_of("de").read_text() == source, "a run that finds nothing new changes nothing"


def test_a_new_language_begins_with_an_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "LOCALE", tmp_path)
    catalog.po_of("pl").parent.mkdir(parents=True)
    catalog.po_of("pl").touch()
    said = StringIO()
    call_command("words", stdout=said)
    assert said.getvalue().startswith("pl: ")
    assert catalog.read("pl").num_plurals == 3
    assert "Skip to content" in catalog.read("pl")


def test_without_babel_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "dashboard.management.catalog")
    monkeypatch.delattr("dashboard.management.catalog")
    monkeypatch.setitem(sys.modules, "babel.messages.catalog", None)
    with pytest.raises(CommandError, match="Babel is not installed"):
        call_command("words")


def test_what_a_dialect_may_note_of_a_batch_is_known() -> None:
    """Read off the code of the dialects: a new note without words of its own would stay English."""
    noted = []
    for module in (fields, record):
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "note":
                what = node.args[1]
                if isinstance(what, ast.Constant):
                    noted.append(str(what.value))
                elif isinstance(what, ast.JoinedStr):
                    noted.append(
                        "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in what.values)
                    )
    assert len(noted) > 10
    strange = [
        what
        for what in noted
        if what not in oddities.PHRASES and not any(shape.fullmatch(what) for shape, _words in oddities.SHAPES)
    ]
    assert strange == []
