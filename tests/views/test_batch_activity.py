"""/batches/<pk>/activity/: what was seen when and who did what, all of it, at an address of its own."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from dashboard.models import Act, AuditEntry, Batch, Connection, Transition, User
from tests.batches_made import batch_made, connection_made
from tests.cast import ClientOf
from tests.views.test_batch import HTMX, get, poll_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(ana: User, client_of: ClientOf) -> Client:
    return client_of(ana)


@pytest.fixture
def prod(db: None) -> Connection:
    return connection_made(base_url="http://127.0.0.1:9/v1", auth_style="none")


@pytest.fixture
def batch(prod: Connection) -> Batch:
    return batch_made(prod, name="nightly-eval")


def audited(batch: Batch, verb: str, who: str = "Mei", detail: str = "") -> None:
    AuditEntry.objects.create(
        actor=who, verb=verb, target=f"{batch.connection}: {batch.remote_id}", batch=batch, detail=detail
    )


def test_it_tells_the_vendors_time_and_when_it_was_noticed_and_by_what(desk: Client, batch: Batch) -> None:
    at = timezone.now() - timedelta(minutes=9)
    Transition.objects.create(batch=batch, old_status="in_progress", new_status="finalizing", at=at,
                              noticed_at=at + timedelta(minutes=1), source="poll")  # fmt: skip
    page = get(desk, f"/batches/{batch.pk}/activity/")
    line = next(line for line in page.split("<li>") if "Finalizing" in line)
    assert at.isoformat() in line
    assert (at + timedelta(minutes=1)).isoformat() in line
    assert "by a sync" in line


def test_who_did_what_stands_once_and_only_with_its_batch(desk: Client, batch: Batch, prod: Connection) -> None:
    other = batch_made(prod)
    Act.objects.create(batch=batch, kind="cancel", state="accepted", who="Mei", began_at=timezone.now())
    audited(batch, "batch.cancel")
    audited(batch, "read.body", detail="error file, line 3, custom_id <b>x</b>")
    audited(other, "read.download")
    page = get(desk, f"/batches/{batch.pk}/activity/")
    assert page.count("Cancel by Mei") == 1
    assert "Mei read what a request says" in page
    assert "custom_id &lt;b&gt;x&lt;/b&gt;" in page
    assert "downloaded" not in page


def test_what_is_read_and_cancelled_is_noted_with_its_batch(desk: Client, batch: Batch) -> None:
    desk.post(f"/batches/{batch.pk}/files/input/read/")
    desk.post(f"/batches/{batch.pk}/cancel/")
    assert set(AuditEntry.objects.filter(batch=batch).values_list("verb", flat=True)) == {
        "read.file",
        "batch.cancel",
        "batch.cancel_answer",
    }
    assert "ana had a file read" in get(desk, f"/batches/{batch.pk}/activity/")


def test_the_log_outlives_the_batch_as_it_was_written(batch: Batch) -> None:
    audited(batch, "read.file")
    pk = batch.pk
    batch.delete()
    assert AuditEntry.objects.get().batch_id == pk


def test_the_first_page_has_a_few_and_leads_to_all(desk: Client, batch: Batch) -> None:
    for n in range(130):
        audited(batch, "read.file", who=f"person-{n:03d}")
    first = get(desk, f"/batches/{batch.pk}/")
    assert first.count("had a file read") < 10
    assert f'href="/batches/{batch.pk}/activity/"' in first
    some = get(desk, f"/batches/{batch.pk}/activity/")
    assert "person-129" in some
    assert "person-000" not in some
    assert 'href="?all=1"' in some
    assert "person-000" in get(desk, f"/batches/{batch.pk}/activity/?all=1")


@pytest.mark.parametrize("tab", ["", "requests/", "files/", "activity/", "activity/?all=1", "requests/?outcome=failed"])
def test_each_tab_is_an_address_and_a_poll_of_it_keeps_it(
    desk: Client, viewer: Client, batch: Batch, prod: Connection, tab: str
) -> None:
    address = f"/batches/{batch.pk}/{tab}"
    page = get(desk, address)
    assert get(viewer, address).count('aria-current="page"') == page.count('aria-current="page"')
    path, _mark, asked = poll_of(page, batch).removeprefix(f"/batches/{batch.pk}/").partition("?")
    assert path == ""
    prod.revision += 1
    prod.save()
    Batch.objects.update(revision=prod.revision)
    answer = desk.get(f"{address.partition('?')[0]}?{asked}", headers=HTMX)
    body = answer.content.decode()
    current = page.split('class="tabs"')[1].split("</nav>")[0]
    assert current in body, "the same tab is the open one"
    for part in tab.partition("?")[2].split("&"):
        assert part in poll_of(body, batch)
