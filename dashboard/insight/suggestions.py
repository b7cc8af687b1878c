"""What could stand where somebody is typing in the search box: fields, and the values that there are."""

import threading
import time
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.insight.outcome import count
from dashboard.insight.query import COUNTS, OUTCOMES, STATUSES, TIMES, Typed, typed_in
from dashboard.models import Batch, Facet
from dashboard.models.batch import Outcome, Status
from dashboard.models.connection import Visible

MOST = 10
RECENT = 500  # batches whose metadata is offered: a value that nobody uses any more is no help
RECENT_SECONDS = 30.0
LONGEST_VALUE = 80
# Each field with what it is for, in the order in which they are offered.
FIELDS: tuple[tuple[str, Any], ...] = (
    ("status:", gettext_lazy("as the vendor reports it")),
    ("outcome:", gettext_lazy("what became of it")),
    ("conn:", gettext_lazy("a part of the connection’s name")),
    ("model:", gettext_lazy("a part of the model’s name")),
    ("endpoint:", gettext_lazy("a part of the endpoint")),
    ("owner:", gettext_lazy("a part of the owner")),
    ("meta.", gettext_lazy("a key of the metadata and its value")),
    ("failed:", gettext_lazy("failed requests: >0, 10..50")),
    ("created:", gettext_lazy("7d, today, >2026-11-01")),
    ("finished:", gettext_lazy("24h, yesterday")),
    ("deadline:", gettext_lazy("2h: within two hours")),
    ("name:", gettext_lazy("a part of the name")),
    ("id:", gettext_lazy("how the id begins or ends")),
    ("total:", gettext_lazy("requests in all")),
    ("completed:", gettext_lazy("completed requests")),
    ("window:", gettext_lazy("completion window")),
    ("input:", gettext_lazy("the id of the input file")),
)
SPANS = {"deadline": ("1h", "2h", "6h", "24h")}
SPANS_BACK = ("1h", "24h", "7d", "30d", "today", "yesterday")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`text` is the whole box with the term in its place, `at` where the cursor then stands."""

    term: str
    hint: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class _Recent:
    read_at: float
    owners: Tally[str] = field(default_factory=Tally)
    windows: Tally[str] = field(default_factory=Tally)
    values: dict[str, Tally[str]] = field(default_factory=dict)  # by key of the metadata


def suggestions(
    text: str, at: int, batches: QuerySet[Batch], names: Iterable[str], visible: Visible
) -> list[Suggestion]:
    """For the term that the cursor stands in or behind; `batches` and `names` are what this person may see."""
    typed = next((one for one in typed_in(text) if one.start < at <= one.end), None)
    before, after = (text[: typed.start], text[typed.end :]) if typed else (text[:at], text[at:])
    found = []
    for term, hint in _terms(typed, batches, names, visible):
        whole = ("-" if typed and typed.minus else "") + term
        # A finished term wants a space behind it, a field its value.
        end = "" if term.endswith((":", ".")) or after.startswith(" ") else " "
        if typed and typed.text == whole:
            continue
        found.append(Suggestion(whole, hint, before + whole + end + after, len(before + whole + end)))
        if len(found) == MOST:
            break
    return found


def _terms(
    typed: Typed | None, batches: QuerySet[Batch], names: Iterable[str], visible: Visible
) -> Iterator[tuple[str, str]]:
    if typed is None:
        yield from ((name, str(hint)) for name, hint in FIELDS)
        return
    if typed.field:
        begin = f"{typed.field}:{typed.op if typed.field not in COUNTS else ''}"
        if typed.field == "meta" and typed.key:
            begin = f"meta.{_value(typed.key)}:"
        so_far = typed.value.strip('"').casefold()
        values = _values(typed.field, typed.key, batches, names, visible)
        yield from ((begin + _value(value), hint) for value, hint in _best(so_far, values))
        return
    word = typed.text.removeprefix("-").casefold()
    if word.startswith("meta."):
        keys = _recent(batches, visible).values
        key = word.removeprefix("meta.").strip('"')
        best = _best(key, ((one, "") for one in sorted(keys, key=lambda one: -keys[one].total())))
        yield from ((f"meta.{_value(one)}:", _few(keys[one])) for one, _hint in best)
        return
    yield from ((name, str(hint)) for name, hint in FIELDS if name.startswith(word))


def _values(
    name: str, key: str, batches: QuerySet[Batch], names: Iterable[str], visible: Visible
) -> Iterable[tuple[str, str]]:
    match name:
        case "status":
            return [(status, str(Status(status).label)) for status in STATUSES]
        case "outcome":
            labels = {outcome.value: str(outcome.label) for outcome in Outcome}
            return [(code, labels.get(code, "")) for code in OUTCOMES if code != "open"]
        case "conn":
            return [(one, "") for one in names]
        case "model" | "endpoint":
            facets = Facet.objects.filter(field=name)
            facets = facets if visible is None else facets.filter(connection__in=visible)
            return [(one, "") for one in facets.values_list("value", flat=True).distinct().order_by("value")[:500]]
        case "owner":
            return _counted(_recent(batches, visible).owners)
        case "window":
            return _counted(_recent(batches, visible).windows)
        case "meta":
            return _counted(_recent(batches, visible).values.get(key, Tally()))
        case _ if name in COUNTS:
            return [(">0", _("any")), (">100", ""), ("0", _("none"))]
        case _ if name in TIMES:
            return [(span, "") for span in SPANS.get(name, SPANS_BACK)]
    return []


def _counted(tally: Tally[str]) -> list[tuple[str, str]]:
    return [(value, _("%(count)s lately") % {"count": count(times)}) for value, times in tally.most_common()]


def _best(so_far: str, values: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What begins with what was typed, then what has it somewhere."""
    alike = [(value, hint) for value, hint in values if so_far in value.casefold()]
    return sorted(alike, key=lambda one: not one[0].casefold().startswith(so_far))


def _few(values: Tally[str]) -> str:
    return ", ".join(value for value, _times in values.most_common(3))[:LONGEST_VALUE]


def _value(value: str) -> str:
    return f'"{value}"' if any(sign.isspace() or sign in ',:"' for sign in value) else value


_lock = threading.Lock()
_latest: dict[Visible, _Recent] = {}
_MOST_KEPT = 100


def _recent(batches: QuerySet[Batch], visible: Visible) -> _Recent:
    """What the newest batches have, read every half a minute at most by a process for those who may see the same."""
    known = _latest.get(visible)
    if known and time.monotonic() - known.read_at < RECENT_SECONDS:
        return known
    recent = _Recent(time.monotonic())
    rows = batches.order_by("-place").values_list("owner", "completion_window", "metadata")[:RECENT]
    for owner, window, metadata in rows:
        recent.owners[owner] += bool(owner)
        recent.windows[window] += bool(window)
        for key, value in metadata.items():
            # What cannot be typed is not offered: a quotation mark has no other in our language.
            if value and '"' not in key + value and len(value) <= LONGEST_VALUE and len(key) <= LONGEST_VALUE:
                recent.values.setdefault(key, Tally())[value] += 1
    for tally in (recent.owners, recent.windows):
        for value in [value for value in tally if not value or '"' in value or len(value) > LONGEST_VALUE]:
            del tally[value]
    with _lock:
        if len(_latest) >= _MOST_KEPT:
            _latest.clear()
        _latest[visible] = recent
    return recent
