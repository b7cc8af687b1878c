"""One import or file in a fresh process: `python -m tests.bench.contenders NAME URL COUNT`, NAME one of CONTENDERS.

Each times only the work, after everything is imported and open, and counts what it really got.
"""

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.bench.figures import must_be

KEY = "sk-simulator"
PAGE = 100


def clocked(work: Callable[[], object]) -> dict[str, float]:
    cpu, began = time.process_time(), time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def sdk(base_url: str, count: int) -> dict[str, Any]:
    """The official SDK, doing nothing with what it reads."""
    from openai import OpenAI

    ids: set[str] = set()
    with OpenAI(api_key=KEY, base_url=base_url) as client:

        def iterate() -> None:
            for batch in client.batches.list(limit=PAGE):
                ids.add(batch.id)

        said = clocked(iterate)
    must_be("batches that the SDK saw", len(ids), count)
    return said


def floor(base_url: str, count: int) -> dict[str, Any]:
    """The least that could be called an import: no key of a vault, no search, no history, nothing tolerated."""
    import httpx
    import msgspec

    class Counts(msgspec.Struct):
        total: int
        completed: int
        failed: int

    class Record(msgspec.Struct):
        id: str
        status: str
        created_at: int
        request_counts: Counts

    class Page(msgspec.Struct):
        data: list[Record]
        has_more: bool
        last_id: str

    read = msgspec.json.Decoder(Page).decode
    path = Path(os.environ["DASHBOARD_DATA_DIR"]) / "floor.sqlite3"
    headers = {"Authorization": f"Bearer {KEY}"}
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as database,
        httpx.Client(headers=headers, trust_env=False) as client,
    ):
        # As durable as ours.
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute(
            "CREATE TABLE batch (id TEXT UNIQUE, status TEXT, created_at INTEGER,"
            " total INTEGER, completed INTEGER, failed INTEGER)"
        )

        def fill() -> None:
            params = {"limit": str(PAGE)}
            while True:
                page = read(client.get(f"{base_url}/batches", params=params).content)
                rows = [
                    (b.id, b.status, b.created_at, b.request_counts.total, b.request_counts.completed,
                     b.request_counts.failed)
                    for b in page.data
                ]  # fmt: skip
                database.execute("BEGIN")
                database.executemany("INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)", rows)
                database.execute("COMMIT")
                if not page.has_more:
                    return
                params["after"] = page.last_id

        said = clocked(fill)
        must_be("rows of the floor", database.execute("SELECT count(*) FROM batch").fetchone()[0], count)
    return said


def ours(base_url: str, count: int, *, is_proved: bool = True) -> dict[str, Any]:
    """The real `pull()` into a fresh database; then a proof that all of it is there."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
    django.setup()
    from django.core.management import call_command
    from django.db.models import Sum

    from dashboard.models import Batch, Connection, Counter, SyncRun
    from dashboard.sync.pull import pull

    call_command("migrate", interactive=False, verbosity=0)
    connection = Connection(name="Bench", vendor="simulator", base_url=base_url)
    connection.set_key(KEY)
    connection.save()
    runs: list[SyncRun | None] = []
    said: dict[str, Any] = {**clocked(lambda: runs.append(pull(connection.pk)))}
    run = runs[0]
    assert run is not None
    must_be("the ending of the import", (run.ending, run.error_kind, run.error_words), (SyncRun.Ending.GOOD, "", ""))
    must_be("rows of the import", Batch.objects.count(), count)
    must_be("what its counters say", Counter.objects.aggregate(all=Sum("batches"))["all"], count)
    if is_proved:
        prove_search(base_url)
    return said | {"requests": run.requests}


def many(base_url: str, count: int) -> dict[str, Any]:
    """As `ours`; that each page of a million can be searched for is left to the smaller import."""
    return ours(base_url, count, is_proved=False)


def prove_search(base_url: str) -> None:
    """The text index finds a batch by what the vendor says of it, one of every page, and as many as plain LIKE."""
    import httpx

    from dashboard.insight.search import find
    from dashboard.models import Batch
    from tests.searched import words_query

    answer = httpx.get(f"{base_url}/batches?limit={PAGE}", headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
    known = next(record for record in answer.json()["data"] if record["metadata"])
    words = list(known["metadata"].values())
    found = {match.pk for match in find(words_query(words), limit=PAGE).matches}
    must_be(f"{words} finds it", found >= set(Batch.objects.filter(remote_id=known["id"]).values_list("pk")[0]), True)
    word = max(words, key=len)
    plainly = Batch.objects.filter(search_text__icontains=word).count()
    must_be(f"what the index finds for {word!r}", len(find(words_query([word]), limit=plainly + PAGE).matches), plainly)
    # Pages are written one by one or a few at a time: one batch of each tells of a page that the index lacks.
    for pk, remote_id in Batch.objects.order_by("-ordered_at", "-pk").values_list("pk", "remote_id")[::PAGE]:
        must_be(
            f"{remote_id} is found",
            pk in {match.pk for match in find(words_query([remote_id[-8:]]), limit=PAGE).matches},
            True,
        )


def file_floor(base_url: str, count: int) -> dict[str, Any]:
    """The bytes of the file, and each line decoded, which is then forgotten."""
    import httpx
    import msgspec

    decoded = 0
    with httpx.Client(headers={"Authorization": f"Bearer {KEY}"}, trust_env=False, timeout=60) as client:
        [file_id] = [batch["error_file_id"] for batch in client.get(f"{base_url}/batches?limit=1").json()["data"]]

        def fetch() -> None:
            nonlocal decoded
            for line in client.get(f"{base_url}/files/{file_id}/content").content.splitlines():
                msgspec.json.decode(line)
                decoded += 1

        said = clocked(fetch)
    must_be("lines that were decoded", decoded, count)
    return said


def file_ours(base_url: str, count: int) -> dict[str, Any]:
    """The real `read_file()`, as the worker calls it; then a proof that every line is in a row and in a group."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
    django.setup()
    from django.core.management import call_command
    from django.db.models import Sum
    from django.utils import timezone

    from dashboard.models import Batch, BatchError, Connection, ErrorDay, FileRead, Result
    from dashboard.sync.files import due_reads
    from dashboard.sync.pull import pull
    from dashboard.sync.reading import read_file

    call_command("migrate", interactive=False, verbosity=0)
    connection = Connection(name="Bench", vendor="simulator", base_url=base_url)
    connection.set_key(KEY)
    connection.save()
    pull(connection.pk)
    [wanted] = due_reads(timezone.now())
    reads: list[FileRead | None] = []
    before = megabytes_now()
    said: dict[str, Any] = {**clocked(lambda: reads.append(read_file(wanted)))}
    said["megabytes"] = megabytes_at_most() - before
    read = reads[0]
    assert read is not None
    must_be("the end of the read", (read.state, read.error_kind, read.bad_lines), (FileRead.State.READ, "", 0))
    must_be("lines that failed", read.failed, count)
    must_be("bytes that were read", read.offset, 4_096 * count)
    must_be("rows of single requests", Result.objects.filter(read=read).count(), count)
    must_be("their custom_ids", Result.objects.values("custom_id").distinct().count(), count)
    groups = list(BatchError.objects.values_list("requests", flat=True))
    must_be("groups, and what they hold", (len(groups), sum(groups)), (8, count))
    must_be("what the day holds", ErrorDay.objects.aggregate(all=Sum("requests"))["all"], count)
    must_be("the worst error of the batch", Batch.objects.get(pk=read.batch_id).worst_requests, max(groups))
    return said


def megabytes_now() -> float:
    """What this process holds in memory; its peak is forgotten, so that `megabytes_at_most` tells of what follows."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def megabytes_at_most() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


CONTENDERS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "file_floor": file_floor,
    "file_ours": file_ours,
    "floor": floor,
    "many": many,
    "ours": ours,
    "sdk": sdk,
}

if __name__ == "__main__":
    print(json.dumps(CONTENDERS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))))
