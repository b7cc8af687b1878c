"""The requests of a batch: a row for each that failed, and for the succeeded ones while somebody asks for them.

The rows come from the lines of the error and the output file. They are shown in that order and then by line, so a page
is a range of the index of lines, whatever the filter.
"""

import re
from dataclasses import dataclass, replace
from typing import Any, Self

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from dashboard.access import READ_BODIES, ROLE_NAMES, role_needed
from dashboard.insight.advice import advice_of
from dashboard.insight.batch_files import NAMES, BatchFile, files_of, state_in_words
from dashboard.insight.outcome import amid, count
from dashboard.middleware import polled, pulse_of
from dashboard.models import Batch, BatchError, ErrorGroup, FileKind, FileRead, Result
from dashboard.sync import bodies
from dashboard.sync.acts import Busy
from dashboard.sync.files import NoFile
from dashboard.templatetags.times import clock_words
from dashboard.views.batch import find
from dashboard.views.batch_errors import (
    has_moved,
    kept_until,
    live_context,
    may_read_bodies,
    number_in,
    tabs_context,
    tabs_of,
)
from dashboard.views.batch_files import for_readers, note
from dashboard.views.batches import is_htmx
from dashboard.views.input_line import FileLine, line_of_input, line_page, read_input, why_unreadable

PAGE = 50
LONGEST_SEARCH = 512
CURSOR = re.compile(r"(error|output)\.(\d{1,10})")

FAILING = (Result.State.FAILED, Result.State.NEVER_RAN)
# The word in the address, what the chip says, how it is drawn, which states it stands for.
OUTCOMES: tuple[tuple[str, Any, str, tuple[str, ...] | None], ...] = (
    ("", gettext_lazy("Failing"), "failed", FAILING),
    ("failed", gettext_lazy("Failed"), "failed", (Result.State.FAILED,)),
    ("never_ran", gettext_lazy("Never ran"), "expired", (Result.State.NEVER_RAN,)),
    ("succeeded", gettext_lazy("Succeeded"), "succeeded", (Result.State.SUCCEEDED,)),
    ("all", gettext_lazy("All"), "", None),
)
STATES = {slug: states for slug, _label, _state, states in OUTCOMES}
DRAWN = {"failed": "failed", "never_ran": "expired", "succeeded": "succeeded"}
# Where rows are found, in the order in which they are shown.
KINDS = (FileKind.ERROR.value, FileKind.OUTPUT.value)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of one row: its file and its line."""

    kind: str
    line: int

    def __str__(self) -> str:
        return f"{self.kind}.{self.line}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks for. Values that make no sense are left out, and a note says so."""

    q: str = ""
    outcome: str = ""
    http: int | None = None
    group: int | None = None
    before: Cursor | None = None
    after: Cursor | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: QueryDict) -> Self:
        notes: list[str] = []
        q = query.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH]
        outcome = query.get("outcome", "")
        if outcome not in STATES:
            outcome = ""
            notes.append(_("There is no such outcome, so the failing ones are shown."))
        asked = cls(q, outcome, whole(query.get("http", ""), 3), whole(query.get("group", ""), 18))
        if query.get("http") and asked.http is None:
            notes.append(_("There is no such status, so all are shown."))
        if query.get("group") and asked.group is None:
            notes.append(_("There is no such error, so all are shown."))
        before, after = (cursor_in(query.get(name, ""), notes) for name in ("before", "after"))
        return replace(asked, before=before, after=after, notes=tuple(notes))

    @property
    def is_filtered(self) -> bool:
        return bool(self.q or self.http or self.group)

    @property
    def wants_succeeded(self) -> bool:
        states = STATES[self.outcome]
        return states is None or Result.State.SUCCEEDED in states

    def values(self) -> dict[str, Any]:
        return {"q": self.q, "outcome": self.outcome, "http": self.http, "group": self.group}

    def link(self, **changes: Any) -> str:
        """The address of this list with some of it changed; the place in it is left behind."""
        return "?" + urlencode(
            {name: value for name, value in (self.values() | changes).items() if value not in ("", None)}
        )

    def rows(self, read: FileRead) -> QuerySet[Result]:
        """What is asked for of one file, in no order yet."""
        found = Result.objects.filter(read=read)
        if (states := STATES[self.outcome]) is not None:
            found = found.filter(state__in=states)
        if self.http is not None:
            found = found.filter(http_status=self.http)
        if self.group is not None:
            found = found.filter(group=self.group)
        if self.q:
            wanted = Q(custom_id__icontains=self.q)
            if read.failed or read.never_ran:
                # Only what failed has words: of fifty thousand that succeeded these need not be fetched.
                wanted |= Q(words__icontains=self.q)
            found = found.filter(wanted)
        return found


def cursor_in(text: str, notes: list[str]) -> Cursor | None:
    if match := CURSOR.fullmatch(text):
        return Cursor(match[1], int(match[2]))
    if text:
        notes.append(_("The place in the list could not be read, so it starts at the top."))
    return None


def whole(text: str, digits: int) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= digits else None


@dataclass(frozen=True, slots=True)
class Row:
    result: Result
    kind: str
    url: str
    state: str
    words: str
    error: str


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[tuple[str, Result]]
    newer: bool
    older: bool


def page_of(reads: dict[str, FileRead], asked: Asked) -> Page:
    """One page by keyset, file by file. Going back reads the same files from behind."""
    if asked.after:
        kinds = [kind for kind in reversed(KINDS) if KINDS.index(kind) <= KINDS.index(asked.after.kind)]
        found: list[tuple[str, Result]] = []
        for kind in kinds:
            if kind in reads and len(found) <= PAGE:
                rows = asked.rows(reads[kind])
                if kind == asked.after.kind:
                    rows = rows.filter(line__lt=asked.after.line)
                found += [(kind, row) for row in rows.order_by("-line")[: PAGE + 1 - len(found)]]
        if len(found) > PAGE:
            return Page(found[:PAGE][::-1], newer=True, older=True)
        # The top is nearer than a whole page: show the top.
    before = None if asked.after else asked.before
    found = []
    for kind in KINDS:
        if kind not in reads or len(found) > PAGE or (before and KINDS.index(kind) < KINDS.index(before.kind)):
            continue
        rows = asked.rows(reads[kind])
        if before and kind == before.kind:
            rows = rows.filter(line__gt=before.line)
        found += [(kind, row) for row in rows.order_by("line")[: PAGE + 1 - len(found)]]
    return Page(found[:PAGE], newer=bool(before), older=len(found) > PAGE)


# --- The list ---------------------------------------------------------------------------------------------------------


@polled
@require_GET
def batch_requests(request: HttpRequest, pk: int) -> HttpResponse:
    pulse_of(request)  # before the rows: what moves in between is asked for again
    found = find(request, pk)
    asked = Asked.of(request.GET)
    files = files_of(found)
    context = listed(request, found, asked, files) | {"moved": has_moved(request, found, files)}
    if not is_htmx(request):
        template = "batch_requests/batch_requests.html"
    else:
        template = f"batch_requests/{'_changed' if 'seen' in request.GET else '_refreshed'}.html"
    return render(request, template, context)


def listed(request: HttpRequest, batch: Batch, asked: Asked, files: dict[str, BatchFile]) -> dict[str, Any]:
    reads = {kind: shown for kind in KINDS if (shown := files[kind].shown)}
    page = page_of(reads, asked)
    errors = list(BatchError.objects.filter(batch=batch).select_related("group").order_by("-requests", "pk"))
    groups = {error.group_id: error.group for error in errors}
    base = reverse("batch-requests", args=[batch.pk])  # a request stands below; resolving fifty takes a while
    lacking = asked.wants_succeeded and bool(batch.output_file_id) and not holds_succeeded(files["output"])
    context = {
        "batch": batch,
        "page": "batch-requests",
        "asked": asked,
        "rows": [row_of(base, kind, result, groups) for kind, result in page.rows],
        "chips": chips_of(asked, reads, batch),
        "groups": groups,
        "statuses": sorted({group.http_status for group in groups.values() if group.http_status}),
        "notes": notes_of(batch, files, asked),
        "lacks_succeeded": lacking,
        "has_tokens": any(result.tokens_input is not None for _kind, result in page.rows),
        "output": files["output"],
        "error_file": files["error"],
        "can_read": may_read_bodies(request),
        "role_needed": ROLE_NAMES[role_needed(READ_BODIES)],
        "kept_until": kept_until(batch),
        "clear_url": asked.link(q="", http=None, group=None),
        "export_query": asked.link() if asked.link() != "?" else "",
        "tabs": tabs_of(batch, len(groups), sum(error.requests for error in errors)),
    }
    if page.rows and page.newer:
        context["newer"] = asked.link(after=Cursor(page.rows[0][0], page.rows[0][1].line))
    if page.rows and page.older:
        context["older"] = asked.link(before=Cursor(page.rows[-1][0], page.rows[-1][1].line))
    place = {"before": asked.before, "after": asked.after}
    return context | live_context(request, batch, files, **asked.values(), **place)


def row_of(base: str, kind: str, result: Result, groups: dict[int, ErrorGroup]) -> Row:
    group = groups.get(result.group_id) if result.group_id else None
    words = result.words or (group.message if group else "")
    return Row(
        result=result,
        kind=str(NAMES[kind]),
        url=f"{base}{kind}/{result.line}/",
        state=DRAWN[result.state],
        words=str(Result.State(result.state).label),
        error=" ".join(filter(None, [group.code if group else "", words])),
    )


def chips_of(asked: Asked, reads: dict[str, FileRead], batch: Batch) -> list[tuple[str, Any, str, int | None, str]]:
    """How many there are of each outcome, by the lines that were read. Searches are not counted."""
    # What was not read is not known: then the vendor's own counts stand there.
    is_read = "error" in reads or not batch.error_file_id
    failed = sum(read.failed for read in reads.values()) if is_read else batch.failed
    never = sum(read.never_ran for read in reads.values())
    numbers = {
        "": failed + never if failed is not None else None,
        "failed": failed,
        "never_ran": never,
        "succeeded": reads["output"].succeeded if "output" in reads else batch.completed,
        "all": batch.requests_total,
    }
    # One kind of failure needs no chip of its own.
    both = bool(failed and never)
    return [
        (slug, label, state, numbers[slug], asked.link(outcome=slug))
        for slug, label, state, _states in OUTCOMES
        if slug not in ("failed", "never_ran") or both or asked.outcome == slug
    ]


def holds_succeeded(output: BatchFile) -> bool:
    """Rows of succeeded requests are thrown away a while after somebody asked; then the file must be read again."""
    read = output.shown
    if read is None:
        return False
    return not read.succeeded or Result.objects.filter(read=read, state=Result.State.SUCCEEDED).exists()


def notes_of(batch: Batch, files: dict[str, BatchFile], asked: Asked) -> list[tuple[BatchFile, list[str]]]:
    """What was not read of the files that these rows come from."""
    kinds = [FileKind.ERROR.value]
    if asked.wants_succeeded or files["output"].latest:
        kinds.append(FileKind.OUTPUT.value)
    return [(files[kind], state_in_words(files[kind], batch, clock_words)) for kind in kinds]


# --- One request ------------------------------------------------------------------------------------------------------


@require_GET
def batch_request(request: HttpRequest, pk: int, kind: str, line: int) -> HttpResponse:
    return render(request, "batch_requests/request.html", one(request, pk, kind, line))


@for_readers
@require_POST
def body(request: HttpRequest, pk: int, kind: str, line: int) -> HttpResponseBase:
    """The same page with the line itself, read at the vendor for this one look."""
    context = one(request, pk, kind, line)
    batch, result = context["batch"], context["result"]
    note(request, "read.body", batch, f"{kind} file, line {line}, custom_id {result.custom_id}")
    try:
        context["got"] = context["got"].with_text(bodies.body_of(result))
    except (Busy, bodies.Unavailable) as refused:
        context["got"] = context["got"].refused(refused)
    return line_page(request, "batch_requests/request.html", context, context["got"])


@for_readers
@require_POST
def given(request: HttpRequest, pk: int, kind: str, line: int) -> HttpResponseBase:
    """The same page with the line of the input file that asked for this, found there by its custom_id."""
    context = one(request, pk, kind, line)
    batch, result, number = context["batch"], context["result"], context["input_line"]
    place = f"line {number}, custom_id" if number else "custom_id"
    note(request, "read.body", batch, f"input file, {place} {result.custom_id}")
    if number:
        context["given"] = read_input(context["given"], batch, number)
    else:
        context |= looked_up(request, context)
    return line_page(request, "batch_requests/request.html", context, context["given"])


def looked_up(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The line of the input file and its number, where the number is not known."""
    batch, result, line = context["batch"], context["result"], context["given"]
    try:
        found = bodies.request_of(batch, result.custom_id)
    except (Busy, bodies.Unavailable, NoFile) as refused:
        return {"given": line.refused(refused)}
    if found is None:
        return {"given": replace(line, cause=_("No line of the input file has this custom_id."))}
    file = files_of(batch)[FileKind.INPUT]
    placed = line_of_input(request, batch, file, found.line, line.url)
    return {"given": placed.with_text(found), "input_line": found.line}


def one(request: HttpRequest, pk: int, kind: str, line: int) -> dict[str, Any]:
    batch = find(request, pk)
    if kind not in KINDS:
        raise Http404
    files = files_of(batch)
    read = files[kind].shown
    results = Result.objects.select_related("group", "read__batch__connection")
    result = results.filter(read=read, line=line).first() if read else None
    if result is None:
        raise Http404
    number = input_line_of(batch, result)
    return {
        "batch": batch,
        "page": "batch-requests",
        "result": result,
        "kind": kind,
        "state": DRAWN[result.state],
        "advice": advice_of(result.group.retry) if result.group else None,
        "got": line_of_result(request, batch, files[kind], line),
        "given": line_of_input(
            request, batch, files[FileKind.INPUT], number, reverse("batch-request-input", args=[pk, kind, line])
        ),
        "input_line": number,
        "role_needed": ROLE_NAMES[role_needed(READ_BODIES)],
        "kept_until": kept_until(batch),
    } | tabs_context(batch)


def line_of_result(request: HttpRequest, batch: Batch, file: BatchFile, line: int) -> FileLine:
    """What came back, as one line of the output or error file."""
    return FileLine(
        slug="result",
        title=_("What came back"),
        place=_("line %(line)s of the %(file)s") % {"line": count(line), "file": amid(file.label)},
        url=reverse("batch-request-body", args=[batch.pk, file.kind, line]),
        button=_("Read the line"),
        has_right=may_read_bodies(request),
        why_not=why_unreadable(batch, file),
    )


def input_line_of(batch: Batch, result: Result) -> int | None:
    """On which line of the input file it stood; known of the samples of each error, once that file was read."""
    if not result.custom_id or result.group_id is None:
        return None
    errors = BatchError.objects.filter(batch=batch, group=result.group_id)
    samples = (sample for error in errors for sample in error.samples if isinstance(sample, dict))
    known = (number_in(sample, "input_line") for sample in samples if sample.get("custom_id") == result.custom_id)
    return next(filter(None, known), None)
