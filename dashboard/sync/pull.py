"""Which requests to make: the first import, then as few as keep the cache true.

The walk of a cycle: ask for the newest page; go on while pages hold batches we have not met; then bring the open ones
that those pages did not show, one by one or by paging further, whichever costs fewer requests. A few pages of a slow
full walk go along once a week. The network is never asked inside a transaction; absorb.py has one for each page.
"""

import logging
import random
import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from dashboard.dialects.base import Dialect, RemotePage, VendorError
from dashboard.models import Batch, Connection, Refusal, SyncRun, Transition
from dashboard.sync.absorb import CLAIM_LIFE, Absorbed, ClaimLost, absorb
from dashboard.sync.vendor import KeyUnavailable, open_vendor

logger = logging.getLogger(__name__)

Source = Transition.Source
RENEW_EVERY = timedelta(seconds=30)
PAGE = 100  # the most that OpenAI gives
BUNDLE = 10  # pages of an import in one transaction, some 0.1 s: more would keep other writers waiting
OPEN_CADENCE = 45  # seconds between cycles while something is open
IDLE_CADENCE = 300
HURRY_CADENCE = 10  # for a few minutes after somebody acted
LONGEST_BACKOFF = 900
WALK_EVERY = timedelta(days=7)
WALK_PAGES = 5  # of the full walk, in one cycle
MISSES_UNTIL_GONE = 3
MOST_PAGES = 100_000
REFUSALS_SHOWN = 100


class Stopped(Exception):
    """The process is shutting down; the place has been saved."""


@dataclass(slots=True)
class _Sync:
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

    Survived: has_more for ever, an empty page with has_more, a page with nothing new, a cursor that restarts at page
    one (its end is a cursor we have been sent to before).
    """

    def __init__(self) -> None:
        self.cursors: set[str] = set()
        self.previous: set[str] = set()
        self.lied = ""

    def following(self, page: RemotePage) -> str | None:
        """The cursor of the next page; None at the end, with `lied` saying so when the vendor claimed there is more."""
        ids = {batch.remote_id for batch in page.batches}
        if not page.has_more or page.next_cursor is None:
            return None
        if not ids and not page.refused:
            self.lied = "an empty page said that there is more"
        elif page.next_cursor in self.cursors or (ids and ids <= self.previous):
            self.lied = "the list went round in a circle"
        elif len(self.cursors) >= MOST_PAGES:
            self.lied = f"the list had more than {MOST_PAGES} pages"
        if self.lied:
            return None
        self.cursors.add(page.next_cursor)
        self.previous = ids
        return page.next_cursor


def claim(connection_id: int, now: datetime | None = None, *, only_due: bool = True) -> str:
    """Take the connection for two minutes, renewed with every page; the token, or "" when somebody else has it."""
    now = now or timezone.now()
    token = secrets.token_hex(16)
    free = Connection.objects.filter(pk=connection_id)
    free = free.due(now) if only_due else free.kept().exclude(claim_until__gt=now)
    return token if free.update(claim_token=token, claim_until=now + CLAIM_LIFE, tried_at=now) else ""


def pull(
    connection_id: int,
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], object] = lambda _count: None,
    only_due: bool = True,
) -> SyncRun | None:
    """Sync one connection now: the import if it never finished, else a cycle. None when it was not ours to sync.

    Never raises for what a vendor does: that is written on the connection and in the SyncRun.
    """
    token = claim(connection_id, only_due=only_due)
    if not token:
        return None
    connection = Connection.objects.get(pk=connection_id)
    began_at = timezone.now()
    kind = SyncRun.Kind.CYCLE if connection.imported_at else SyncRun.Kind.IMPORT
    run = SyncRun(connection=connection, kind=kind, began_at=began_at, ending=SyncRun.Ending.GOOD)
    retry_after: float | None = None
    try:
        with open_vendor(connection) as vendor:
            sync = _Sync(connection, vendor, token, stop, progress, run)
            (_cycle if connection.imported_at else _import)(sync)
    except Stopped:
        run.ending = SyncRun.Ending.STOPPED
    except ClaimLost:
        logger.warning("%s: another worker has taken over; this one stops", connection)
        return None
    except KeyUnavailable as error:
        run.ending, run.error_kind = SyncRun.Ending.FAILED, error.kind
    except VendorError as error:
        run.ending, run.error_kind, run.error_words = SyncRun.Ending.FAILED, error.kind, error.words
        retry_after = error.retry_after
    except Exception:
        # A defect of ours must not leave the connection claimed or the page silent.
        logger.exception("%s: sync broke", connection)
        run.ending, run.error_kind = SyncRun.Ending.FAILED, "defect"
    run.seconds = (timezone.now() - began_at).total_seconds()
    _finish(connection, token, run, retry_after)
    return run


def _finish(connection: Connection, token: str, run: SyncRun, retry_after: float | None) -> None:
    """Give the claim back, say when to come again, and leave the account."""
    now = timezone.now()
    fresh = Connection.objects.filter(pk=connection.pk).first()
    if fresh is None:
        return  # dropped in the meantime, with its history
    connection = fresh
    columns: dict[str, object] = {"claim_token": "", "claim_until": None}
    if run.ending == SyncRun.Ending.STOPPED:
        columns["next_sync_at"] = now
    elif run.ending == SyncRun.Ending.GOOD:
        cadence = cadence_of(connection, now)
        imported = run.kind == SyncRun.Kind.IMPORT
        columns |= {
            # An import may take an hour: what it read first is read again at once.
            "synced_at": now if imported else run.began_at,
            "cadence": cadence,
            "next_sync_at": now if imported else now + timedelta(seconds=cadence * random.uniform(0.8, 1.2)),  # noqa: S311
            "failures": 0,
            "failing_since": None,
            "error_kind": "",
            "error_words": "",
        }
    else:
        failures = connection.failures + 1
        wait = min(LONGEST_BACKOFF, 15.0 * 2 ** min(failures, 10)) * random.uniform(0.8, 1.0)  # noqa: S311 (jitter)
        columns |= {
            "next_sync_at": now + timedelta(seconds=retry_after or wait),
            "failures": failures,
            "failing_since": connection.failing_since or now,
            "error_kind": run.error_kind,
            "error_words": run.error_words,
        }
    shown = ("error_kind", "cadence")  # what open pages say or reckon with
    if connection.synced_at is None or any(
        getattr(connection, name) != columns.get(name, getattr(connection, name)) for name in shown
    ):
        columns["revision"] = F("revision") + 1
    Connection.objects.filter(pk=connection.pk, claim_token=token).update(**columns)
    run.save()


def cadence_of(connection: Connection, now: datetime) -> int:
    """Seconds until the next cycle: by what is open, and sooner for a few minutes after somebody acted."""
    chosen = connection.interval or OPEN_CADENCE
    if connection.hurry_until and connection.hurry_until > now:
        return min(chosen, HURRY_CADENCE)
    if Batch.objects.filter(connection=connection).to_refresh(now).exists():
        return chosen
    return max(chosen, IDLE_CADENCE) if connection.interval is None else chosen


@dataclass(slots=True)
class _Bundle:
    """A few pages of the import, fetched one after another and written in one transaction."""

    after: str | None  # where the list goes on; None at its end
    pages: list[RemotePage] = field(default_factory=list)
    asked_at: datetime = field(default_factory=timezone.now)
    error: VendorError | None = None  # why it has fewer pages than it might


def _import(sync: _Sync) -> None:
    """Every page, once; after a crash from where it was. The next pages are fetched while these are written."""
    connection, paging = sync.connection, Pages()
    cursor = connection.import_cursor or None
    count = connection.import_count if cursor else 0

    def fetch(after: str | None) -> _Bundle:
        bundle = _Bundle(after)
        try:
            while len(bundle.pages) < BUNDLE:
                page, _asked_at = sync.ask_page(bundle.after)
                bundle.pages.append(page)
                bundle.after = paging.following(page)
                if bundle.after is None or sync.stop():
                    break
        except VendorError as error:
            bundle.error = error
        return bundle

    with ThreadPoolExecutor(1, thread_name_prefix="import") as ahead:
        coming: Future[_Bundle] | None = ahead.submit(fetch, cursor)
        while coming is not None:
            bundle = _awaited(coming, sync)
            going_on = bundle.error is None and bundle.after is not None
            coming = ahead.submit(fetch, bundle.after) if going_on and not sync.stop() else None
            if bundle.pages:
                count += sum(len(page.batches) for page in bundle.pages)
                place: dict[str, object] = {"import_cursor": bundle.after or "", "import_count": count}
                if bundle.after is None:
                    place |= {"imported_at": timezone.now(), "walked_at": timezone.now()}
                _take(sync, bundle.pages, bundle.asked_at, Source.IMPORT, place=place)
                sync.progress(count)
            if bundle.error is not None:
                if not bundle.pages and cursor and bundle.error.kind in {"refused", "not_found"}:
                    # The batch that the saved cursor names is gone at the vendor: begin again; what we have stays.
                    Connection.objects.filter(pk=connection.pk).update(import_cursor="", import_count=0)
                raise bundle.error
            cursor = None
    if bundle.after is not None:
        raise Stopped
    sync.run.error_words = paging.lied


def _awaited(coming: "Future[_Bundle]", sync: _Sync) -> _Bundle:
    while True:
        try:
            return coming.result(timeout=RENEW_EVERY.total_seconds())
        except TimeoutError:
            sync.hold()


def _cycle(sync: _Sync) -> None:
    """What is new and what is open, in as few requests as that takes."""
    connection, pages, cursor = sync.connection, Pages(), None
    now = timezone.now()
    wanted = dict(
        Batch.objects.filter(connection=connection)
        .to_refresh(now)
        .order_by("-place")
        .values_list("remote_id", "ordered_at")
    )
    while True:
        page, asked_at = sync.ask_page(cursor)
        absorbed = _take(sync, [page], asked_at, Source.POLL)
        cursor = pages.following(page)
        if cursor is None:
            break
        sync.check_stop()
        # Newest first: once a page holds nothing new, nothing older is new either. A full walk catches exceptions.
        if not absorbed.new and not _paging_pays(connection, page, _unseen(sync, wanted)):
            break
    sync.run.error_words = pages.lied
    alone = connection.list_is_stale or connection.list_lacks_counts
    unseen = list(wanted) if alone else _unseen(sync, wanted)
    for remote_id in unseen:
        sync.check_stop()
        _ask_one(sync, remote_id)
    for remote_id in sync.suspects:
        if remote_id not in unseen:
            sync.check_stop()
            _verify_list(sync, remote_id)
    if sync.failed_alone is not None and not sync.retrieved:
        # One that fails is that batch's matter; when all do it is the vendor's, and nothing here is fresh.
        raise sync.failed_alone
    _walk(sync, now)


def _unseen(sync: _Sync, wanted: dict[str, datetime]) -> list[str]:
    return [remote_id for remote_id in wanted if remote_id not in sync.seen_ids]


def _paging_pays(connection: Connection, page: RemotePage, unseen: list[str]) -> bool:
    """Whether going on by pages brings the unseen open batches in fewer requests than asking for each."""
    if len(unseen) < 2 or not page.batches:
        return False
    oldest = page.batches[-1].created_at
    if oldest is None:
        return False
    older = Batch.objects.filter(connection=connection, place__lt=(oldest + 1) << 30).order_by("-place")
    # More pages than batches never pay, so no more rows than that are looked at.
    ahead = older.values_list("remote_id", flat=True)[: PAGE * len(unseen)]
    wanted = set(unseen)
    found = 0
    for position, remote_id in enumerate(ahead):
        found += remote_id in wanted
        pages = position // PAGE + 1
        if found > pages:
            return True
    return False


def _take(
    sync: _Sync,
    pages: list[RemotePage],
    asked_at: datetime,
    source: Source,
    place: dict[str, object] | None = None,
) -> Absorbed:
    """Write pages: their batches, their refused records, what they say of the vendor's clock."""
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


def _ask_one(sync: _Sync, remote_id: str) -> None:
    """Retrieve one batch. A vendor that fails for this one batch alone must not stop the others."""
    sync.hold()
    asked_at = timezone.now()
    sync.run.requests += 1
    try:
        remote = sync.vendor.retrieve(remote_id)
    except VendorError as error:
        if error.kind == "not_found":
            sync.retrieved += 1
            _missed(sync, remote_id, asked_at)
        elif error.kind in {"server_error", "not_json", "not_a_batch_api", "wrong_batch", "refused", "too_large"}:
            logger.warning("%s: batch %s could not be read: %s", sync.connection, remote_id[:80], error)
            sync.run.refused += 1
            sync.failed_alone = error
        else:
            raise
        return
    sync.retrieved += 1
    absorbed = absorb(sync.connection, [remote], asked_at=asked_at, source=Source.POLL, claim=sync.claim)
    sync.run.changed += absorbed.changed
    sync.run.seen += 1


def _missed(sync: _Sync, remote_id: str, asked_at: datetime) -> None:
    """One 404 is not "gone": vendors flap. Three in a row are, and the row stays."""
    with transaction.atomic():
        # The connection first, as absorb does: two orders would be a deadlock.
        Connection.objects.select_for_update().get(pk=sync.connection.pk)
        row = Batch.objects.get(connection=sync.connection, remote_id=remote_id)
        row.misses += 1
        columns: dict[str, object] = {"misses": row.misses}
        if row.misses >= MISSES_UNTIL_GONE and row.gone_at is None:
            Connection.objects.filter(pk=sync.connection.pk).update(revision=F("revision") + 1)
            revision = Connection.objects.values_list("revision", flat=True).get(pk=sync.connection.pk)
            columns |= {"gone_at": asked_at, "revision": revision, "judge_at": asked_at}
        Batch.objects.filter(pk=row.pk).update(**columns)


def _verify_list(sync: _Sync, remote_id: str) -> None:
    """Ask the batch itself, once, after the list has shown it open and unchanged for three cycles."""
    before = _state(sync, remote_id)
    _ask_one(sync, remote_id)
    after = _state(sync, remote_id)
    if before == after:
        return
    lacks_counts = before[0] == after[0] and before[1:] == (None, None, None)
    columns = {"list_lacks_counts" if lacks_counts else "list_is_stale": True}
    logger.info(
        "%s: its list does not show what its batches do; they are asked one by one from now on", sync.connection
    )
    Connection.objects.filter(pk=sync.connection.pk).update(**columns, revision=F("revision") + 1)


def _state(sync: _Sync, remote_id: str) -> tuple[object, ...]:
    return (
        Batch.objects.filter(connection=sync.connection, remote_id=remote_id)
        .values_list("status", "requests_total", "requests_completed", "requests_failed")
        .get()
    )


def _walk(sync: _Sync, now: datetime) -> None:
    """A few pages of the full walk that catches what cycles cannot see; now and then, from where it was."""
    connection, cursor = sync.connection, sync.connection.walk_cursor or None
    if cursor is None and connection.walked_at and now - connection.walked_at < WALK_EVERY:
        return
    paging = Pages()
    # Every page must be older than the one before, over cycles too: else the list has begun again.
    last = Batch.objects.filter(connection=connection, remote_id=cursor).values_list("place", flat=True).first()
    for _ in range(WALK_PAGES):
        sync.check_stop()
        try:
            page, asked_at = sync.ask_page(cursor)
        except VendorError as error:
            if cursor is None or error.kind not in {"refused", "not_found"}:
                raise
            cursor = None  # the batch that the cursor names is gone at the vendor: another week
        else:
            newest = max((batch.created_at for batch in page.batches if batch.created_at), default=None)
            began_again = last is not None and newest is not None and newest > last >> 30
            cursor = None if began_again else paging.following(page)
            _take(sync, [page], asked_at, Source.POLL)
            oldest = page.batches[-1].created_at if page.batches else None
            last = None if oldest is None else (oldest + 1) << 30
        place: dict[str, object] = {"walk_cursor": cursor or ""}
        if cursor is None:
            place["walked_at"] = timezone.now()
        Connection.objects.filter(pk=connection.pk, claim_token=sync.claim).update(**place)
        if cursor is None:
            break
