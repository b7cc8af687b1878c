"""What stands in the search box, read into terms: words and `field:value`. A mistake costs its own term, and says so.

Terms next to each other must all hold; OR joins the two beside it; - before one turns it round; quotes keep spaces in
one value, and a comma between values means either. So `conn:prod failed:>0 outcome:partial OR outcome:expired -test`
asks for four things, the third of which may be one or the other.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from dashboard.models.batch import Outcome, Status

LONGEST = 500
MOST_TERMS = 40
# What people write for several outcomes at once; the chips above the list stand for the same.
FAILED = (Outcome.ALL_FAILED.value, Outcome.FAILED_VALIDATION.value, Outcome.FAILED.value)
OUTCOMES: Mapping[str, tuple[str, ...]] = {
    **{outcome.value: (outcome.value,) for outcome in Outcome},
    "running": (Outcome.OPEN.value,),
    "failed": FAILED,
}
STATUSES = tuple(status.value for status in Status)
COUNTS = {"total": "requests_total", "completed": "requests_completed", "failed": "failing"}
TIMES = {"created": "ordered_at", "finished": "finished_at", "deadline": "expires_at"}
TEXTS = ("model", "endpoint", "owner", "name", "id")
FIELDS = ("status", "outcome", "conn", *TEXTS, "meta.", *COUNTS, *TIMES, "window", "input")

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
THOUSANDS = {"": 1, "k": 1_000, "m": 1_000_000}
LARGEST = 2**63 - 1

_TERM = re.compile(
    r"""
    (?P<minus>-?)
    (?:(?P<field>[A-Za-z][A-Za-z_]*)(?P<key>\.(?:"[^"]*"|[^\s:"]+))?:(?P<op><=|>=|<|>|=)?)?
    (?P<value>(?:"[^"]*(?:"|$)|[^\s"])*)
    """,
    re.VERBOSE,
)
_PIECE = re.compile(r'"([^"]*)(?:"|$)|([^",]+)|(,)')
_NUMBER = re.compile(r"(\d{1,18})([km]?)", re.IGNORECASE)
_AGE = re.compile(r"(\d{1,5})([mhdw])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that is asked for. `values` are alternatives; what they are depends on the field.

    A word has the field "". Texts and metadata: what the column holds or equals (`op` "="). Counts: whole numbers,
    compared by `op`. Times: spans from and until, either of which may be None. Connections: their numbers.
    """

    field: str
    values: tuple[Any, ...]
    op: str = ""
    key: str = ""  # of metadata
    is_not: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Each clause must hold, and holds when one of its terms does."""

    clauses: tuple[tuple[Term, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.clauses)


@dataclass(frozen=True, slots=True)
class Typed:
    """A term as it was typed, and where: from `start` up to `end`."""

    text: str
    start: int
    end: int
    minus: bool
    field: str
    key: str
    op: str
    value: str


class _Mistake(Exception):
    """A term that cannot be asked; the text says why, for whoever typed it."""


def typed_in(text: str) -> Iterator[Typed]:
    """The terms of a text in order, whatever it holds."""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _TERM.match(text, at)
        assert found  # noqa: S101 (every part of it may be empty)
        yield Typed(
            text=found[0],
            start=at,
            end=found.end(),
            minus=bool(found["minus"]),
            field=(found["field"] or "").lower(),
            key=(found["key"] or "")[1:].strip('"'),
            op=found["op"] or "",
            value=found["value"],
        )
        at = found.end()


def query_of(text: str, connections: Mapping[int, str], now: datetime | None = None) -> Query:
    """Read it. `connections` are the names that `conn:` may mean; days are those of the zone that is active."""
    notes: list[str] = []
    if len(text) > LONGEST:
        text = text[:LONGEST]
        notes.append(_("The search was cut to its first %(count)d characters.") % {"count": LONGEST})
    if text.count('"') % 2:
        notes.append(_("A quotation mark is not closed, so it reaches to the end."))
    clauses: list[tuple[Term, ...]] = []
    joins, was_left_out, number = False, False, 0
    for typed in typed_in(text):
        if typed.text == "OR":
            if joins or not (clauses or was_left_out):
                notes.append(_("OR stands between two terms; one that does not is left out."))
            else:
                joins = True
            continue
        number += 1
        if number > MOST_TERMS:
            notes.append(_("Only the first %(count)d terms are asked for.") % {"count": MOST_TERMS})
            break
        try:
            term = _term_of(typed, connections, now or timezone.now(), notes)
        except _Mistake as mistake:
            notes.append(_("%(term)s is left out: %(reason)s") % {"term": _quoted(typed.text), "reason": mistake})
            # An alternative to what is left out: it stands alone, or it would narrow what was meant to be wider.
            was_left_out, joins = True, False
            continue
        if joins and clauses and not was_left_out:
            clauses[-1] = (*clauses[-1], term)
        else:
            clauses.append((term,))
        joins = was_left_out = False
    if joins:
        notes.append(_("OR stands between two terms; one that does not is left out."))
    return Query(tuple(clauses), tuple(dict.fromkeys(notes)))


def _term_of(typed: Typed, connections: Mapping[int, str], now: datetime, notes: list[str]) -> Term:
    if typed.field and typed.field not in _READERS:
        # Ids and values may have a colon in them, so it is looked for as it is.
        notes.append(
            _("There is no field %(field)s, so %(term)s is looked for as a word.")
            % {"field": typed.field, "term": _quoted(typed.text)}
        )
    if typed.field not in _READERS:
        word = typed.text.removeprefix("-") if typed.minus else typed.text
        if not (word := word.replace('"', "")):
            raise _Mistake(_("there is nothing in it."))
        return Term("", (word,), is_not=typed.minus)
    values = _values_in(typed.value)
    if not values:
        raise _Mistake(_("a value is missing behind the colon."))
    return replace(_READERS[typed.field](typed, values, connections, now), is_not=typed.minus)


def _values_in(text: str) -> list[str]:
    """`a,"b c"` is a and b c."""
    values = [""]
    for quoted, plain, comma in _PIECE.findall(text):
        if comma:
            values.append("")
        else:
            values[-1] += quoted or plain
    return [value.strip() for value in values if value.strip()]


def _quoted(text: str) -> str:
    return f"“{text}”"


def text_of(term: Term) -> str:
    """What to type for a term of one text, in quotes; empty when it cannot be typed, as with a quote in it."""
    (value,) = term.values
    field = f'meta."{term.key}"' if term.field == "meta" else term.field
    text = f'{field}:{term.op}"{value}"'
    # A star at the end asks for more than the value, and blanks around it are cut: only reading it again tells.
    is_same = query_of(text, {}) == Query(((term,),)) and not (term.field == "meta" and value.endswith("*"))
    return text if is_same and "\0" not in text else ""


# --- Fields -----------------------------------------------------------------------------------------------------------

type Names = Mapping[int, str]


def _choice(typed: Typed, values: list[str], choices: Mapping[str, tuple[str, ...]]) -> Term:
    _no_comparing(typed)
    found: list[str] = []
    for value in values:
        code = value.lower().replace(" ", "_").replace("-", "_")
        if code not in choices:
            said = {"value": _quoted(value), "field": typed.field, "choices": ", ".join(choices)}
            raise _Mistake(_("%(value)s is no %(field)s; there are %(choices)s.") % said)
        found += choices[code]
    return Term(typed.field, tuple(dict.fromkeys(found)))


def _status(typed: Typed, values: list[str], names: Names, now: datetime) -> Term:
    # The chips above the list have words of their own, and whoever types one means what the chip does.
    if all(value.lower() in OUTCOMES and value.lower() not in STATUSES for value in values):
        return _outcome(replace(typed, field="outcome"), values, names, now)
    return _choice(typed, values, {status: (status,) for status in STATUSES})


def _outcome(typed: Typed, values: list[str], _names: Names, _now: datetime) -> Term:
    return _choice(typed, values, OUTCOMES)


def _connection(typed: Typed, values: list[str], names: Names, _now: datetime) -> Term:
    """Those whose name is the value, or else those whose name has it."""
    found: list[int] = []
    for value in values:
        wanted = value.casefold()
        same = [pk for pk, name in names.items() if name.casefold() == wanted]
        alike = same or [pk for pk, name in names.items() if typed.op != "=" and wanted in name.casefold()]
        if not alike:
            known = ", ".join(_quoted(name) for name in list(names.values())[:8])
            said = {"value": _quoted(value), "names": known or _("none yet")}
            raise _Mistake(_("no connection is called %(value)s; there are %(names)s.") % said)
        found += alike
    return Term("conn", tuple(dict.fromkeys(found)))


def _text(typed: Typed, values: list[str], _names: Names, _now: datetime) -> Term:
    if typed.op not in ("", "="):
        raise _Mistake(_("%(field)s is a text, which is neither more nor less.") % {"field": typed.field})
    return Term(typed.field, tuple(values), typed.op)


def _window(typed: Typed, values: list[str], _names: Names, _now: datetime) -> Term:
    _no_comparing(typed)
    return Term("window", tuple(value.lower() for value in values))


def _input(typed: Typed, values: list[str], _names: Names, _now: datetime) -> Term:
    """The id of the input file, whole: those of two uploads are never nearly the same."""
    _no_comparing(typed)
    return Term("input", tuple(values))


def _meta(typed: Typed, values: list[str], _names: Names, _now: datetime) -> Term:
    _no_comparing(typed)
    if not typed.key:
        raise _Mistake(_("it needs a key of the metadata, as in meta.team:search."))
    return Term("meta", tuple(values), key=typed.key)


def _count(typed: Typed, values: list[str], _names: Names, _now: datetime) -> Term:
    numbers: list[tuple[int, int]] = []
    for value in values:
        least, dots, most = value.partition("..")
        low, high = _number(least or "0"), _number(most) if most else None
        if dots and typed.op not in ("", "="):
            raise _Mistake(_("two dots and a comparison do not go together."))
        if not dots:
            bounds = {">": (low + 1, LARGEST), ">=": (low, LARGEST), "<": (0, low - 1), "<=": (0, low)}
            numbers.append(bounds.get(typed.op, (low, low)))
        else:
            numbers.append((low, LARGEST if high is None else high))
    return Term(typed.field, tuple(numbers))


def _number(text: str) -> int:
    found = _NUMBER.fullmatch(text.replace("_", ""))
    if not found:
        raise _Mistake(_("%(value)s is no number; write 100, >0, 2k or 10..50.") % {"value": _quoted(text)})
    return min(int(found[1]) * THOUSANDS[found[2].lower()], LARGEST - 1)


def _time(typed: Typed, values: list[str], _names: Names, now: datetime) -> Term:
    spans: list[tuple[datetime | None, datetime | None]] = []
    # Deadlines lie ahead: deadline:<2h is one in less than two hours, as created:>2h is less than two hours ago.
    is_ahead = typed.field == "deadline"
    for value in values:
        earliest, dots, latest = value.partition("..")
        if dots:
            begin = _moment(earliest, now, is_ahead=is_ahead)[0] if earliest else None
            end = _moment(latest, now, is_ahead=is_ahead)[1] if latest else None
            spans.append((begin, end))
            continue
        begin, end = _moment(value, now, is_ahead=is_ahead)
        is_age = begin == end
        match typed.op:
            case ">" | ">=":
                spans.append((begin if typed.op == ">=" or is_age else end, None))
            case "<" | "<=":
                spans.append((None, begin if typed.op == "<" or is_age else end))
            case _ if is_age:
                # created:7d is the last seven days, deadline:2h the next two hours.
                spans.append((now, begin) if is_ahead else (begin, None))
            case _:
                spans.append((begin, end))
    return Term(typed.field, tuple(spans))


def _moment(text: str, now: datetime, *, is_ahead: bool) -> tuple[datetime, datetime]:
    """From and until, at whole seconds: a day has two ends, `7d` (seven days ago, or ahead) has one."""
    zone, word = timezone.get_current_timezone(), text.lower()
    today = now.astimezone(zone).date()
    try:
        if found := _AGE.fullmatch(word):
            away = timedelta(**{UNITS[found[2]]: int(found[1])})
            moment = now.replace(microsecond=0) + (away if is_ahead else -away)
            return moment, moment
        if word in ("today", "yesterday"):
            day = today - timedelta(days=word == "yesterday")
        elif len(text) > len("2026-11-22"):
            moment = datetime.fromisoformat(text).replace(microsecond=0)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
            return moment, moment + timedelta(minutes=1)
        else:
            day = date.fromisoformat(text)
        begin = datetime.combine(day, time.min, zone)
        return begin, datetime.combine(day + timedelta(days=1), time.min, zone)
    except (ValueError, OverflowError):
        said = {"value": _quoted(text)}
        raise _Mistake(_("%(value)s is no time; write 7d, 24h, today or 2026-11-22.") % said) from None


def _no_comparing(typed: Typed) -> None:
    if typed.op not in ("", "="):
        raise _Mistake(_("%(field)s can be the same or not, but neither more nor less.") % {"field": typed.field})


type _Reader = Callable[[Typed, list[str], Names, datetime], Term]
_READERS: Mapping[str, _Reader] = {
    "status": _status,
    "outcome": _outcome,
    "conn": _connection,
    "window": _window,
    "input": _input,
    "meta": _meta,
    **dict.fromkeys(TEXTS, _text),
    **dict.fromkeys(COUNTS, _count),
    **dict.fromkeys(TIMES, _time),
}
