"""Cancelling on servers that somebody else wrote, each with manners of its own."""

import pytest
from django.utils import timezone

from dashboard.models import Act, AuditEntry, Batch, Connection, Transition, User
from dashboard.sync import acts
from dashboard.sync.pull import pull
from tests.servers.conftest import Connect, Follow, Page
from tests.servers.vendors import Vendor, questions

pytestmark = [pytest.mark.server, pytest.mark.django_db]
LONG = questions(40, "slow/gpt-4o")


def seen(connection: Connection, remote_id: str) -> Batch:
    """The batch's row after one sync."""
    run = pull(connection.pk, only_due=False)
    assert run is not None
    assert run.ending == "good", f"{run.error_kind}: {run.error_words}"
    return Batch.objects.get(connection=connection, remote_id=remote_id)


def refused_with(vendor: Vendor, aimock: Vendor, *, aimock_says: int, ogx_says: int) -> int:
    return aimock_says if vendor is aimock else ogx_says


def test_a_running_batch_is_cancelled(vendor: Vendor, connect: Connect, follow: Follow, page: Page, ana: User) -> None:
    connection = connect(vendor)
    batch = seen(connection, vendor.make(LONG).id)
    act = acts.cancel(batch, ana, address="203.0.113.7")

    assert (act.state, act.http_status, act.who) == ("accepted", 200, "ana")
    batch.refresh_from_db()
    assert batch.status in {"cancelling", "cancelled"}, "the answer of the API is the new row"
    assert Transition.objects.filter(batch=batch, source="act").exists()
    entry = AuditEntry.objects.get(verb="batch.cancel")
    assert (entry.actor, entry.address) == ("ana", "203.0.113.7")
    assert batch.remote_id in entry.target

    batch = follow(connection, batch.remote_id)
    assert batch.status == batch.outcome == "cancelled"
    assert vendor.look(batch.remote_id).status == "cancelled"
    assert "Cancelled" in page(batch)


def test_after_a_cancel_the_connection_hurries(vendor: Vendor, connect: Connect, ana: User) -> None:
    connection = connect(vendor)
    act = acts.cancel(seen(connection, vendor.make(LONG).id), ana)
    connection.refresh_from_db()
    assert act.ended_at is not None
    assert connection.next_sync_at is not None
    assert (connection.next_sync_at - act.ended_at).total_seconds() < 10


def test_a_finished_batch_stays_what_it_is_and_the_vendors_words_are_kept(
    vendor: Vendor, aimock: Vendor, connect: Connect, follow: Follow, page: Page, ana: User
) -> None:
    connection = connect(vendor)
    batch = follow(connection, vendor.make(questions(2)).id)
    act = acts.cancel(batch, ana)

    assert act.state == "refused"
    assert act.http_status == refused_with(vendor, aimock, aimock_says=400, ogx_says=409)
    assert act.words
    batch.refresh_from_db()
    assert batch.outcome == "succeeded"
    shown = page(batch)
    assert "Succeeded" in shown
    assert act.words in shown


def test_a_batch_that_ended_unnoticed_shows_its_end_after_the_refusal(
    ogx: Vendor, connect: Connect, follow: Follow, ana: User
) -> None:
    connection, other = connect(ogx), connect(ogx, name="other")
    batch = seen(connection, ogx.make(questions(4, "slow/gpt-4o")).id)
    assert batch.is_open
    follow(other, batch.remote_id)
    act = acts.cancel(batch, ana)

    assert (act.state, act.http_status) == ("refused", 409)
    batch.refresh_from_db()
    assert (batch.status, batch.outcome) == ("completed", "succeeded")


def test_cancelling_what_is_cancelled_changes_nothing(
    vendor: Vendor, aimock: Vendor, connect: Connect, follow: Follow, ana: User
) -> None:
    connection = connect(vendor)
    batch = seen(connection, vendor.make(LONG).id)
    acts.cancel(batch, ana)
    batch = follow(connection, batch.remote_id)
    # Later than a second click of the same hand.
    Act.objects.update(ended_at=timezone.now() - acts.DOUBLE_CLICK)
    act = acts.cancel(batch, ana)

    # OGX says 200 to it, aimock 400.
    assert act.http_status == refused_with(vendor, aimock, aimock_says=400, ogx_says=200)
    assert act.state == ("refused" if vendor is aimock else "accepted")
    batch.refresh_from_db()
    assert batch.status == "cancelled"
    assert Act.objects.filter(batch=batch).count() == 2


def test_a_vanished_batch_is_a_refusal_and_its_row_stays(
    vendor: Vendor, connect: Connect, follow: Follow, ana: User
) -> None:
    connection = connect(vendor)
    batch = seen(connection, vendor.make(LONG).id)
    acts.cancel(batch, ana)
    Act.objects.all().delete()
    Batch.objects.filter(pk=batch.pk).update(remote_id="batch_00000000-0000-4000-8000-000000000000", is_open=True)
    batch.refresh_from_db()
    act = acts.cancel(batch, ana)

    assert (act.state, act.error_kind, act.http_status) == ("refused", "not_found", 404)
    assert Batch.objects.filter(pk=batch.pk).exists()


def test_a_batch_that_the_vendor_has_lost_is_gone_after_three_looks_and_not_after_one(
    mortal_aimock: Vendor, connect: Connect, page: Page
) -> None:
    connection = connect(mortal_aimock)
    remote_id = mortal_aimock.make(questions(2)).id
    batch = seen(connection, remote_id)
    # Its state is in memory.
    mortal_aimock.process.stop()
    mortal_aimock.process.start()

    assert seen(connection, remote_id).gone_at is None
    assert seen(connection, remote_id).gone_at is None
    batch = seen(connection, remote_id)
    assert batch.gone_at is not None
    assert "No longer visible" in page(batch)


def test_a_key_for_acts_that_the_vendor_rejects_is_a_refusal_that_says_so(
    vendor: Vendor, connect: Connect, ana: User
) -> None:
    connection = connect(vendor)
    connection.set_act_key("sk-some-key-of-yesterday")
    connection.save()
    batch = seen(connection, vendor.make(questions(3, "slow/gpt-4o")).id)
    act = acts.cancel(batch, ana)

    assert (act.state, act.error_kind, act.http_status) == ("refused", "bad_key", 401)
    assert "yesterday" not in act.words
    batch.refresh_from_db()
    assert batch.status in ("validating", "in_progress"), "the key that reads has looked: it runs on"


def test_a_cancel_under_a_wrong_path_is_a_refusal(vendor: Vendor, connect: Connect, ana: User) -> None:
    connection = connect(vendor)
    batch = seen(connection, vendor.make(questions(3, "slow/gpt-4o")).id)
    Connection.objects.filter(pk=connection.pk).update(batches_path="batch")
    batch.connection.refresh_from_db()
    act = acts.cancel(batch, ana)
    assert (act.state, act.error_kind, act.http_status) == ("refused", "not_found", 404)


def test_a_vendor_that_is_down_leaves_a_refusal_because_nothing_was_sent(
    mortal_aimock: Vendor, connect: Connect, ana: User
) -> None:
    connection = connect(mortal_aimock)
    batch = seen(connection, mortal_aimock.make(questions(2)).id)
    mortal_aimock.process.stop()
    act = acts.cancel(batch, ana)
    assert (act.state, act.error_kind, act.http_status) == ("refused", "unreachable", None)


@pytest.mark.parametrize(
    ("fault", "kind"), [("drop", "server_error"), ("malformed", "not_json"), ("disconnect", "unreachable")]
)
def test_a_cancel_without_a_clear_answer_is_unknown_until_a_look_settles_it(
    aimock: Vendor, connect: Connect, ana: User, fault: str, kind: str
) -> None:
    connection = connect(aimock)
    batch = seen(connection, aimock.make(LONG).id)
    Connection.objects.filter(pk=connection.pk).update(extra_headers={f"x-aimock-chaos-{fault}": "1"})
    batch.connection.refresh_from_db()
    act = acts.cancel(batch, ana)

    assert (act.state, act.error_kind) == ("unknown", kind)
    assert acts.cancel(batch, ana).pk == act.pk, "a second click sends nothing"
    Connection.objects.filter(pk=connection.pk).update(extra_headers={})
    acts.settle(act.pk)
    act.refresh_from_db()
    assert act.state == "refused", "aimock answers before it cancels, so the batch is still running"
    assert act.error_kind == "unconfirmed"
