"""When a server that somebody else wrote says no, or nothing: the connection names the failure rightly."""

import pytest
from django.utils import timezone

from dashboard.models import Batch, Connection, SyncRun
from dashboard.sync.probe import probe
from dashboard.sync.pull import pull
from tests.servers.conftest import Connect, Follow, Page
from tests.servers.vendors import Vendor, questions

pytestmark = [pytest.mark.server, pytest.mark.django_db]


def fail(connection: Connection) -> Connection:
    """The connection after a sync that failed."""
    run = pull(connection.pk, only_due=False)
    assert run is not None
    assert run.ending == "failed"
    connection.refresh_from_db()
    assert connection.error_kind == run.error_kind
    assert connection.claim_token == ""
    assert connection.next_sync_at is not None
    assert connection.next_sync_at > timezone.now()
    return connection


def test_the_test_button_says_what_a_good_key_sees(vendor: Vendor, connect: Connect) -> None:
    vendor.make(questions(1))
    finding = probe(connect(vendor))
    assert (finding.good, finding.code) == (True, "works")
    assert finding.sentence.startswith("It works. The key sees")


def test_a_wrong_key_is_named(vendor: Vendor, connect: Connect) -> None:
    connection = connect(vendor, key="sk-wrong-wrong-wrong")
    finding = probe(connection)
    assert (finding.good, finding.code) == (False, "bad_key")
    assert "wrong-wrong" not in finding.sentence
    assert fail(connection).error_kind == "bad_key"
    assert "wrong-wrong" not in connection.error_words


@pytest.mark.parametrize("path", ["batch", "nowhere/batches"])
def test_a_wrong_path_is_named(vendor: Vendor, connect: Connect, path: str) -> None:
    connection = connect(vendor, batches_path=path)
    assert probe(connection).code == "not_found"
    assert fail(connection).error_kind == "not_found"


def test_another_api_of_the_same_server_is_not_taken_for_batches(vendor: Vendor, connect: Connect) -> None:
    connection = connect(vendor, batches_path="models")
    finding = probe(connection)
    assert not finding.good or "none of the records" in finding.sentence
    pull(connection.pk, only_due=False)
    assert not Batch.objects.filter(connection=connection).exists()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("ratelimit", "rate_limited"),
        ("drop", "server_error"),
        ("malformed", "not_json"),
        ("disconnect", "unreachable"),
    ],
)
def test_each_fault_is_named_and_mended_by_the_next_good_sync(
    aimock: Vendor, connect: Connect, fault: str, kind: str
) -> None:
    remote_id = aimock.make(questions(2)).id
    connection = connect(aimock)
    pull(connection.pk, only_due=False)
    Connection.objects.filter(pk=connection.pk).update(extra_headers={f"x-aimock-chaos-{fault}": "1"})
    assert probe(Connection.objects.get(pk=connection.pk)).code == kind
    for times in (1, 2):
        assert fail(connection).error_kind == kind
        assert connection.failures == times
    assert Batch.objects.filter(connection=connection, remote_id=remote_id).exists(), "what is known is kept"

    Connection.objects.filter(pk=connection.pk).update(extra_headers={})
    run = pull(connection.pk, only_due=False)
    assert run is not None
    assert run.ending == "good"
    connection.refresh_from_db()
    assert (connection.error_kind, connection.failures, connection.failing_since) == ("", 0, None)


def test_a_killed_server_is_unreachable_and_recovers_with_its_history(
    mortal_ogx: Vendor, connect: Connect, follow: Follow, page: Page
) -> None:
    done = mortal_ogx.make(questions(2))
    connection = connect(mortal_ogx)
    follow(connection, done.id)
    under_way = mortal_ogx.make(questions(40, "slow/gpt-4o"))
    assert pull(connection.pk, only_due=False) is not None
    rows = Batch.objects.filter(connection=connection)
    before = set(rows.values_list("remote_id", flat=True))
    assert {done.id, under_way.id} <= before
    synced_at = Connection.objects.get(pk=connection.pk).synced_at

    mortal_ogx.process.kill()
    assert fail(connection).error_kind == "unreachable"
    assert probe(connection).code == "unreachable"
    assert connection.failing_since is not None
    assert connection.synced_at == synced_at, "the age of the data is that of the last good sync"
    assert set(rows.values_list("remote_id", flat=True)) == before
    assert "Succeeded" in page(rows.get(remote_id=done.id))

    mortal_ogx.process.start()
    run = pull(connection.pk, only_due=False)
    assert run is not None
    assert run.ending == "good"
    mended = Connection.objects.get(pk=connection.pk)
    assert (mended.error_kind, mended.failing_since) == ("", None)
    assert set(rows.values_list("remote_id", flat=True)) == before
    endings = SyncRun.objects.filter(connection=connection).order_by("pk").values_list("ending", flat=True)
    assert list(endings)[-2:] == ["failed", "good"]
    # OGX forgets what it was running: its batch stays open for ever, and so does our row, which says what OGX says.
    assert rows.get(remote_id=under_way.id).status == mortal_ogx.look(under_way.id).status
