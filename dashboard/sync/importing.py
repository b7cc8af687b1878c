"""The first import: every page of the list, once, the next ones fetched while those before are written."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from dashboard.dialects.base import RemotePage, VendorError
from dashboard.models import Connection
from dashboard.sync.paging import RENEW_EVERY, Pages, Source, Stopped, Sync, take

BUNDLE = 10  # pages in one transaction, some 0.1 s: more would keep other writers waiting


@dataclass(slots=True)
class _Bundle:
    """A few pages of the import, fetched one after another and written in one transaction."""

    after: str | None  # where the list goes on; None at its end
    pages: list[RemotePage] = field(default_factory=list)
    asked_at: datetime = field(default_factory=timezone.now)
    error: VendorError | None = None  # why it has fewer pages than it might


def first_import(sync: Sync) -> None:
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
                take(sync, bundle.pages, bundle.asked_at, Source.IMPORT, place=place)
                sync.progress(count)
            if bundle.error is not None:
                if not bundle.pages and cursor and bundle.error.kind in {"refused", "not_found"}:
                    # The batch that the saved cursor names is gone at the vendor: begin again; what we have stays.
                    Connection.objects.filter(pk=connection.pk).update(import_cursor="", import_count=0)
                raise bundle.error
            cursor = None
    if bundle.after is not None:
        raise Stopped
    sync.run.error_kind = paging.lied


def _awaited(coming: "Future[_Bundle]", sync: Sync) -> _Bundle:
    while True:
        try:
            return coming.result(timeout=RENEW_EVERY.total_seconds())
        except TimeoutError:
            sync.hold()
