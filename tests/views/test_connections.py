"""The connections page: what it says of each sync, and every change that an admin can make."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from dashboard.insight import pulse
from dashboard.models import (
    AuditEntry,
    Batch,
    Concern,
    Connection,
    Counter,
    ErrorDay,
    ErrorGroup,
    Refusal,
    RemoteFile,
    Result,
    SyncRun,
    Transition,
)
from dashboard.sync import concerns, dropping
from tests.batches_made import batch_made, counts
from tests.errors_made import LENGTH, RATE, errors_made, file_made

OTHER = "sk-MARKER-other-key-wxyz"
HTMX = {"HX-Request": "true"}


def page(client: Client) -> str:
    return client.get("/connections/").content.decode()


# --- What it says -----------------------------------------------------------------------------------------------------


def test_without_a_connection_it_says_how_to_get_one(admin: Client, viewer: Client) -> None:
    assert "manage.py up --demo" in page(admin)
    assert "Add a connection" in page(admin)
    assert "An admin adds the first one" in page(viewer)
    assert "Add a connection" not in page(viewer)


def test_it_begins_with_a_true_sentence(viewer: Client, prod: Connection) -> None:
    assert "<b>OpenAI / prod is in step.</b>" in page(viewer)
    lost = Connection.objects.create(
        name="OGX / lab",
        base_url="http://ogx.lab:8321/v1",
        auth_style="none",
        synced_at=timezone.now() - timedelta(hours=2),
        imported_at=timezone.now(),
        failures=4,
        failing_since=timezone.now() - timedelta(hours=2),
        error_kind="timeout",
    )
    text = page(viewer)
    assert "<b>1 of 2 connections is in step.</b> OGX / lab has not answered since" in text
    assert "4 tries since" in text
    assert "did not answer in time" in text
    assert "no key needed" in text
    assert f'id="connection-{lost.pk}"' in text


def test_viewers_see_no_button(viewer: Client, prod: Connection) -> None:
    text = page(viewer)
    for word in ("Test connection", "Pause sync", "Edit", "Delete"):
        assert word not in text


def test_numbers_come_from_rows_alone(viewer: Client, prod: Connection) -> None:
    text = page(viewer)
    assert "No sync was tried in the last hour" in text
    assert "unknown" in text
    now = timezone.now()
    for minutes, ending, seconds in ((3, "good", 1.0), (2, "good", 1.2), (1, "failed", 10.0), (4, "good", 9.0)):
        SyncRun.objects.create(
            connection=prod,
            kind="cycle",
            began_at=now - timedelta(minutes=minutes),
            seconds=seconds,
            requests=15,
            ending=ending,
        )
    Counter.objects.create(connection=prod, status="in_progress", outcome="open", batches=14)
    Counter.objects.create(connection=prod, status="in_progress", outcome="unseen", batches=3)
    Counter.objects.create(connection=prod, status="completed", outcome="succeeded", batches=994)
    text = page(viewer)
    assert "4 syncs in the last hour: 2 good, 1 slow, 1 failed" in text
    assert "<dd>14</dd>" in text
    assert "<dd>1,011</dd>" in text
    # Fifteen requests in each of four minutes: an hour is not over yet.
    assert "15.0 <small>/ min</small>" in text
    assert text.count('<rect class="bad"') == text.count('<rect class="slow"') == 1


def test_the_first_import_shows_its_progress(viewer: Client, prod: Connection) -> None:
    Connection.objects.update(imported_at=None, import_count=12_300)
    assert "12,300 batches so far" in page(viewer)


def test_what_was_learned_is_said_in_words(viewer: Client, prod: Connection) -> None:
    Connection.objects.update(list_is_stale=True, list_lacks_counts=True, list_is_oldest_first=True, clock_offset=-95.0)
    text = page(viewer)
    assert "lags behind" in text
    assert "leaves out the request counts" in text
    assert "begins with the oldest batch" in text
    assert "1 min behind ours" in text
    Connection.objects.update(clock_offset=29.0)
    assert "ahead of ours" not in page(viewer)


def test_an_import_that_is_interrupted_is_not_said_to_go_on(viewer: Client, prod: Connection) -> None:
    Connection.objects.update(
        imported_at=None,
        synced_at=None,
        import_count=6_800,
        failures=3,
        failing_since=timezone.now(),
        error_kind="bad_key",
    )
    text = page(viewer)
    assert "The first import of OpenAI / prod is interrupted" in text
    assert "Its first import is at 6,800 batches." in text
    for claim in ("is being read", "while this goes on", "never synced"):
        assert claim not in text


def test_what_was_never_counted_is_unknown(viewer: Client, prod: Connection) -> None:
    Connection.objects.update(imported_at=None, synced_at=None)
    assert page(viewer).count("<dd>unknown</dd>") >= 2


def test_left_out_records_are_shown_and_escaped(viewer: Client, prod: Connection) -> None:
    now = timezone.now()
    Refusal.objects.create(
        connection=prod,
        reason="no_status",
        excerpt="<script>alert(1)</script>",
        times=3,
        first_seen_at=now,
        last_seen_at=now,
    )
    text = page(viewer)
    assert "Has no status" in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


@pytest.mark.parametrize(
    ("kept", "words"), [(37, "37 records were left out"), (100, "100 records or more were left out")]
)
def test_all_records_that_were_left_out_are_counted(viewer: Client, prod: Connection, kept: int, words: str) -> None:
    now = timezone.now()
    for number in range(kept):
        Refusal.objects.create(
            connection=prod, reason="no_id", excerpt=f"{number}", first_seen_at=now, last_seen_at=now
        )
    text = page(viewer)
    assert words in text
    assert text.count("Has no id") == 20
    assert "The latest 20 are shown." in text


@pytest.mark.parametrize(
    ("kind", "words"), [("timeout", "In detail: timed out"), ("refused", "The vendor says: timed out")]
)
def test_only_a_vendor_that_answered_is_quoted(viewer: Client, prod: Connection, kind: str, words: str) -> None:
    Connection.objects.update(failures=1, failing_since=timezone.now(), error_kind=kind, error_words="timed out")
    assert words in page(viewer)


def test_a_vendors_words_are_escaped(viewer: Client, prod: Connection) -> None:
    Connection.objects.update(
        failures=1, failing_since=timezone.now(), error_kind="refused", error_words="<img src=x onerror=alert(1)>"
    )
    assert "<img" not in page(viewer)


def test_a_lost_key_is_said(viewer: Client, prod: Connection, settings: LazySettings) -> None:
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    text = page(viewer)
    assert "key must be entered again" in text
    assert "The key of OpenAI / prod must be entered again." in text


def test_of_two_lost_keys_each_is_named_until_it_is_entered_again(
    admin: Client, prod: Connection, settings: LazySettings
) -> None:
    prod.set_act_key(OTHER)
    prod.save()
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    text, form = page(admin), admin.get(f"/connections/{prod.pk}/").content.decode()
    assert "Both keys of OpenAI / prod must be entered again." in text
    assert "The stored key cannot be decrypted any more. Enter it again." in form
    assert "The stored second key cannot be decrypted any more." in form
    again = {field: getattr(prod, field) for field in ("name", "dialect", "base_url", "batches_path", "auth_style")}
    admin.post(f"/connections/{prod.pk}/", again | {"key": OTHER})
    text, form = page(admin), admin.get(f"/connections/{prod.pk}/").content.decode()
    assert "OpenAI / prod is in step." in text
    assert "The second key of OpenAI / prod must be entered again." in text
    assert "The key of OpenAI / prod" not in text
    assert "Key lost" not in text
    assert "key ends wxyz" in text
    assert "The stored key cannot be decrypted" not in form
    admin.post(f"/connections/{prod.pk}/", again | {"act_key": OTHER})
    assert "must be entered again" not in page(admin)


def test_a_lost_key_beside_a_good_second_one_is_named(viewer: Client, prod: Connection, settings: LazySettings) -> None:
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    prod.set_act_key(OTHER)
    prod.save()
    text = page(viewer)
    assert "The key of OpenAI / prod must be entered again." in text
    assert "another for cancelling, ends wxyz" in text
    assert "econd key" not in text


def test_a_key_from_the_environment_is_named_and_not_shown(viewer: Client, prod: Connection) -> None:
    Connection.objects.update(key_env="OPENAI_API_KEY", sealed_key="", key_last4="")
    assert "key from OPENAI_API_KEY" in page(viewer)


def test_the_page_costs_the_same_whatever_it_holds(
    viewer: Client, prod: Connection, django_assert_max_num_queries: Callable[[int], object], settings: LazySettings
) -> None:
    settings.PULSE_SECONDS = 60.0
    for number in range(12):
        Connection.objects.create(name=f"c{number}", base_url="http://127.0.0.1:9", auth_style="none")
    page(viewer)
    with django_assert_max_num_queries(12):  # type: ignore[attr-defined]
        page(viewer)


def test_what_should_be_over_is_due_now(viewer: Client, prod: Connection) -> None:
    assert re.search(r'next <time [^>]*data-over="due now">in \d+ s</time>', page(viewer))
    Connection.objects.update(next_sync_at=timezone.now() - timedelta(seconds=3))
    assert re.search(r"next <time [^>]*>due now</time>", page(viewer))


def test_of_a_lost_key_no_strip_says_that_nobody_answers(viewer: Client, prod: Connection) -> None:
    Connection.objects.update(synced_at=timezone.now() - timedelta(hours=2), error_kind="key_lost")
    strip = page(viewer).partition('id="pulse"')[2].partition("</ul>")[0]
    assert "OpenAI / prod key lost" in strip
    assert "not answering" not in strip


def test_a_sync_without_any_change_reaches_an_open_page(viewer: Client, prod: Connection) -> None:
    token = viewer.get("/connections/").context["token"]
    assert viewer.get("/connections/", {"seen": token}, headers=HTMX).status_code == 204
    Connection.objects.update(synced_at=timezone.now())
    assert viewer.get("/connections/", {"seen": token}, headers=HTMX).status_code == 200


def test_time_alone_reaches_an_open_page(viewer: Client, prod: Connection) -> None:
    token = viewer.get("/connections/").context["token"]
    # As if five minutes had passed without a sync, and without a tick that writes it down.
    Connection.objects.update(cadence=1, synced_at=prod.synced_at)
    assert viewer.get("/connections/", {"seen": token}, headers=HTMX).status_code == 204
    Connection.objects.update(synced_at=timezone.now() - timedelta(minutes=5))
    answer = viewer.get("/connections/", {"seen": token}, headers=HTMX)
    assert "Stale" in answer.content.decode()


# --- Test -------------------------------------------------------------------------------------------------------------


def test_the_test_button_answers_in_a_sentence_in_place(admin: Client, prod: Connection) -> None:
    Connection.objects.update(base_url="http://127.0.0.1:9/v1")
    answer = admin.post(f"/connections/{prod.pk}/test/", headers=HTMX)
    assert answer.status_code == 200
    assert "cannot be reached" in answer.content.decode()
    assert b"<html" not in answer.content


def test_the_test_button_works_without_javascript(admin: Client, prod: Connection) -> None:
    Connection.objects.update(base_url="http://127.0.0.1:9/v1")
    answer = admin.post(f"/connections/{prod.pk}/test/", follow=True)
    assert "cannot be reached" in answer.content.decode()


# --- Pause ------------------------------------------------------------------------------------------------------------


def test_pausing_says_who_and_when_and_resuming_syncs_soon(admin: Client, prod: Connection) -> None:
    url = f"/connections/{prod.pk}/pause/"
    assert admin.post(url).status_code == 302
    paused = Connection.objects.get()
    assert (paused.paused_by, paused.revision) == ("mei", prod.revision + 1)
    assert "By mei," in page(admin)
    admin.post(url)
    assert Connection.objects.get().revision == paused.revision, "pausing twice changes nothing"
    admin.post(url, {"resume": "1"})
    resumed = Connection.objects.get()
    assert (resumed.paused_at, resumed.paused_by, resumed.next_sync_at) == (None, "", None)
    assert list(AuditEntry.objects.values_list("verb", flat=True)) == ["connection.pause", "connection.resume"]


def test_pausing_answers_htmx_with_the_changed_card(admin: Client, prod: Connection) -> None:
    answer = admin.post(f"/connections/{prod.pk}/pause/", headers=HTMX)
    assert answer.content.decode().strip().startswith(f'<section class="conn" id="connection-{prod.pk}"')
    assert "Resume sync" in answer.content.decode()


# --- Delete -----------------------------------------------------------------------------------------------------------


def test_the_question_names_the_connection_and_its_batches(admin: Client, prod: Connection) -> None:
    batch_made(prod, "completed")
    text = admin.get(f"/connections/{prod.pk}/delete/").content.decode()
    assert "Delete the connection OpenAI / prod?" in text
    assert "It has 1 batch here." in text
    assert "still run" not in text
    batch_made(prod, "in_progress")
    text = admin.get(f"/connections/{prod.pk}/delete/").content.decode()
    assert "1 still runs; what becomes of it will not be seen here." in text


@pytest.mark.parametrize(
    "given", [{}, {"history": "drop"}, {"name": "OpenAI / prod"}, {"history": "drop", "name": "x"}]
)
def test_nothing_is_deleted_by_half_an_answer(admin: Client, prod: Connection, given: dict[str, str]) -> None:
    answer = admin.post(f"/connections/{prod.pk}/delete/", given)
    assert answer.status_code == 200
    assert answer.context["mistakes"]
    assert Connection.objects.kept().count() == 1


def test_keeping_the_history_wipes_the_keys_and_leaves_name_and_batches(admin: Client, prod: Connection) -> None:
    batch_made(prod, "completed")
    prod.set_act_key(OTHER)
    prod.extra_headers, prod.claim_token = {"X-Team": "search"}, "held"
    prod.save()
    admin.post(f"/connections/{prod.pk}/delete/", {"history": "keep", "name": prod.name})
    after = Connection.objects.get()
    assert after.retired_at
    assert (after.sealed_key, after.sealed_act_key, after.key_last4, after.extra_headers) == ("", "", "", {})
    assert after.claim_token == "", "a sync at work may not write any more"
    assert Batch.objects.count() == 1
    assert not Connection.objects.due(timezone.now()).exists()
    assert ", history kept" in page(admin)
    assert admin.get(f"/connections/{prod.pk}/").status_code == 404
    assert AuditEntry.objects.get().detail == "keep history, 1 batches"


def test_what_ran_when_a_connection_was_removed_is_out_of_sight(admin: Client, prod: Connection) -> None:
    running, strange, ended = (batch_made(prod, status) for status in ("in_progress", "queued_local", "completed"))
    admin.post(f"/connections/{prod.pk}/delete/", {"history": "keep", "name": prod.name})
    for batch in (running, strange, ended):
        batch.refresh_from_db()
    assert (running.outcome, strange.outcome, ended.outcome) == ("unseen", "unseen", "uncounted")
    assert running.gone_at == strange.gone_at == Connection.objects.get().retired_at
    assert ended.gone_at is None
    kept = {(c.status, c.outcome): c.batches for c in Counter.objects.all() if c.batches}
    assert kept == {("in_progress", "unseen"): 1, ("unknown", "unseen"): 1, ("completed", "uncounted"): 1}
    chips = {slug: number for slug, _label, _state, number, _link in admin.get("/batches/").context["chips"]}
    assert (chips["running"], chips["unknown"]) == (0, 3)


def test_dropping_the_history_leaves_nothing(admin: Client, prod: Connection) -> None:
    for _ in range(7):
        batch_made(prod, "completed")
    admin.post(f"/connections/{prod.pk}/delete/", {"history": "drop", "name": prod.name})
    dropping.drop(prod.pk)
    assert not Connection.objects.exists()
    assert not Batch.objects.exists()
    assert not Transition.objects.exists()


def test_dropping_deletes_what_was_read_of_files_block_by_block(
    admin: Client, prod: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropping, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(dropping, "PAUSE", 0)
    for _ in range(2):
        errors_made(batch_made(prod, "completed", **counts(20, 10, 10)), {RATE: 7, LENGTH: 3})
    admin.post(f"/connections/{prod.pk}/delete/", {"history": "drop", "name": prod.name})
    left: list[int] = []

    def stop() -> bool:
        left.append(Result.objects.count())
        return False

    dropping.drop(prod.pk, stop=stop)
    assert left[:6] == [20, 16, 12, 8, 4, 0]
    assert not Connection.objects.exists()


def test_of_a_connection_of_the_environment_nothing_stays_but_its_row(admin: Client, prod: Connection) -> None:
    batch = batch_made(prod, "completed", **counts(20, 10, 10))
    errors_made(batch, {RATE: 7})
    file_made(batch, "error")
    Concern.objects.create(connection=prod, reason="sync_stale", opened_at=timezone.now())
    Connection.objects.update(key_env="OPENAI_API_KEY")
    admin.post(f"/connections/{prod.pk}/delete/", {"history": "drop", "name": prod.name})
    dropping.drop(prod.pk)
    assert Connection.objects.get().retired_at
    for model in (Batch, ErrorDay, RemoteFile, Concern):
        assert not model._default_manager.exists(), model


def test_errors_of_what_is_being_dropped_are_out_of_sight(admin: Client, prod: Connection) -> None:
    errors_made(batch_made(prod, "completed", **counts(100, 97, 3)), {RATE: 2})
    group = ErrorGroup.objects.get()
    assert admin.get("/errors/").context["rows"]
    assert admin.get(f"/errors/{group.pk}/").status_code == 200
    admin.post(f"/connections/{prod.pk}/delete/", {"history": "drop", "name": prod.name})
    pulse._latest = None
    for span in ("24h", "30d"):
        assert not admin.get(f"/errors/?range={span}").context["rows"]
    assert admin.get(f"/errors/{group.pk}/").status_code == 404
    assert b"rate_limit" not in admin.get("/errors.csv").getvalue()


def test_what_is_being_dropped_is_out_of_sight_before_it_is_deleted(admin: Client, prod: Connection) -> None:
    batch = batch_made(prod, "completed", name="nightly-eval")
    answer = admin.post(f"/connections/{prod.pk}/delete/", {"history": "drop", "name": prod.name}, follow=True)
    assert "OpenAI / prod is being removed, with its history." in answer.content.decode()
    assert Batch.objects.get() == batch
    pulse._latest = None
    for address in ("", "?q=nightly", f"?connection={prod.pk}", "?q=nightly&status=unknown", "?sort=finish"):
        listed = admin.get(f"/batches/{address}")
        assert f"row-{batch.pk}" not in listed.content.decode(), address
        assert listed.context["count"] == 0, address
    assert admin.get(f"/batches/{batch.pk}/").status_code == 404
    for act in ("delete", "restore"):
        assert admin.post(f"/connections/{prod.pk}/{act}/").status_code == 404


def test_a_drop_that_was_cut_short_goes_on(admin: Client, prod: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropping, "BLOCK", 2)
    for _ in range(5):
        batch_made(prod, "completed")
    admin.post(f"/connections/{prod.pk}/delete/", {"history": "drop", "name": prod.name})
    assert dropping.take(prod.pk)
    assert not dropping.take(prod.pk), "somebody is at it"
    stops = iter([False, True])
    dropping.drop(prod.pk, stop=lambda: next(stops))
    assert Batch.objects.count() == 3
    assert list(Connection.objects.to_drop(timezone.now())) == [prod]
    assert dropping.take(prod.pk)
    dropping.drop(prod.pk)
    assert not Connection.objects.exists()


def test_a_removed_connection_is_brought_back_without_its_key(admin: Client, prod: Connection) -> None:
    running = batch_made(prod)
    admin.post(f"/connections/{prod.pk}/delete/", {"history": "keep", "name": prod.name})
    assert "Bring back" in page(admin)
    answer = admin.post(f"/connections/{prod.pk}/restore/", follow=True)
    assert answer.redirect_chain == [(f"/connections/{prod.pk}/", 302)]
    assert "Its key was wiped when it was removed: enter it again." in answer.content.decode()
    back = Connection.objects.kept().get()
    assert (back.imported_at, back.synced_at, back.sealed_key) == (None, None, "")
    assert Batch.objects.get() == running


def test_what_needed_attention_does_so_again_once_it_is_back(admin: Client, prod: Connection) -> None:
    hour_ago = timezone.now() - timedelta(hours=1)
    batch_made(prod, "failed", finished_at=hour_ago, judge_at=timezone.now())
    batch_made(prod)
    concerns.judge_due(timezone.now())
    assert Concern.objects.open().count() == 1
    admin.post(f"/connections/{prod.pk}/delete/", {"history": "keep", "name": prod.name})
    concerns.judge_due(timezone.now())
    assert not Concern.objects.open().exists()
    admin.post(f"/connections/{prod.pk}/restore/")
    concerns.judge_due(timezone.now())
    assert [concern.reason for concern in Concern.objects.open()] == ["all_failed"]


def test_a_kept_history_can_be_dropped_later(admin: Client, prod: Connection) -> None:
    batch_made(prod, "completed")
    url = f"/connections/{prod.pk}/delete/"
    admin.post(url, {"history": "keep", "name": prod.name})
    assert "Drop what is kept of OpenAI / prod?" in admin.get(url).content.decode()
    admin.post(url, {"name": prod.name})
    dropping.drop(prod.pk)
    assert not Batch.objects.exists()
