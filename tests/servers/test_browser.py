"""The whole product, started as its README says, in a real browser, on a server that really executes batches."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard.supervisor.keeper import Sitter
from tests.servers.installation import Installation
from tests.servers.installs import REPO
from tests.servers.processes import Process, free_port
from tests.servers.vendors import KEY, Vendor, questions

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.timeout(400)]
# A batch takes some 25 s, a tick comes every 5 s, and the machine may have other work.
PATIENCE = 90_000
LINK = re.compile(r"http://\S+/sign-in/first/\?token=\S+")
PASSWORD = "correct horse battery staple"

type Shot = Callable[[str], None]


@dataclass
class Product:
    """The running product: its data folder's rows, and the one-time link that `manage.py up` printed."""

    installation: Installation
    link: str


@pytest.fixture
def product(queueing_ogx: Vendor, tmp_path: Path, sitter: Sitter) -> Iterator[Product]:
    port = free_port()
    env = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": queueing_ogx.base_url}
    installation = Installation(tmp_path / "data", sitter, env)
    up = Process(
        [sys.executable, str(REPO / "manage.py"), "up", "--port", str(port)],
        sitter=sitter,
        log=tmp_path / "up.log",
        ready=lambda: LINK.search(up.words()) is not None,
        env=installation.env,
        cwd=REPO,
    )
    try:
        up.start()
        found = LINK.search(up.words())
        assert found
        yield Product(installation, found[0])
    finally:
        up.stop()


@pytest.fixture
def window(browser: Browser, product: Product) -> Iterator[Page]:
    """A browser's window in which the first admin has signed in by the link."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        window = context.new_page()
        said: list[str] = []
        window.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        window.on("pageerror", lambda error: said.append(str(error)))
        window.goto(product.link)
        window.get_by_label("Name to sign in with").fill("mei")
        for field in window.locator("input[type=password]").all():
            field.fill(PASSWORD)
        window.get_by_role("button", name="Make admin and sign in").click()
        expect(window).to_have_url(re.compile(r":\d+/$"))
        window.get_by_role("navigation").get_by_role("link", name="Batches").first.click()
        expect(window).to_have_url(re.compile(r"/batches/$"))
        yield window
        assert said == [], "the browser's console has nothing to complain about"


@pytest.fixture
def shot(window: Page) -> Shot:
    """Keeps a picture in the folder that SHOTS names."""
    folder = os.environ.get("SHOTS")

    def shot(name: str) -> None:
        if folder:
            window.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    return shot


def sync_often(product: Product) -> None:
    """As an admin would set it for a connection whose batches take seconds."""
    product.installation.rows("UPDATE dashboard_connection SET interval = 1, next_sync_at = NULL")


def mark(window: Page) -> None:
    """Leaves something in the page that does not survive a reload."""
    window.evaluate("window.neverReloaded = true")


def was_never_reloaded(window: Page) -> bool:
    return bool(window.evaluate("window.neverReloaded === true"))


def test_a_batch_is_watched_to_its_end_and_another_is_cancelled_from_the_page(
    queueing_ogx: Vendor, product: Product, window: Page, shot: Shot
) -> None:
    sync_often(product)
    shot("list-empty")
    mark(window)
    # One at a time: the second waits, and is validating, until we end the first.
    first = queueing_ogx.make(questions(400, "slow/gpt-4o"), metadata={"name": "summaries"})
    watched = queueing_ogx.make(questions(30, "slow/gpt-4o"), metadata={"name": "product tags"})
    doomed = queueing_ogx.make(questions(400, "slow/gpt-4o"), metadata={"name": "spam labels"})

    row = window.get_by_role("link", name="product tags").first
    expect(row).to_be_visible(timeout=PATIENCE)
    shot("list-live")
    assert was_never_reloaded(window), "the new batches came by themselves"
    row.click()

    expect(window).to_have_url(re.compile(r"/batches/\d+/$"))
    mark(window)
    expect(window.get_by_role("heading", level=1)).to_have_text("product tags")
    status = window.locator("#batch .title .status")
    expect(status).to_contain_text("Validating", timeout=PATIENCE)
    shot("batch-validating")
    with queueing_ogx.sdk() as sdk:
        sdk.batches.cancel(first.id)
    expect(status).to_contain_text("In progress", timeout=PATIENCE)
    shot("batch-in-progress")
    expect(status).to_contain_text("Succeeded", timeout=PATIENCE)
    expect(window.locator("#batch .outcome")).to_contain_text("All 30 requests completed.")
    shot("batch-succeeded")
    assert was_never_reloaded(window)
    assert queueing_ogx.look(watched.id).status == "completed"

    window.get_by_role("link", name="Batches").first.click()
    window.get_by_role("link", name="spam labels").first.click()
    mark(window)
    expect(status).to_contain_text("In progress", timeout=PATIENCE)
    window.get_by_role("link", name="Cancel batch").or_(window.get_by_role("button", name="Cancel batch")).click()
    dialog = window.get_by_role("dialog")
    expect(dialog).to_contain_text("Cancel spam labels?")
    expect(dialog).to_contain_text(doomed.id)
    shot("cancel-dialog")
    assert queueing_ogx.look(doomed.id).status == "in_progress", "asking is not yet doing"
    dialog.get_by_role("button", name="Cancel batch").click()
    expect(dialog).to_be_hidden(timeout=PATIENCE)
    expect(status).to_contain_text(re.compile("Cancelling|Cancelled"), timeout=PATIENCE)
    shot("batch-cancelling")
    expect(status).to_contain_text("Cancelled", timeout=PATIENCE)
    shot("batch-cancelled")
    assert was_never_reloaded(window)
    assert queueing_ogx.look(doomed.id).status == "cancelled"
