"""The connections: how the sync of each is doing, and how to add, test, change, pause and remove one."""

import zlib
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard.access import CONNECT, ROLE_NAMES, role_needed
from dashboard.audit import record
from dashboard.insight.pulse import Pulse
from dashboard.middleware import polled_by, pulse_of
from dashboard.models import Batch, Connection
from dashboard.models.connection import ConnectionQuerySet, reading_again
from dashboard.sync import concerns, sight
from dashboard.sync.columns import rename
from dashboard.sync.probe import Finding, check_address, probe
from dashboard.views.batches import is_htmx
from dashboard.views.connection_card import Card, cards_of, lede_of
from dashboard.views.connection_form import ConnectionForm
from dashboard.views.health import not_allowed


def beats_token(pulse: Pulse) -> str:
    """This page also shows when each was last synced and will be next, so it depends on more than the revisions."""
    beats = [f"{beat.health}.{beat.synced_at}.{beat.next_sync_at}" for beat in pulse.beats]
    return f"{pulse.token}-b{zlib.crc32(','.join(beats).encode()):x}"


def for_admins(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Only for who may edit connections, and for nobody where DASHBOARD_READ_ONLY is set."""

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not request.user.has_perm(CONNECT):
            raise PermissionDenied(
                _("Changing connections needs the role %(role)s. Nothing was changed.")
                % {"role": ROLE_NAMES[role_needed(CONNECT)]}
            )
        return not_allowed(request) if settings.READ_ONLY else view(request, **kwargs)

    return guarded


def may_act(request: HttpRequest) -> bool:
    """Whether the buttons are shown; whether they work is decided by `for_admins`."""
    return request.user.has_perm(CONNECT) and not settings.READ_ONLY


def kept(request: HttpRequest) -> ConnectionQuerySet:
    return Connection.objects.visible_to(request.user).kept()


@polled_by(beats_token)
@require_GET
def connections(request: HttpRequest) -> HttpResponse:
    token = beats_token(pulse_of(request))  # before the rows: what moves in between is asked for again
    now = timezone.now()
    shown = list(kept(request))
    cards = cards_of(shown, now)
    removed = Connection.objects.visible_to(request.user).exclude(retired_at=None)
    context = {
        "token": token,
        "cards": cards,
        "lede": lede_of(cards),
        "retired": removed.filter(dropped_at=None).annotate(
            has_history=Exists(Batch.objects.filter(connection=OuterRef("pk")))
        ),
        "dropped": removed.exclude(dropped_at=None),
        "acts": may_act(request),
    }
    return render(request, f"connections/{'_changed' if is_htmx(request) else 'connections'}.html", context)


# --- One connection ---------------------------------------------------------------------------------------------------


@for_admins
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    return form_page(request, Connection())


@for_admins
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    return form_page(request, get_object_or_404(kept(request), pk=pk))


def form_page(request: HttpRequest, connection: Connection) -> HttpResponse:
    """The form, empty, filled or with its mistakes; and the finding, when the button said "Test"."""
    form = ConnectionForm(request.POST or None, instance=connection)
    finding: Finding | None = None
    if request.method == "POST":
        if form.is_valid():
            if "test" not in request.POST:
                save(request, form)
                return redirect("connections")
            finding = probe(form.apply())
        if "test" in request.POST and is_htmx(request):
            # Only the answer: the form in the browser keeps the key that was typed into it.
            return render(request, "connections/_finding.html", {"form": form, "finding": finding})
        form.hide_secrets()
    # A failed validation leaves the instance half changed; the head of the page names what is stored.
    stored = Connection.objects.filter(pk=connection.pk).first() if connection.pk else None
    context = {"form": form, "connection": stored, "finding": finding}
    return render(request, "connections/form.html", context)


def save(request: HttpRequest, form: ConnectionForm) -> None:
    """Write the form's own columns alone: a sync may be writing the others at this moment."""
    new = form.instance.pk is None
    connection = form.apply()
    with transaction.atomic():
        if new:
            connection.save()
        else:
            keys = ("sealed_key", "key_last4", "sealed_act_key", "act_key_last4")
            connection.save(update_fields=[*form.Meta.fields, *keys])
            again = reading_again() if form.scope_changed else {}
            Connection.objects.filter(pk=connection.pk).update(
                revision=F("revision") + 1, next_sync_at=None, failures=0, error_kind="", error_words="", **again
            )
            if form.names_changed:
                connection.refresh_from_db()
                rename(connection)
        verb = "connection.add" if new else "connection.edit"
        record(request, verb, connection, detail=form.changes_in_words(), changes=form.changes())


@for_admins
@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the vendor now, with the stored key, and say in words what came of it. Changes nothing."""
    connection = get_object_or_404(kept(request), pk=pk)
    record(request, "connection.test", connection)
    finding = probe(connection)
    if is_htmx(request):
        return render(request, "connections/_finding.html", {"finding": finding})
    level = messages.SUCCESS if finding.good else messages.ERROR
    messages.add_message(request, level, f"{connection.name}: {finding.sentence}")
    return redirect("connections")


@for_admins
@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Pause, or resume where `resume` was sent: what the button said counts, not what the row says by now."""
    connection = get_object_or_404(kept(request), pk=pk)
    resume = "resume" in request.POST
    columns: dict[str, Any] = (
        {"paused_at": None, "paused_by": "", "next_sync_at": None}
        if resume
        else {"paused_at": timezone.now(), "paused_by": request.user.get_username()}
    )
    with transaction.atomic():
        # Nothing happens when somebody else was faster.
        if kept(request).filter(pk=pk, paused_at__isnull=not resume).update(revision=F("revision") + 1, **columns):
            record(request, "connection.resume" if resume else "connection.pause", connection)
    if is_htmx(request):
        connection.refresh_from_db()
        return render(request, "connections/_card.html", {"card": Card.of(connection, timezone.now()), "acts": True})
    return redirect("connections")


@for_admins
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask first, by name; then remove the connection and either keep what is known of its batches or drop it."""
    connection = get_object_or_404(Connection.objects.visible_to(request.user).filter(dropped_at=None), pk=pk)
    history = request.POST.get("history", "drop" if connection.retired_at else "")
    mistakes = {}
    if request.method == "POST":
        if history not in {"keep", "drop"}:
            mistakes["history"] = _("Choose what happens to its batches.")
        if request.POST.get("name", "").strip() != connection.name:
            mistakes["name"] = _("Type the name exactly: %(name)s") % {"name": connection.name}
        if not mistakes:
            known = connection.batches.count()
            record(request, "connection.delete", connection, detail=f"{history} history, {known} batches")
            retire(connection)
            if history == "drop":
                drop_history(connection)
                messages.info(request, _("%(name)s is being removed, with its history.") % {"name": connection.name})
            return redirect("connections")
    context = {
        "connection": connection,
        "known": connection.batches.count(),
        "open": connection.batches.open().count(),
        "history": history,
        "mistakes": mistakes,
    }
    return render(request, "connections/delete.html", context)


def retire(connection: Connection) -> None:
    """No sync, no key, no secret; its name and its batches stay. A sync at work may not write any more."""
    now = timezone.now()
    with transaction.atomic():
        Connection.objects.filter(pk=connection.pk).update(
            retired_at=now,
            sealed_key="",
            key_last4="",
            sealed_act_key="",
            act_key_last4="",
            organization="",
            project="",
            extra_headers={},
            claim_token="",
            claim_until=None,
            revision=F("revision") + 1,
        )
        sight.lose(connection.pk, Batch.objects.filter(connection=connection).open(), now)
        concerns.close_all(connection, now)


def drop_history(connection: Connection) -> None:
    """Out of every list and count now; the rows themselves are deleted by the worker, for that may take minutes."""
    with transaction.atomic():
        Connection.objects.filter(pk=connection.pk).update(dropped_at=timezone.now(), claim_until=None)
        connection.counters.all().delete()


@for_admins
@require_POST
def restore(request: HttpRequest, pk: int) -> HttpResponse:
    """Bring a removed connection back: it is read from the start, which finds again what is still there."""
    connection = get_object_or_404(Connection.objects.visible_to(request.user).retired(), pk=pk)
    base_url = connection.base_url
    if connection.key_env:
        # Where the key of now belongs, and not where one belonged when it was removed.
        try:
            base_url = check_address(settings.OPENAI_BASE_URL)
        except ValueError as error:
            messages.error(request, str(error))
            return redirect("connections")
    anew: dict[str, Any] = dict.fromkeys(("retired_at", "paused_at", "tried_at", "synced_at", "failing_since"))
    anew |= reading_again() | {"paused_by": "", "error_kind": "", "error_words": "", "failures": 0}
    anew |= {"health": Connection.Health.NEW, "next_sync_at": None, "base_url": base_url}
    with transaction.atomic():
        restored = Connection.objects.retired().filter(pk=pk).update(revision=F("revision") + 1, **anew)
        if restored:
            concerns.watch_again(connection, timezone.now())
            record(request, "connection.restore", connection)
    said = _("%(name)s is back and is read from the start.") % {"name": connection.name}
    if connection.key_env or connection.auth_style == Connection.AuthStyle.NONE:
        messages.success(request, said)
        return redirect("connections")
    messages.info(request, f"{said} {_('Its key was wiped when it was removed: enter it again.')}")
    return redirect("connection", pk=pk)
