"""One line of one of a batch's files, as a piece of a page: who may see it, and why it is not there.

And the page of a line of the input file, which a failed validation names.
"""

from dataclasses import dataclass, replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from dashboard.access import READ_BODIES, ROLE_NAMES, role_needed
from dashboard.insight.batch_files import BatchFile, files_of, gone_in_words
from dashboard.insight.outcome import count
from dashboard.models import Batch, FileKind
from dashboard.sync import bodies
from dashboard.sync.acts import Busy
from dashboard.sync.files import NoFile
from dashboard.templatetags.times import clock_words
from dashboard.views.batch import find, pretty
from dashboard.views.batch_errors import may_read_bodies, tabs_context
from dashboard.views.batch_files import for_readers, note, why_refused
from dashboard.views.batches import is_htmx

BODY_SHOWN = 200_000  # characters


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line that is read only when somebody asks. `text` is None until then, and when it could not be had."""

    slug: str
    title: str
    place: str  # line 4 of the error file
    url: str  # what reads it
    button: str
    has_right: bool
    why_not: str  # why nobody can read it; empty when one may try
    text: str | None = None
    is_cut: bool = False
    cause: str = ""  # why it could not be read just now
    cause_words: str = ""

    def with_text(self, read: bodies.Text) -> "FileLine":
        # Megabytes are not indented: nobody sees more than the beginning of them.
        whole = len(read.text) <= BODY_SHOWN
        text = pretty(read.text.encode(errors="replace"), BODY_SHOWN + 1) if whole else read.text
        return replace(self, text=text[:BODY_SHOWN], is_cut=read.is_cut or len(text) > BODY_SHOWN)

    def refused(self, why: Busy | bodies.Unavailable | NoFile) -> "FileLine":
        if isinstance(why, NoFile):
            return replace(self, cause=_("There is no such file."))
        said = why_refused(why)
        return replace(self, cause=said["cause"], cause_words=said["cause_words"])


def why_unreadable(batch: Batch, file: BatchFile) -> str:
    """Why a line of this file cannot be read by anybody; empty when it may be tried."""
    if not file.file_id:
        return _("The vendor names no such file.")
    if file.is_gone:
        return gone_in_words(file, clock_words)
    return _("Its connection was removed, so the vendor is not asked any more.") if batch.connection.retired_at else ""


def line_of_input(request: HttpRequest, batch: Batch, file: BatchFile, number: int | None, url: str) -> FileLine:
    """What was asked, as one line of the input file. Where its number is not known, it is found when it is read."""
    said = {"line": count(number)}
    return FileLine(
        slug="input",
        title=_("What was asked"),
        place=_("line %(line)s of the input file") % said if number else _("the input file"),
        url=url,
        button=_("Read the input line"),
        has_right=may_read_bodies(request),
        why_not=why_unreadable(batch, file),
    )


def read_input(line: FileLine, batch: Batch, number: int) -> FileLine:
    """The same with its text, or why not."""
    try:
        found = bodies.lines_of_input(batch, {number}).get(number)
    except (Busy, bodies.Unavailable, NoFile) as refused:
        return line.refused(refused)
    if found is None:
        return replace(line, cause=_("The input file has no such line, or it was not reached in time."))
    return line.with_text(found)


def line_page(request: HttpRequest, template: str, context: dict[str, Any], line: FileLine) -> HttpResponse:
    """The whole page, or where a script asked only the line: what else was read stays in sight."""
    if is_htmx(request):
        return render(request, "batch_requests/_line.html", context | {"line": line})
    return render(request, template, context)


@require_GET
def input_line(request: HttpRequest, pk: int, line: int) -> HttpResponse:
    return render(request, "input_line/input_line.html", one(request, pk, line))


@for_readers
@require_POST
def read(request: HttpRequest, pk: int, line: int) -> HttpResponseBase:
    """The same page with the line itself, read at the vendor for this one look."""
    context = one(request, pk, line)
    batch = context["batch"]
    note(request, "read.body", batch, f"input file, line {line}")
    context["given"] = read_input(context["given"], batch, line)
    return line_page(request, "input_line/input_line.html", context, context["given"])


def one(request: HttpRequest, pk: int, line: int) -> dict[str, Any]:
    batch = find(request, pk)
    if not line:
        raise Http404
    address = reverse("input-line-read", args=[pk, line])
    given = line_of_input(request, batch, files_of(batch)[FileKind.INPUT], line, address)
    return {
        "batch": batch,
        "page": "batch",
        "number": line,
        "given": given,
        "errors": [error for error in batch.errors if error.get("line") == line],
        "role_needed": ROLE_NAMES[role_needed(READ_BODIES)],
    } | tabs_context(batch)
