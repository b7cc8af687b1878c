"""What a dialect noted of a batch that it could not read, in the person's language.

A dialect knows no languages, and its notes are stored: lines "field: what was wrong (value)".
"""

import re

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

NOTE = re.compile(r"(?P<field>[^:]+): (?P<what>.*?)(?P<value> \(.*\))?", re.DOTALL)
PHRASES = frozenset(
    {
        gettext_noop("missing"),
        gettext_noop("not a text"),
        gettext_noop("not an id"),
        gettext_noop("not a time"),
        gettext_noop("an implausible time"),
        gettext_noop("not a number"),
        gettext_noop("negative"),
        gettext_noop("too large to be exact"),
        gettext_noop("not a whole number"),
        gettext_noop("not an object"),
        gettext_noop("more done than there are"),
        gettext_noop("a pair was cut"),
        gettext_noop("not a list of errors"),
    }
)
# Those with numbers or names in them.
SHAPES = (
    (re.compile(r"(?P<given>\d+) pairs, (?P<kept>\d+) kept"), gettext_noop("%(given)s pairs, %(kept)s kept")),
    (re.compile(r"(?P<given>\d+) given, (?P<kept>\d+) kept"), gettext_noop("%(given)s given, %(kept)s kept")),
    (re.compile(r"(?P<name>.+) was too large to keep", re.DOTALL), gettext_noop("%(name)s was too large to keep")),
)


def in_words(note: str) -> str:
    """The same note; one of another version is said as it was written."""
    found = NOTE.fullmatch(note)
    if not found:
        return note
    what = found["what"]
    if what in PHRASES:
        what = _(what)
    else:
        for shape, words in SHAPES:
            if said := shape.fullmatch(what):
                what = _(words) % said.groupdict()
                break
    return f"{found['field']}: {what}{found['value'] or ''}"
