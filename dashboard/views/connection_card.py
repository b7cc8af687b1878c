"""What the connections page says about one connection, and the sentence above them all."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self
from urllib.parse import urlsplit

from django.db.models import Count
from django.template.defaultfilters import truncatechars
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dashboard.insight.causes import cause_of, told
from dashboard.insight.concerns import NOTICES
from dashboard.insight.outcome import count
from dashboard.insight.pulse import health_of
from dashboard.insight.syncs import Hour, Tally, hour_of, hours_of, tallies_of
from dashboard.models import Concern, Connection, Reason, Refusal
from dashboard.templatetags.times import clock_words, duration
from dashboard.views.concern_line import Line, lines_of_connections

Health = Connection.Health
REFUSALS_SHOWN = 20
REFUSALS_KEPT = 100  # by the sync: of so many or more, older ones are forgotten
ERROR_SHOWN = 300
SKEW_SHOWN = 30.0  # seconds that a vendor's clock may be off before it is worth a word
SENTENCES_SHOWN = 3

# Each health as one of the drawn states: an icon, a colour and a shape.
STATES = {
    Health.NEW: "validating",
    Health.IMPORTING: "in_progress",
    Health.IN_STEP: "succeeded",
    Health.STALE: "stale",
    Health.LOST: "failed",
    Health.PAUSED: "stalled",
}

REASONS = {
    "no_id": gettext_lazy("Has no id"),
    "bad_id": gettext_lazy("Has an id that cannot be one"),
    "no_status": gettext_lazy("Has no status"),
    "not_a_batch": gettext_lazy("Says that it is something else than a batch"),
    "not_an_object": gettext_lazy("Is not an object"),
    "unreadable": gettext_lazy("Could not be read"),
    "looks_like_mistral": gettext_lazy("Is a batch of Mistral's API, which needs another dialect"),
    "looks_like_anthropic": gettext_lazy("Is a batch of Anthropic's API, which needs another dialect"),
    "looks_like_vector_store": gettext_lazy("Is a file batch of a vector store"),
    "too_deep": gettext_lazy("Is nested too deeply"),
    "too_large": gettext_lazy("Is too large"),
}


@dataclass(frozen=True, slots=True)
class Refused:
    """Records that were left out for one reason, as the page shows them."""

    reason: str
    excerpt: str
    times: int
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Card:
    """One connection with everything that its card shows."""

    connection: Connection
    health: str
    state: str
    word: str
    cause: str  # why it fails, in words; empty while it does not
    hour: Hour
    tally: Tally
    refused: tuple[Refused, ...]  # all that are kept, the latest first
    concerns: tuple[Line, ...] = ()
    needs: int = 0  # how many of its batches need attention

    @staticmethod
    def of(connection: Connection, now: datetime) -> "Card":
        return cards_of([connection], now)[0]

    @classmethod
    def made(
        cls,
        connection: Connection,
        now: datetime,
        hours: dict[int, Hour],
        tallies: dict[int, Tally],
        refused: dict[int, list[Refused]],
    ) -> Self:
        health = health_of(connection, now)
        state, word, cause = state_of(connection, health, now)
        return cls(
            connection=connection,
            health=health,
            state=state,
            word=word,
            cause=cause,
            hour=hours.get(connection.pk) or hour_of([], now),
            tally=tallies.get(connection.pk, Tally()),
            refused=tuple(refused.get(connection.pk, ())),
        )

    @property
    def is_failing(self) -> bool:
        """Whether a concern says the cause already."""
        return any(line.concern.reason == Reason.CONNECTION_FAILING for line in self.concerns)

    @property
    def says_cause(self) -> bool:
        """Whether there is more to say of a failure than its concern does: the cause, or the vendor's words."""
        return bool(self.cause and (self.connection.error_words or not self.is_failing))

    @property
    def host(self) -> str:
        # Never the netloc: whatever else stands before an @ is nobody's business.
        return urlsplit(self.connection.base_url).netloc.rpartition("@")[2]

    @property
    def key(self) -> str:
        """Where the key is, in words. Never more of it than its last four characters."""
        connection = self.connection
        if connection.key_env:
            return _("key from %(name)s") % {"name": connection.key_env}
        if connection.auth_style == Connection.AuthStyle.NONE:
            return _("no key needed")
        if connection.key_is_lost:
            return _("key must be entered again")
        if not connection.sealed_key:
            return _("no key entered")
        return _("key ends %(last4)s") % {"last4": connection.key_last4} if connection.key_last4 else _("key stored")

    @property
    def act_key(self) -> str:
        connection = self.connection
        if not connection.sealed_act_key:
            return ""
        if connection.act_key_is_lost:
            return _("the second key, for cancelling, must be entered again")
        if not connection.act_key_last4:
            return _("another for cancelling")
        return _("another for cancelling, ends %(last4)s") % {"last4": connection.act_key_last4}

    @property
    def told(self) -> str:
        """What came with the last failure."""
        connection = self.connection
        return told(connection.error_kind, truncatechars(connection.error_words, ERROR_SHOWN)) if self.cause else ""

    @property
    def next_at(self) -> datetime | None:
        """When it is synced next; None when it is paused or never waited."""
        return None if self.connection.paused_at else self.connection.next_sync_at

    @property
    def is_frozen(self) -> bool:
        """Whether its numbers are those of the last good sync rather than of now."""
        return self.health in {Health.STALE, Health.LOST, Health.PAUSED}

    @property
    def is_unread(self) -> bool:
        """Whether nothing has come yet: then nobody knows how many batches there are."""
        return not self.connection.imported_at and not self.tally.known

    @property
    def tries(self) -> str:
        failures = self.connection.failures
        if not failures or not self.connection.failing_since:
            return ""
        return ngettext("%(count)s try since %(time)s.", "%(count)s tries since %(time)s.", failures) % {
            "count": count(failures),
            "time": clock_words(self.connection.failing_since),
        }

    @property
    def refused_shown(self) -> tuple[Refused, ...]:
        return self.refused[:REFUSALS_SHOWN]

    @property
    def left_out(self) -> str:
        """How many records were left out, also where the page shows only the latest."""
        number = len(self.refused)
        words = ngettext("%(count)s record was left out", "%(count)s records were left out", number)
        if number >= REFUSALS_KEPT:
            words = _("%(count)s records or more were left out")
        return words % {"count": count(number)}

    @property
    def traits(self) -> list[str]:
        """What was learned about the vendor, where it explains what the page shows."""
        connection, learned = self.connection, []
        if connection.list_is_stale:
            learned.append(_("Its list lags behind the batches themselves, so open ones are asked for one by one."))
        if connection.list_lacks_counts:
            learned.append(_("Its list leaves out the request counts, so open batches are asked for one by one."))
        if connection.list_is_oldest_first:
            learned.append(_("Its list begins with the oldest batch, so new ones are looked for at its end."))
        offset = connection.clock_offset or 0.0
        if abs(offset) > SKEW_SHOWN:
            words = _("Its clock is %(by)s ahead of ours.") if offset > 0 else _("Its clock is %(by)s behind ours.")
            learned.append(words % {"by": duration(abs(offset))})
        return learned


def cards_of(connections: list[Connection], now: datetime) -> list[Card]:
    """Every card, with five queries whatever their number."""
    hours, tallies, refused = hours_of(connections, now), tallies_of(connections), refused_of(connections)
    return with_concerns([Card.made(connection, now, hours, tallies, refused) for connection in connections])


def with_concerns(cards: list[Card]) -> list[Card]:
    """What each needs attention for, and how many of its batches do."""
    pks = [card.connection.pk for card in cards]
    lines = lines_of_connections(pks)
    rows = Concern.objects.open().filter(batch__isnull=False, connection__in=pks).exclude(reason__in=NOTICES)
    needs = dict(rows.values_list("connection_id").annotate(Count("batch", distinct=True)))
    return [
        replace(card, concerns=tuple(lines.get(card.connection.pk, ())), needs=needs.get(card.connection.pk, 0))
        for card in cards
    ]


def refused_of(connections: Iterable[Connection]) -> dict[int, list[Refused]]:
    """The refusals of each, the latest first."""
    found: dict[int, list[Refused]] = {connection.pk: [] for connection in connections}
    for row in Refusal.objects.filter(connection__in=found).order_by("-last_seen_at", "-pk"):
        reason = str(REASONS.get(row.reason, row.reason))
        refused = Refused(reason, row.excerpt or row.remote_id, row.times, row.last_seen_at)
        found[row.connection_id].append(refused)
    return found


def state_of(connection: Connection, health: str, now: datetime) -> tuple[str, str, str]:
    """The drawn state, the word beside it, and the cause of a failure."""
    cause = cause_of(connection.error_kind) if connection.error_kind else ""
    word = str(Health(health).label)
    if connection.key_is_lost:
        return "risk", _("Key lost"), cause_of("both_keys_lost" if connection.act_key_is_lost else "key_lost")
    if connection.act_key_is_lost and not cause:
        # Batches are read as ever, and that is what the word says.
        return STATES[Health(health)], word, cause_of("act_key_lost")
    if health in {Health.PAUSED, Health.STALE, Health.LOST} or not connection.failures:
        return STATES[Health(health)], word, "" if health == Health.PAUSED else cause
    # Failing, but not for so long that its data are stale.
    if connection.error_kind == "rate_limited" and connection.next_sync_at and connection.next_sync_at > now:
        return "stalled", _("Slowed until %(time)s") % {"time": clock_words(connection.next_sync_at)}, cause
    return "risk", _("Last try failed"), cause


# --- The sentence above them all --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lede:
    head: str
    rest: str


def lede_of(cards: list[Card]) -> Lede | None:
    """One true sentence about all of them, then one about each that is not well, the worst first."""
    if not cards:
        return None
    good = sum(card.health == Health.IN_STEP and not card.connection.key_is_lost for card in cards)
    if good == len(cards):
        head = ngettext("%(name)s is in step.", "All %(total)s connections are in step.", good)
    else:
        head = ngettext(
            "%(good)s of %(total)s connections is in step.", "%(good)s of %(total)s connections are in step.", good
        )
        if len(cards) == 1:
            head = _("%(name)s is not in step.")
    worst = [Health.LOST, Health.STALE, Health.PAUSED, Health.IMPORTING, Health.NEW, Health.IN_STEP]
    troubled = sorted(cards, key=lambda card: (not card.connection.key_is_lost, worst.index(Health(card.health))))
    said = [sentence for card in troubled if (sentence := sentence_of(card))]
    more = len(said) - SENTENCES_SHOWN
    if more > 0:
        said[SENTENCES_SHOWN:] = [ngettext("%(n)d more is below.", "%(n)d more are below.", more) % {"n": more}]
    numbers = {"good": count(good), "total": count(len(cards)), "name": cards[0].connection.name}
    return Lede(head % numbers, " ".join(said))


def sentence_of(card: Card) -> str:
    connection = card.connection
    said = {
        "name": connection.name,
        "time": clock_words(connection.synced_at) if connection.synced_at else "",
        "by": connection.paused_by,
    }
    if connection.key_is_lost and connection.act_key_is_lost:
        return _("Both keys of %(name)s must be entered again.") % said
    if connection.key_is_lost:
        return _("The key of %(name)s must be entered again.") % said
    match card.health:
        case Health.LOST if connection.synced_at:
            words = _("%(name)s has not answered since %(time)s; what is known of its batches is frozen at that time.")
        case Health.LOST:
            words = _("%(name)s has never answered.")
        case Health.STALE if connection.synced_at:
            words = _("%(name)s was last in step at %(time)s; what is known of its batches is as of then.")
        case Health.STALE:
            words = _("%(name)s has not answered yet.")
        case Health.PAUSED:
            words = _("%(name)s is paused by %(by)s.")
        case Health.IMPORTING if connection.failures:
            words = _("The first import of %(name)s is interrupted: the last try failed.")
        case Health.IMPORTING:
            words = _("%(name)s is being read for the first time.")
        case Health.NEW:
            words = _("%(name)s waits for its first sync.")
        case _:
            words = _("The last try to reach %(name)s failed.") if connection.failures else ""
    if connection.act_key_is_lost:
        words = " ".join(filter(None, [words, _("The second key of %(name)s must be entered again.")]))
    return words % said
