"""What a page costs in a real Chromium: a refresh in which rows moved, a first visit, and the largest paint.

`python -m tests.bench.browser` is the part with Django: it opens batches, moves some of them and says where to look.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.figures import ROUNDS, Row, Wrong, must_be
from tests.bench.processes import answer_of, copy_of, environment, free_port, python, say, started, wait_for

ROWS, MOVED = 50, 10
REFRESHES, SLOW_REFRESHES = 15, 3
CHARTS_REST = 31  # seconds after which the overview's charts ask again with a refresh
MOST_REFRESH_KB, MOST_REFRESH_MS = 12.0, 20.0
MOST_VISIT_KB, MOST_SCRIPTS_KB = 120.0, 15.0
THROTTLE, MOST_PAINT_S = 4, 1.0
LARGEST = """new PerformanceObserver((list) => { window.largest = list.getEntries().at(-1).startTime; })
  .observe({type: 'largest-contentful-paint', buffered: true});"""


def measure(prepared: Path, batches: int) -> list[Row]:
    with copy_of(prepared, "browser") as data:
        said = answer_of(python("tests.bench.browser", "open"), environment(data), 300)
        port, log = free_port(), data / "web.log"
        with started(python("tests.bench.serving", port, 1), environment(data), log) as web:
            wait_for(f"http://127.0.0.1:{port}/healthz", web, log)
            session = json.loads((data / "sessions.json").read_text())[0]
            with chromium() as browser:
                desk = Desk(browser, f"http://127.0.0.1:{port}", session, data)
                return [
                    refresh_row(desk, "the list", "/batches/", REFRESHES, rest=0),
                    refresh_row(desk, "the overview with both charts", "/", SLOW_REFRESHES, rest=CHARTS_REST),
                    visit_row(desk, batches),
                    paint_row(desk, {"/": "/", "/batches/": "/batches/", "a batch": f"/batches/{said['batch']}/"}),
                ]


@contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    from tests.chromium import ARGS, MISSING
    from tests.chromium import chromium as path_of

    if not (path := path_of()):
        raise Wrong(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        browser.close()


class Desk:
    """A signed-in browser in front of the server; each page in a context of its own, so with nothing in its cache."""

    def __init__(self, browser: Any, url: str, session: str, data: Path) -> None:
        self.browser, self.url, self.session, self.data = browser, url, session, data

    @contextmanager
    def page(self, *, zone: bool = True) -> Iterator[tuple[Any, Any]]:
        """A page and its line to the browser's own tools. Without `zone` it is somebody's very first."""
        with self.browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="UTC") as context:
            cookies = [{"name": "batches_session", "value": self.session, "url": self.url}]
            if zone:
                cookies.append({"name": "zone", "value": "UTC", "url": self.url})
            context.add_cookies(cookies)
            page = context.new_page()
            yield page, context.new_cdp_session(page)

    def move(self) -> None:
        must_be(
            "rows moved", answer_of(python("tests.bench.browser", "move"), environment(self.data), 60), {"n": MOVED}
        )


class Wire:
    """What came over the wire, with all headers, as the browser counted it."""

    def __init__(self, tools: Any) -> None:
        self.kinds: dict[str, tuple[str, str, str]] = {}  # address, kind, how it was packed
        self.came: list[tuple[str, str, str, float]] = []
        tools.on("Network.responseReceived", self._begin)
        tools.on("Network.loadingFinished", self._end)
        tools.send("Network.enable")

    def _begin(self, event: Any) -> None:
        answer = event["response"]
        packed = {name.lower(): value for name, value in answer["headers"].items()}.get("content-encoding", "")
        self.kinds[event["requestId"]] = (answer["url"], event["type"], packed)

    def _end(self, event: Any) -> None:
        if kind := self.kinds.get(event["requestId"]):
            self.came.append((*kind, event["encodedDataLength"]))

    def kilobytes(self, which: Callable[[str, str], bool] = lambda _url, _kind: True) -> float:
        return sum(size for url, kind, _packed, size in self.came if which(url, kind)) / 1000


def busy(tools: Any) -> float:
    """Milliseconds that the page's main thread has worked so far: script, style, layout, paint and all else."""
    metrics = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"]) * 1000


def refresh_row(desk: Desk, name: str, path: str, rounds: int, *, rest: int) -> Row:
    sizes, times = [], []
    with desk.page() as (page, tools):
        page.goto(desk.url + path)
        page.wait_for_load_state("networkidle")
        page.locator("#cadence").select_option("0")  # it asks when we say so
        # Time on the processor: what else the machine does is no cost of the page.
        tools.send("Performance.enable", {"timeDomain": "threadTicks"})
        wire = Wire(tools)
        for n in range(rounds + 1):
            time.sleep(rest or 0.2)
            desk.move()
            # The server looks at the database once a second.
            page.wait_for_timeout(1_300)
            wire.came.clear()
            rows = page.locator("tbody").all_inner_texts()
            before = busy(tools)
            with page.expect_response(lambda answer: "seen=" in answer.url) as told:
                page.evaluate("document.querySelector('#poll').dispatchEvent(new Event('poll'))")
            must_be("the status of a refresh", told.value.status, 200)
            page.wait_for_timeout(700)
            spent = busy(tools) - before
            if path == "/batches/":
                must_be("rows in a refresh", told.value.text().count('<tr id="row-'), MOVED)
            must_be("what was sent unpacked", [url for url, _kind, packed, _size in wire.came if packed != "gzip"], [])
            must_be("whether the rows show it", rows != page.locator("tbody").all_inner_texts(), True)
            if n:  # the browser has met the code by then
                sizes.append(wire.kilobytes())
                times.append(spent)
    say(f"browser: {name}: {max(sizes):.1f} kB, {median(times):.1f} ms ({min(times):.1f} .. {max(times):.1f})")
    return Row(
        f"a refresh of {name} in which {MOVED} of {ROWS} rows moved: over the wire with headers (the largest), and "
        "work of Chromium's main thread (the middle)",
        f"{max(sizes):.1f} kB, {median(times):.1f} ms",
        f"{min(sizes):.1f} .. {max(sizes):.1f} kB, {min(times):.1f} .. {max(times):.1f} ms",
        f"≤ {MOST_REFRESH_KB:g} kB, ≤ {MOST_REFRESH_MS:g} ms",
        max(sizes) <= MOST_REFRESH_KB and median(times) <= MOST_REFRESH_MS,
    )


def visit_row(desk: Desk, batches: int) -> Row:
    with desk.page(zone=False) as (page, tools):
        wire = Wire(tools)
        page.goto(desk.url + "/batches/")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1_000)
        must_be("rows of the list", page.locator("tbody tr").count(), ROWS)
        # A browser without a window does not ask for the page's icon; anybody else's does.
        page.evaluate("fetch(document.querySelector('link[rel=icon]').href).then((answer) => answer.text())")
        page.wait_for_timeout(300)
    documents = sum(kind == "Document" for _url, kind, _packed, _size in wire.came)
    styles = len({url for url, kind, _packed, _size in wire.came if kind == "Stylesheet"})
    everything = wire.kilobytes()
    own = wire.kilobytes(lambda url, kind: kind == "Script" and "/vendor/" not in url)
    for url, kind, packed, size in wire.came:
        say(f"browser: {kind} {url.removeprefix(desk.url)} {packed or 'unpacked'} {size:,.0f}")
    return Row(
        f"first visit to /batches/ with {batches:,} batches and an empty cache, everything counted with headers, the "
        f"page itself {documents} times because the browser tells its time zone",
        f"{everything:.1f} kB, {styles} stylesheet, own scripts {own:.1f} kB",
        f"{len(wire.came)} requests",
        f"≤ {MOST_VISIT_KB:g} kB, 1 stylesheet, ≤ {MOST_SCRIPTS_KB:g} kB",
        everything <= MOST_VISIT_KB and styles == 1 and own <= MOST_SCRIPTS_KB,
    )


def paint_row(desk: Desk, pages: dict[str, str]) -> Row:
    seconds: dict[str, list[float]] = {name: [] for name in pages}
    for n in range(ROUNDS + 1):
        for name, path in pages.items():
            with desk.page() as (page, tools):
                tools.send("Emulation.setCPUThrottlingRate", {"rate": THROTTLE})
                page.add_init_script(LARGEST)
                page.goto(desk.url + path)
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(500)
                if n:  # the server has met the page by then
                    seconds[name].append(page.evaluate("window.largest") / 1000)
    middle = {name: median(some) for name, some in seconds.items()}
    return Row(
        f"largest contentful paint on loopback with the processor throttled {THROTTLE} x and an empty cache "
        "(the middle)",
        ", ".join(f"{name} {some:.2f} s" for name, some in middle.items()),
        ", ".join(f"{min(some):.2f} .. {max(some):.2f}" for some in seconds.values()),
        f"≤ {MOST_PAINT_S:g} s",
        max(middle.values()) <= MOST_PAINT_S,
    )


# --- In a process with Django -----------------------------------------------------------------------------------------


def begin() -> None:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "dashboard.settings"
    django.setup()


def newest() -> list[int]:
    from dashboard.models import Batch

    return list(Batch.objects.order_by("-place").values_list("pk", flat=True)[:ROWS])


def open_some() -> dict[str, Any]:
    """The batches of the first page run, some of them need somebody, and there was traffic all day."""
    begin()
    from django.utils import timezone

    from dashboard.models import Batch, Concern, Connection, Counter, Flow
    from dashboard.models.batch import FOR_EVER, Outcome
    from dashboard.models.concern import Reason
    from dashboard.models.flow import QUARTER, quarter_of

    now, ids = timezone.now(), newest()
    running = Batch.objects.filter(pk__in=ids)
    running.update(
        status="in_progress", raw_status="in_progress", outcome=Outcome.OPEN, is_open=True, finished_at=None,
        completed_at=None, expires_at=now + timedelta(hours=9), refresh_until=FOR_EVER, requests_total=5_000,
        requests_completed=100, requests_failed=1,
    )  # fmt: skip
    connection = Connection.objects.get()
    Connection.objects.update(synced_at=now, next_sync_at=now + timedelta(hours=9))
    Counter.objects.update_or_create(
        connection=connection, status="in_progress", outcome=Outcome.OPEN, defaults={"batches": ROWS}
    )
    for pk in ids[:8]:
        Concern.objects.create(batch_id=pk, connection=connection, reason=Reason.STALLED, opened_at=now)
    latest = quarter_of(int(now.timestamp()))
    Flow.objects.all().delete()
    Flow.objects.bulk_create(
        Flow(
            connection=connection,
            quarter=latest - n * QUARTER,
            looks=20,
            completed=900 + n,
            failed=n % 7,
            in_flight=90 * n,
        )
        for n in range(4 * 24 * 7)
    )
    return {"batch": ids[0]}


def move() -> dict[str, Any]:
    """As a sync would: some rows and their connection's revision together."""
    begin()
    from django.db.models import F
    from django.utils import timezone

    from dashboard.models import Batch, Connection
    from dashboard.models.connection import raise_revision

    connection = Connection.objects.get()
    revision = raise_revision(connection.pk)
    Connection.objects.update(synced_at=timezone.now())
    some = Batch.objects.filter(pk__in=newest()[:MOVED])
    return {"n": some.update(requests_completed=F("requests_completed") + 37, revision=revision)}


ACTS: dict[str, Callable[[], dict[str, Any]]] = {"open": open_some, "move": move}

if __name__ == "__main__":
    print(json.dumps(ACTS[sys.argv[1]]()))
