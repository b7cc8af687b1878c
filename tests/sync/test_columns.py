"""What a batch is called, how it ended and when, as it came and after its names were chosen anew."""

from django.utils import timezone

from dashboard.models import Batch, Connection, Transition
from dashboard.sync.absorb import absorb
from dashboard.sync.columns import rename
from tests.sync.conftest import remote

Source = Transition.Source
POLL, ACT, IMPORT = Source.POLL, Source.ACT, Source.IMPORT


def test_the_end_is_when_we_noticed_where_the_vendor_does_not_say(connection: Connection) -> None:
    asked_at = timezone.now()
    absorb(connection, [remote("batch_seen", "completed", completed_at=None)], asked_at=asked_at, source=POLL)
    absorb(connection, [remote("batch_old", "completed", completed_at=None)], asked_at=asked_at, source=IMPORT)
    seen, old = Batch.objects.get(remote_id="batch_seen"), Batch.objects.get(remote_id="batch_old")
    assert seen.finished_at == asked_at.replace(microsecond=0)
    assert old.finished_at is None, "history is not dated by the day of its import"


def test_an_unknown_status_is_kept_shown_and_open(connection: Connection) -> None:
    absorb(connection, [remote(status="queued_local")], asked_at=timezone.now(), source=POLL)
    batch = Batch.objects.get()
    assert (batch.status, batch.raw_status, batch.outcome, batch.is_open) == (
        "unknown",
        "queued_local",
        "unknown",
        True,
    )


def test_name_and_owner_follow_the_chosen_metadata_keys(connection: Connection) -> None:
    metadata = {"name": "plain", "job": "chosen", "team": "search", "owner": "ana"}
    page = [remote(metadata=metadata), remote("batch_2", metadata={"description": "only this"})]
    absorb(connection, page, asked_at=timezone.now(), source=POLL)
    assert Batch.objects.get(remote_id="batch_1").name == "plain"
    assert Batch.objects.get(remote_id="batch_2").name == "only this"
    connection.name_key, connection.owner_key = "job", "team"
    connection.save()
    rename(connection)
    batch = Batch.objects.get(remote_id="batch_1")
    assert (batch.name, batch.owner) == ("chosen", "search")
    assert Batch.objects.get(remote_id="batch_2").name == "only this"
    connection.refresh_from_db()
    assert batch.revision == connection.revision


def test_an_answer_that_was_asked_for_before_a_rename_brings_the_new_names(connection: Connection) -> None:
    before = Connection.objects.get()
    metadata = {"name": "plain", "job": "chosen", "team": "search", "owner": "ana"}
    absorb(connection, [remote(metadata=metadata)], asked_at=timezone.now(), source=POLL)
    connection.name_key, connection.owner_key = "job", "team"
    connection.save()
    rename(connection)
    page = [remote(name, "completed", metadata=metadata) for name in ("batch_1", "batch_2")]
    absorb(before, page, asked_at=timezone.now(), source=ACT)
    assert set(Batch.objects.values_list("name", "owner")) == {("chosen", "search")}
