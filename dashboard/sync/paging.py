"""One sync under its claim: it asks for pages of the vendor's list, knows where the list ends, writes what came."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from dashboard.dialects.base import Dialect, RemotePage, VendorError
from dashboard.models import Connection, Refusal, SyncRun, Transition
from dashboard.sync.absorb import CLAIM_LIFE, Absorbed, ClaimLost, absorb

Source = Transition.Source
RENEW_EVERY = timedelta(seconds=30)
PAGE = 100  # the most that OpenAI gives
MOST_PAGES = 100_000
REFUSALS_SHOWN = 100
SHOW_AN_ORDER = 10  # batches in a row are no accident


class Stopped(Exception):
    """The process is shutting down; the place has been saved."""


@dataclass(slots=True)
class Sync:
    """One run under a claim: what it may ask with, and the account of what it did."""

    connection: Connection
    vendor: Dialect
    claim: str
    stop: Callable[[], bool]
    progress: Callable[[int], object]
    run: SyncRun
    seen_ids: set[str] = field(default_factory=set)
    suspects: list[str] = field(default_factory=list)
    held_at: datetime = field(default_factory=timezone.now)
    # Batches that were asked for one by one, and the last failure among those.
    retrieved: int = 0
    failed_alone: VendorError | None = None

    def ask_page(self, after: str | None) -> tuple[RemotePage, datetime]:
        asked_at = timezone.now()
        self.run.requests += 1
        page = self.vendor.list_batches(after, PAGE)
        self.run.seen += len(page.batches)
        return page, asked_at

    def check_stop(self) -> None:
        if self.stop():
            raise Stopped

    def hold(self) -> None:
        """Keep the claim while a slow vendor keeps us waiting; absorb renews it with every page. Raises ClaimLost."""
        now = timezone.now()
        if now - self.held_at < RENEW_EVERY:
            return
        held = Connection.objects.filter(pk=self.connection.pk, claim_token=self.claim)
        if not held.update(claim_until=now + CLAIM_LIFE):
            raise ClaimLost
        self.held_at = now


class Pages:
    """Decides whether a list goes on, for servers whose paging lies.

    Survived: has_more for ever, an empty page with has_more, a page with nothing new (be its cursor as new as it may),
    a cursor that restarts at page one (its end is a cursor we have been sent to before).
    """

    def __init__(self) -> None:
        self.cursors: set[str] = set()
        # Of every id on the pages so far: a million hashes take a third of what a million ids would.
        self.seen: set[int] = set()
        self.lied = ""

    def following(self, page: RemotePage) -> str | None:
        """The cursor of the next page; None at the end, with a code in `lied` when the vendor claimed there is more."""
        ids, cursor = {hash(batch.remote_id) for batch in page.batches}, page.next_cursor
        if not page.has_more:
            return None
        if not ids and not page.refused:
            self.lied = "empty_page"
        elif cursor in self.cursors or (ids and ids <= self.seen):
            self.lied = "circle"
        elif len(self.cursors) >= MOST_PAGES:
            self.lied = "endless"
        if self.lied or cursor is None:
            return None
        self.cursors.add(cursor)
        self.seen |= ids
        return cursor


def began_again(connection: Connection, page: RemotePage, last: int | None) -> bool:
    """Whether a page is not behind the batch of that second, as some servers do with a cursor that they do not know."""
    times = [batch.created_at for batch in page.batches if batch.created_at is not None]
    if last is None or not times:
        return False
    return min(times) < last - 1 if connection.list_is_oldest_first else max(times) > last + 1


def take(
    sync: Sync,
    pages: list[RemotePage],
    asked_at: datetime,
    source: Source,
    place: dict[str, object] | None = None,
) -> Absorbed:
    """Write pages: their batches, their refused records, what they say of the vendor's manners."""
    connection = sync.connection
    batches = [batch for page in pages for batch in page.batches]
    absorbed = absorb(
        connection, batches, asked_at=asked_at, source=source, claim=sync.claim, from_list=True, place=place
    )
    sync.run.changed += absorbed.new + absorbed.changed
    sync.suspects += absorbed.suspects
    sync.seen_ids.update(batch.remote_id for batch in batches)
    for page in pages:
        sync.run.refused += len(page.refused)
        if page.refused:
            _note_refusals(connection, page, asked_at)
        if page.vendor_now is not None:
            _note_clock(connection, page.vendor_now - asked_at.timestamp())
        _note_order(connection, page)
    return absorbed


def _note_refusals(connection: Connection, page: RemotePage, now: datetime) -> None:
    with transaction.atomic():
        for record in page.refused:
            refusal, made = Refusal.objects.get_or_create(
                connection=connection,
                reason=record.reason,
                remote_id=record.remote_id[:512],
                excerpt=record.excerpt[:240],
                defaults={"first_seen_at": now, "last_seen_at": now},
            )
            if not made:
                Refusal.objects.filter(pk=refusal.pk).update(times=F("times") + 1, last_seen_at=now)
        # A vendor that sends nothing but rubbish must not fill the disk.
        shown = Refusal.objects.filter(connection=connection).order_by("-last_seen_at", "-pk")[:REFUSALS_SHOWN]
        Refusal.objects.filter(connection=connection).exclude(pk__in=list(shown.values_list("pk", flat=True))).delete()


def _note_clock(connection: Connection, offset: float) -> None:
    """Remember how far ahead the vendor's clock is. Its Date header has whole seconds: small differences are noise."""
    if connection.clock_offset is None or abs(connection.clock_offset - offset) > 5:
        connection.clock_offset = round(offset, 1)
        Connection.objects.filter(pk=connection.pk).update(clock_offset=connection.clock_offset)


def _note_order(connection: Connection, page: RemotePage) -> None:
    """Learn at which end of its list a vendor adds new batches; only where the list can be read from any batch on."""
    times = [batch.created_at for batch in page.batches if batch.created_at is not None]
    if not page.has_more or len(times) < SHOW_AN_ORDER or times[0] == times[-1]:
        return
    rising = times[0] < times[-1]
    by_id = page.next_cursor == page.batches[-1].remote_id
    if times != sorted(times, reverse=not rising) or (rising and not by_id):
        return
    if connection.list_is_oldest_first != rising:
        connection.list_is_oldest_first = rising
        Connection.objects.filter(pk=connection.pk).update(list_is_oldest_first=rising)
