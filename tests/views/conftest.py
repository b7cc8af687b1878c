"""Who looks at the pages, and a connection to look at."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from dashboard.models import Connection, User
from tests.cast import ClientOf

KEY = "sk-MARKER-first-key-abcd"


@pytest.fixture
def admin(client_of: ClientOf, mei: User) -> Client:
    return client_of(mei)


@pytest.fixture
def viewer(client_of: ClientOf, vic: User) -> Client:
    return client_of(vic)


@pytest.fixture
def prod(db: None) -> Connection:
    """In step, synced half a minute ago."""
    now = timezone.now()
    connection = Connection(
        name="OpenAI / prod",
        base_url="https://api.openai.com/v1",
        tried_at=now,
        synced_at=now - timedelta(seconds=38),
        imported_at=now - timedelta(days=1),
        next_sync_at=now + timedelta(seconds=12),
        health="in_step",
    )
    connection.set_key(KEY)
    connection.save()
    return connection
