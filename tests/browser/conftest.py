"""Pages of a real Chromium on Django's live server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from dashboard.models import User

type Opened = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, live_server: LiveServer) -> Iterator[Opened]:
    """Opens a page as somebody. Whatever breaks the content policy or throws in any of them fails the test."""
    contexts = []
    complaints: list[str] = []

    def open_as(user: User, path: str, *, width: int = 1440, theme: Any = "light", clock: bool = False) -> Page:
        client = Client()
        client.force_login(user, backend="dashboard.access.Roles")
        context = browser.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 844},
            color_scheme=theme,
            timezone_id="UTC",
            locale="en-GB",
        )
        contexts.append(context)
        name = settings.SESSION_COOKIE_NAME
        context.add_cookies(
            [
                {"name": name, "value": client.cookies[name].value, "url": live_server.url},
                {"name": "zone", "value": "UTC", "url": live_server.url},
            ]
        )
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if clock:
            page.clock.install()
        page.goto(path)
        page.wait_for_load_state("networkidle")
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert complaints == []
