"""The connections that come from outside: the environment's and the demo's."""

import pytest
from django.core.management import CommandError
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from dashboard.management.preparation import connect_demo, connect_environment
from dashboard.models import AuditEntry, Batch, Connection, User
from dashboard.tasks import drop_history
from tests.batches_made import batch_made
from tests.cast import ClientOf


@pytest.fixture
def admin(client_of: ClientOf, mei: User) -> Client:
    return client_of(mei)


@pytest.fixture(autouse=True)
def environment(settings: Settings, db: None) -> None:
    settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL = "sk-from-outside-1234", "https://proxy.example/v1"


def test_the_key_of_the_environment_is_never_stored() -> None:
    connection = connect_environment()
    assert connection
    assert connection.key == "sk-from-outside-1234"
    assert "sk-from-outside" not in str(Connection.objects.values().get())
    assert connect_environment() == connection


def test_credentials_in_the_address_stop_the_start_and_reach_nothing(settings: Settings) -> None:
    settings.OPENAI_BASE_URL = "https://me:hunter2secret@proxy.example/v1"
    with pytest.raises(CommandError) as stopped:
        connect_environment()
    assert "hunter2secret" not in str(stopped.value)
    assert not Connection.objects.exists()
    assert not AuditEntry.objects.exists()


def test_another_address_reads_from_the_start_and_drops_the_second_key(settings: Settings) -> None:
    connection = connect_environment()
    assert connection
    connection.set_act_key("sk-for-acts-0000")
    connection.imported_at = timezone.now()
    connection.save()
    settings.OPENAI_BASE_URL = "https://other.example/v1"
    connect_environment()
    connection.refresh_from_db()
    assert (connection.base_url, connection.sealed_act_key) == ("https://other.example/v1", "")
    assert connection.imported_at is None


def test_a_connection_that_somebody_removed_stays_removed() -> None:
    connection = connect_environment()
    assert connection
    Connection.objects.update(retired_at=timezone.now())
    assert connect_environment() is None
    assert Connection.objects.count() == 1


def test_a_dropped_connection_stays_away_and_can_be_brought_back(admin: Client, settings: Settings) -> None:
    connection = connect_environment()
    assert connection
    batch_made(connection, "completed")
    admin.post(f"/connections/{connection.pk}/delete/", {"history": "drop", "name": connection.name})
    assert connect_environment() is None
    drop_history(connection.pk)
    assert not Batch.objects.exists()
    assert connect_environment() is None
    assert "history kept" not in admin.get("/connections/").content.decode()
    # The address of now: that of before may belong to somebody else.
    settings.OPENAI_BASE_URL = "https://other.example/v1"
    answer = admin.post(f"/connections/{connection.pk}/restore/", follow=True)
    assert "is back and is read from the start" in answer.content.decode()
    back = Connection.objects.due(timezone.now()).get()
    assert (back.retired_at, back.imported_at, back.base_url) == (None, None, "https://other.example/v1")
    assert AuditEntry.objects.order_by("-pk")[0].verb == "connection.restore"
    assert connect_environment() == back
    assert admin.post(f"/connections/{connection.pk}/restore/").status_code == 404


def test_a_demo_that_is_being_dropped_is_made_anew() -> None:
    connect_demo(8001)
    Connection.objects.update(retired_at=timezone.now(), dropped_at=timezone.now())
    connect_demo(8001)
    assert Connection.objects.kept().get().name.startswith("Demo ")


def test_the_demo_leaves_a_connection_of_that_name_alone() -> None:
    own = Connection.objects.create(name="Demo", base_url="https://real.example/v1")
    connect_demo(18_400)
    connect_demo(18_400)
    own.refresh_from_db()
    assert own.base_url == "https://real.example/v1"
    assert Connection.objects.count() == 2


def test_a_demo_that_was_removed_comes_back_and_is_read_from_the_start() -> None:
    connect_demo(18_400)
    Connection.objects.update(retired_at=timezone.now(), imported_at=timezone.now())
    connect_demo(18_400)
    back = Connection.objects.get()
    assert (back.retired_at, back.imported_at) == (None, None)
    Connection.objects.update(imported_at=timezone.now())
    connect_demo(18_401)
    assert Connection.objects.get().imported_at, "another port is the same demo"
