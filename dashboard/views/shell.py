"""What every page shows around its own content: both clocks, the strips for what is broken, and who is signed in."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dashboard.access import AUDIT, CANCEL, CONNECT, LINK, PEOPLE, ROLE_NAMES, SHARE, role_of
from dashboard.insight.causes import cause_of
from dashboard.insight.pulse import Beat, Pulse, is_silent
from dashboard.insight.ticks import ticks
from dashboard.middleware import pulse_of
from dashboard.models import Connection, Part, SavedView
from dashboard.models.saved_view import kept_of
from dashboard.sharing.door import OPENED
from dashboard.templatetags.batches import number
from dashboard.templatetags.times import clock_words
from dashboard.views.concern_line import needs_of

Health = Connection.Health
CADENCES = (5, 15, 60)
POLL_SECONDS = 15
BEATS_SHOWN = 4
TABS_SHOWN = 12
STRIPS_SHOWN = 4
# A part that is starting is not yet news.
START_TAKES = timedelta(seconds=60)
# Worst first.
ORDER = [Health.LOST, Health.STALE, Health.IMPORTING, Health.NEW, Health.IN_STEP, Health.PAUSED]
# Calm where nothing is wrong: only trouble has a colour and an icon.
DRAWN = {Health.LOST: ("failed", "st-failed"), Health.STALE: ("stale", "st-stale")}
# Without a key the vendor is not asked, so it cannot be said that it does not answer.
NOBODY_ASKED = {"key_lost": gettext_lazy("key lost"), "key_missing": gettext_lazy("no key")}
PARTS = {
    "web": gettext_lazy("The web server"),
    "worker": gettext_lazy("The worker"),
    "beat": gettext_lazy("The clock"),
}


@dataclass(frozen=True, slots=True)
class Sign:
    """One connection in the pulse strip. `at` is what dashboard.js ages; None shows `words` as they are."""

    connection_id: int
    name: str
    state: str
    icon: str
    at: datetime | None
    words: str
    frozen: str  # what it says once it is stale: the time of the last good sync
    stale_after: int
    lost_after: int
    ticks: str


@dataclass(frozen=True, slots=True)
class Strip:
    """One banner: what is wrong, the plain cause, and where to look."""

    key: str
    kind: str  # warn, down or info
    icon: str
    head: str
    words: str
    links: bool


def stale_connections(taken: Pulse) -> dict[int, datetime | None]:
    """Connections whose rows are shown as of an earlier time, and that time."""
    return {beat.connection_id: beat.synced_at for beat in taken.beats if beat.health in (Health.STALE, Health.LOST)}


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context of every template. Asks nothing of the database for who is not signed in."""
    theme = request.COOKIES.get("theme", "")
    context: dict[str, Any] = {
        "build": settings.BUILD,
        "theme": theme if theme in {"light", "dark"} else "",
        "read_only": settings.READ_ONLY,
        "poll_seconds": POLL_SECONDS,
        "cadence": CADENCES,
    }
    # Whoever has a link sees the same, signed in or not.
    user = None if OPENED in request.META else getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return context
    taken = pulse_of(request)
    role = role_of(user)
    context["theme"] = user.theme
    # Asked for by what draws them, which no answer to a poll does.
    tabs = SimpleLazyObject(lambda: tabs_of(request))
    signs = signs_of(taken)
    return context | {
        "pulse": taken,
        "now": timezone.now(),
        "role": ROLE_NAMES.get(role, ""),
        "can_cancel": user.has_perm(CANCEL),
        "can_connect": user.has_perm(CONNECT),
        "can_people": user.has_perm(PEOPLE),
        "can_audit": user.has_perm(AUDIT),
        # None, and a cadence that is offered no more: as each page is made for.
        "chosen_cadence": user.cadence if user.cadence in (0, *CADENCES) else POLL_SECONDS,
        "can_link": user.has_perm(LINK),
        "can_share": user.has_perm(SHARE) and not settings.READ_ONLY,
        "saved_views": tabs,
        "nav_counts": {
            "batches": taken.count(),
            "attention": needs_of(user, taken.token).of(),
            "connections": len(taken.beats),
        },
        "signs": signs[:BEATS_SHOWN],
        "signs_left": max(0, len(signs) - BEATS_SHOWN),
        "strips": strips_of(taken),
    }


@dataclass(frozen=True, slots=True)
class Tab:
    """A saved view, above the list and in the side."""

    name: str
    url: str
    is_own: bool
    is_current: bool


def tabs_of(request: HttpRequest) -> list[Tab]:
    """One's own, then the team's, each by name. The list marks the one whose filter it shows. Of more than fit the last
    tab leads to all."""
    base = reverse("batches")
    here = kept_of(request.GET.dict()) if request.path == base else None
    found = SavedView.objects.visible_to(request.user).order_by("name", "pk")
    tabs = [
        Tab(
            name=view.name,
            url=f"{base}?{view.query}" if view.query else base,
            is_own=view.owner_id == request.user.pk,
            is_current=bool(view.query) and view.query == here,
        )
        for view in found.only("name", "query", "owner")
    ]
    tabs.sort(key=lambda tab: not tab.is_own)
    if len(tabs) <= TABS_SHOWN:
        return tabs
    tabs.sort(key=lambda tab: not tab.is_current)
    words = _("All %(count)s views") % {"count": number(len(tabs))}
    return [*tabs[:TABS_SHOWN], Tab(words, reverse("saved-views"), is_own=False, is_current=False)]


def signs_of(taken: Pulse) -> list[Sign]:
    letters = ticks(taken)
    beats = sorted(taken.beats, key=lambda beat: (ORDER.index(Health(beat.health)), beat.name))
    return [sign_of(beat, letters.get(beat.connection_id, "")) for beat in beats]


def sign_of(beat: Beat, letters: str) -> Sign:
    state, icon = DRAWN.get(Health(beat.health), ("", ""))
    at, words, frozen = beat.synced_at, "", ""
    if beat.synced_at:
        frozen = _("as of %(time)s") % {"time": clock_words(beat.synced_at)}
    match beat.health:
        case Health.PAUSED:
            at, words, icon = None, _("paused"), "ui-pause"
        case Health.LOST if beat.error_kind in NOBODY_ASKED:
            at, words = None, str(NOBODY_ASKED[beat.error_kind])
        case Health.LOST:
            since = beat.synced_at or beat.failing_since
            words = _("not answering since %(time)s") % {"time": clock_words(since)} if since else _("not answering")
            at = None
        case Health.STALE:
            at, words = None, frozen or _("not synced yet")
        case Health.IMPORTING:
            at, words = None, _("first import, %(count)s so far") % {"count": number(beat.import_count)}
        case Health.NEW:
            at, words = None, _("not synced yet")
    return Sign(
        beat.connection_id, beat.name, state, icon, at, words, frozen, beat.stale_after, beat.lost_after, letters
    )


# --- Strips -----------------------------------------------------------------------------------------------------------


def strips_of(taken: Pulse) -> list[Strip]:
    now = timezone.now()
    strips = [strip for part in taken.parts if (strip := strip_of_part(part, now))]
    beats = sorted(taken.beats, key=lambda beat: (ORDER.index(Health(beat.health)), beat.name))
    strips += [strip for beat in beats if (strip := strip_of(beat))]
    more = len(strips) - STRIPS_SHOWN
    if more > 0:
        head = ngettext("%(count)d more needs a look.", "%(count)d more need a look.", more) % {"count": more}
        rest = Strip("more", "warn", "st-stale", head, "", links=True)
        strips[STRIPS_SHOWN:] = [rest]
    return strips


def strip_of(beat: Beat) -> Strip | None:
    """What is wrong with one connection. A single failure is said too: the words are the vendor's state, not blame."""
    key = f"connection-{beat.connection_id}"
    if beat.health == Health.PAUSED:
        return None
    troubled = beat.health in (Health.STALE, Health.LOST)
    if not troubled and not beat.error_kind:
        if beat.health == Health.IMPORTING:
            words = _("%(count)s batches so far. You can use the list while this goes on.") % {
                "count": number(beat.import_count)
            }
            return Strip(key, "info", "ui-refresh", _("Reading %(name)s.") % {"name": beat.name}, words, links=False)
        return None
    cause = cause_of(beat.error_kind) if beat.error_kind else _("No sync has ended well for a while.")
    said = [cause]
    if beat.synced_at:
        said.append(_("Last good sync %(time)s.") % {"time": clock_words(beat.synced_at)})
    elif beat.import_count:
        said.append(_("Its first import is at %(count)s batches.") % {"count": number(beat.import_count)})
    else:
        said.append(_("It was never synced."))
    if beat.next_sync_at and beat.next_sync_at > timezone.now():
        said.append(_("Next try %(time)s.") % {"time": clock_words(beat.next_sync_at)})
    icon = "st-stale" if troubled else "st-risk"
    return Strip(key, "warn", icon, f"{beat.name}:", " ".join(said), links=True)


def strip_of_part(part: Part, now: datetime) -> Strip | None:
    running = part.state == Part.State.RUNNING or (
        part.state == Part.State.STARTING and now - part.since_at < START_TAKES
    )
    if running and not is_silent(part):
        return None
    name = capfirst(str(PARTS.get(part.name, part.name)))
    since = part.seen_at if running and part.seen_at else part.since_at
    head = _("%(part)s is not running since %(time)s.") % {"part": name, "time": clock_words(since)}
    words = _("What is shown stays as it was until it is back.")
    if part.restarts:
        again = ngettext("It was restarted %(count)d time.", "It was restarted %(count)d times.", part.restarts)
        words = f"{words} {again % {'count': part.restarts}}"
    return Strip(f"part-{part.name}", "down", "st-stalled", head, words, links=False)
