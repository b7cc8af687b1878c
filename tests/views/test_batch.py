"""/batches/<pk>/ and its cancel: what the page of one batch promises."""

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from dashboard.models import Act, Batch, Connection, Transition, User
from dashboard.models.batch import GRACE
from dashboard.views.batch import pretty
from tests.batches_made import batch_made, connection_made, counts, everything_made, judged
from tests.cast import ClientOf

HTMX = {"HX-Request": "true"}
pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(ana: User, client_of: ClientOf) -> Client:
    return client_of(ana)


@pytest.fixture
def prod(db: None) -> Connection:
    """Nothing listens there: an act gets a quick and certain refusal."""
    return connection_made(base_url="http://127.0.0.1:9/v1", auth_style="none")


def get(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def poll_of(page: str, batch: Batch) -> str:
    found = re.search(r'id="poll"[^>]* hx-get="([^"]*)"', page)
    assert found
    return f"/batches/{batch.pk}/{unescape(found[1])}"


# --- What it says -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("running", ["1,192 of 1,500 requests processed.", "12 failed.", "308"]),
        ("partial", ["97 of 100 requests completed.", "3 failed."]),
        ("lost", ["4,981 of 5,000 requests completed.", "7 failed.", "12 are neither completed nor failed."]),
        ("succeeded", ["All 800 requests completed.", "1,204,331", "400,000", "88,190", "1,200"]),
        ("all_failed", ["None of 800 requests completed", "model_not_found"]),
        ("invalid", ["did not pass validation", "212", "invalid_json_line"]),
        ("expired", ["812 of 1,000 requests completed and are usable."]),
        ("cancelled", ["40 of 900 requests completed and are usable."]),
        ("none", ["without a single request"]),
        ("uncounted", ["not how its requests ended"]),
        ("validating", ["has not said yet how many requests"]),
        ("unknown", ["queued_local"]),
        (
            "gone",
            ["No longer visible with this key since", "last seen in progress.", "640 of 800 requests were processed"],
        ),
        ("overdue", ["the vendor has not called it expired"]),
    ],
)
def test_the_first_sentence_is_true(desk: Client, key: str, words: list[str]) -> None:
    made = everything_made()
    page = get(desk, f"/batches/{made[key].pk}/")
    for word in words:
        assert word in page


@pytest.fixture
def removed(prod: Connection) -> Batch:
    """Late and running when its connection was removed."""
    batch = batch_made(prod, "in_progress", name="nightly-eval", is_overdue=True, **counts(100, 40, 2))
    prod.retired_at = timezone.now() - timedelta(minutes=5)
    prod.save()
    return batch


def test_a_batch_of_a_removed_connection_claims_nothing_of_now(desk: Client, removed: Batch) -> None:
    page = get(desk, f"/batches/{removed.pk}/")
    assert "Its connection was removed on " in page
    assert "last seen in progress." in page
    assert "By then 42 of 100 requests were processed." in page
    for claim in (
        "overdue",
        "so far",
        "window left",
        ">left<",
        "has not called it expired",
        'class="now"',
        "bar--live",
    ):
        assert claim not in page
    assert "Cannot be cancelled: its connection was removed." in page
    assert "about 58 requests" not in get(desk, f"/batches/{removed.pk}/cancel/")


@pytest.mark.parametrize("key", ["gone", "removed"])
def test_what_nobody_sees_any_more_is_not_asked_for(desk: Client, prod: Connection, removed: Batch, key: str) -> None:
    batch = removed if key == "removed" else batch_made(connection_made("Other"), gone_at=timezone.now())
    page = get(desk, f"/batches/{batch.pk}/")
    assert "data-poll" not in page
    assert 'hx-trigger="poll"' not in page


def test_a_batch_that_ended_before_it_was_gone_stays_as_it_ended(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod, "completed", gone_at=timezone.now(), **counts(100, 100))
    page = get(desk, f"/batches/{batch.pk}/")
    assert "All 100 requests completed." in page
    assert "No longer visible with this key since" in page
    assert 'data-state="succeeded"' in page


def test_what_was_seen_tells_when_it_could_not_be_seen_any_more(desk: Client, removed: Batch) -> None:
    seen = get(desk, f"/batches/{removed.pk}/").split('class="seen"')[1].split("</ol>")[0]
    assert "Its connection was removed" in seen
    assert "No longer visible" not in seen
    assert 'data-state="in_progress"' in seen, "what was seen before keeps its own icon"


def test_an_unknown_total_has_no_share(desk: Client, prod: Connection) -> None:
    for columns in ({}, counts(0, 0)):
        batch = batch_made(prod, "in_progress", **columns)
        page = get(desk, f"/batches/{batch.pk}/")
        assert 'class="lost"' in page
        assert "%</" not in page.split('class="counts"')[1].split("</div>")[0]


@pytest.mark.parametrize(
    ("status", "columns", "words", "has_bar"),
    [
        ("validating", counts(0, 0), "not started, total not known yet", True),
        ("failed", {"in_progress_at": None}, "not started", False),
        ("failed", {"in_progress_at": None} | counts(100, 0), "not started", False),
        ("failed", {}, "total unknown", True),
        ("completed", counts(0, 0), "no requests", False),
        ("cancelled", counts(0, 0), "total unknown", True),
    ],
)
def test_what_did_not_start_claims_no_counts(
    desk: Client,
    prod: Connection,
    status: str,
    columns: dict[str, Any],
    words: str,
    has_bar: bool,  # noqa: FBT001
) -> None:
    batch = batch_made(prod, status, **columns)
    shown = get(desk, f"/batches/{batch.pk}/").split('class="bigbar"')[1].split("</section>")[0]
    assert f"<span>{words}</span>" in shown
    assert 'class="v"' not in shown
    for page in (shown, get(desk, f"/batches/{batch.pk}/cancel/")):
        assert ('class="lost"' in page) is has_bar


def usage(page: str) -> str:
    return (
        re.sub(r"<[^>]*>|\s+", " ", page.split('id="usage"')[1].split("</section>")[0]) if 'id="usage"' in page else ""
    )


def test_tokens_are_not_shown_before_there_are_any(desk: Client, prod: Connection) -> None:
    zeros = dict.fromkeys(["tokens_input", "tokens_output", "tokens_total"], 0)
    assert not usage(get(desk, f"/batches/{batch_made(prod, 'validating', **zeros).pk}/"))
    some = batch_made(prod, "completed", tokens_input=12, tokens_output=0, tokens_total=12, **counts(1, 1))
    assert re.search(r"of it cached +not reported", usage(get(desk, f"/batches/{some.pk}/")))


@pytest.mark.parametrize(
    ("model", "base_url", "words"),
    [
        ("gpt-5-mini", "https://api.openai.com/v1", r"Cost +\$0\.081 +exact +List prices of .* not an invoice"),
        ("gpt-5-mini", "http://127.0.0.1:9/v1", r"Cost +\$0\.081 +estimated +Priced as if it ran at OpenAI"),
        ("nonsense-9", "https://api.openai.com/v1", r"Cost +unknown +There is no list price"),
    ],
)
def test_a_cost_says_how_sure_it_is(desk: Client, model: str, base_url: str, words: str) -> None:
    tokens = {"tokens_input": 1_000_000, "tokens_cached": 400_000, "tokens_output": 1_000, "tokens_reasoning": 300}
    batch = batch_made(connection_made(base_url=base_url), "completed", model=model, **tokens, **counts(9, 9))
    assert re.search(words, usage(get(desk, f"/batches/{batch.pk}/")))


def test_skipped_steps_and_times_out_of_order_are_said(desk: Client, prod: Connection) -> None:
    at = timezone.now() - timedelta(hours=3)
    batch = batch_made(
        prod, "completed", created_at=at, in_progress_at=at - timedelta(minutes=5), completed_at=at + timedelta(hours=1)
    )
    page = get(desk, f"/batches/{batch.pk}/")
    assert "skipped" in page
    assert "earlier than the step before it" in page


def test_the_deadline_stands_where_it_was(desk: Client, prod: Connection) -> None:
    at = timezone.now() - timedelta(days=2)
    expired = batch_made(prod, "expired", created_at=at, finished_at=at + timedelta(hours=24, minutes=6))
    steps = get(desk, f"/batches/{expired.pk}/").split('class="timeline"')[1]
    assert steps.index(">Deadline<") < steps.index(">Expired<")
    failed = batch_made(prod, "failed", created_at=at, finished_at=at + timedelta(minutes=1))
    assert "to spare" not in get(desk, f"/batches/{failed.pk}/"), "nobody spared anything"


def test_missing_times_are_no_reason_to_fail(desk: Client, prod: Connection) -> None:
    batch = batch_made(
        prod,
        "completed",
        created_at=None,
        in_progress_at=None,
        expires_at=None,
        finished_at=None,
        completed_at=None,
        ordered_at=timezone.now(),
        refresh_until=None,
    )
    assert "time not reported by the vendor" in get(desk, f"/batches/{batch.pk}/")


def test_metadata_leads_to_the_list_of_its_like(desk: Client, prod: Connection) -> None:
    metadata = {"team": "search-quality", "cost centre": "two words"}
    batch, other = batch_made(prod, metadata=metadata), batch_made(prod, metadata={"team": "ads"})
    page = get(desk, f"/batches/{batch.pk}/").split('class="meta"')[1].split("</ul>")[0]
    links = [unescape(link) for link in re.findall(r'<a href="([^"]*)"', page)]
    assert [parse_qs(urlsplit(link).query)["q"] for link in links] == [
        ['meta."cost centre":"two words"'],
        ['meta."team":"search-quality"'],
    ]
    for link in links:
        found = get(desk, link)
        assert f'id="row-{batch.pk}"' in found
        assert f'id="row-{other.pk}"' not in found


def test_metadata_that_cannot_be_asked_for_is_plain_text_and_can_be_copied(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod, metadata={"say": 'a "b"', "star": "sea*", "": "x", "long": "y" * 512})
    page = get(desk, f"/batches/{batch.pk}/").split('class="meta"')[1].split("</ul>")[0]
    assert "<a " not in page
    assert page.count("kv--plain") == 4
    assert 'data-copy-text="a &quot;b&quot;"' in page


def test_a_few_of_its_like_stand_with_their_outcome_and_the_way_to_all(
    desk: Client, prod: Connection, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    team = {"team": "search", "run": "7"}
    batch = batch_made(prod, metadata=team, model="o4-x", input_file_id="file-1", name="this one")
    at = timezone.now() - timedelta(hours=9)
    common: dict[str, Any] = {"metadata": {"team": "search"}, "model": ""}
    same = [
        batch_made(
            prod, "completed", name=f"same {n}", created_at=at + timedelta(minutes=n), **common, **counts(9, 9 - n)
        )
        for n in range(5)
    ]
    twin = batch_made(prod, "expired", name="twin", input_file_id="file-1", model="")
    with django_assert_max_num_queries(45):
        page = get(desk, f"/batches/{batch.pk}/")
    like = page.split('class="like"')[1].split("<hr")[0]
    assert like.index("same input file") < like.index("same 4")
    assert f'href="/batches/{twin.pk}/"' in like
    assert "Expired" in like
    assert [f'href="/batches/{one.pk}/"' in like for one in same] == [False, False, True, True, True]
    assert "Partial, 5 of 9" in like
    assert "this one" not in like
    assert "same model" not in like, "there is no other of it"
    (all_six,) = (unescape(link) for link in re.findall(r'href="([^"]*team[^"]*)"', like))
    assert "all 6" in like
    assert get(desk, all_six).count('id="row-') == 6


def test_a_batch_without_its_like_has_no_such_part(desk: Client, prod: Connection) -> None:
    assert 'class="like"' not in get(desk, f"/batches/{batch_made(prod, metadata={'team': 'a'}).pk}/")


def test_hostile_words_are_never_markup(desk: Client, prod: Connection) -> None:
    evil = '<img src=x onerror="alert(1)">"]}'
    batch = batch_made(
        prod, "failed", name=evil, owner=evil, remote_id=evil, metadata={evil: evil}, oddities=[evil], model=evil,
        errors=[{"code": evil, "message": evil, "param": evil, "line": evil}, "not an object", None],
        payload=evil.encode(),
    )  # fmt: skip
    Act.objects.create(batch=batch, kind="cancel", state="refused", who=evil, began_at=timezone.now(), words=evil)
    for page in (get(desk, f"/batches/{batch.pk}/"), get(desk, f"/batches/{batch.pk}/cancel/")):
        assert "<img" not in page


def test_organisation_ids_and_addresses_are_masked_wherever_a_refusal_is_told(desk: Client, prod: Connection) -> None:
    words = "Enqueued token limit reached in organization org-Qm7vX2kLd93TfWzR, write to ann@example.com"
    batch = batch_made(prod, "failed", in_progress_at=None, errors=[{"code": "token_limit_exceeded", "message": words}])
    judged()
    for address in ("/attention/", "/batches/", f"/batches/{batch.pk}/"):
        page = get(desk, address)
        assert "token_limit_exceeded" in page
        assert "organization […], write to […]" in page
        assert "org-Qm7v" not in page
        assert "ann@" not in page


def test_words_that_turn_direction_turn_nothing_beside_them(desk: Client, prod: Connection) -> None:
    evil = "model\u202e"
    batch = batch_made(prod, name=evil, owner=evil, model=evil, endpoint=evil, metadata={evil: evil})
    page = get(desk, f"/batches/{batch.pk}/")
    title = page.split('class="title"')[1].split('class="bigbar"')[0]
    assert title.count("<bdi>") == 4
    assert "\u202e" not in re.sub(r'="[^"]*"|<bdi>[^<]*</bdi>', "", title)


def test_what_never_ran_has_no_course_to_be_sorry_for(desk: Client, prod: Connection) -> None:
    refused = batch_made(prod, "failed", in_progress_at=None)
    assert 'id="progress"' not in get(desk, f"/batches/{refused.pk}/")
    ended = batch_made(prod, "completed", **counts(9, 9))
    assert "Its course is not known" in get(desk, f"/batches/{ended.pk}/")


def test_the_raw_object_keeps_every_digit(desk: Client, prod: Connection) -> None:
    sent = b'{"n": 123456789012345678901234567890, "f": 1.10, "e": [], "s": "a \\"b\\": [1,2]", "l": [1, 2.50]}'
    shown = pretty(sent, 1_000)
    assert '"n": 123456789012345678901234567890,' in shown
    assert '"f": 1.10,' in shown
    assert '"e": [],' in shown
    assert '"s": "a \\"b\\": [1,2]",' in shown
    assert "    2.50\n  ]\n}" in shown
    assert pretty(b"<html>", 1_000) == "<html>"


def test_a_large_raw_object_is_cut_and_can_be_had_whole(desk: Client, prod: Connection) -> None:
    sent = json.dumps({"id": "x", "many": [{"n": n} for n in range(50_000)], "end": "<b>\u202e"}).encode()
    batch = batch_made(prod, name="Nightly/eval", payload=sent)
    answer = desk.get(f"/batches/{batch.pk}/")
    page = answer.content.decode()
    assert "Only its beginning is shown" in page
    assert "Copy what is shown" in page
    assert len(page) < 150_000
    whole = desk.get(f"/batches/{batch.pk}/raw.json")
    assert whole.content == sent
    assert whole["Content-Disposition"] == 'attachment; filename="nightlyeval.json"'
    assert "Only its beginning" not in get(desk, f"/batches/{batch_made(prod).pk}/")


def test_what_was_seen_and_done_stands_newest_first(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod, "in_progress")
    Transition.objects.create(
        batch=batch, old_status="in_progress", new_status="cancelling", noticed_at=timezone.now(), source="act"
    )
    Act.objects.create(
        batch=batch, kind="cancel", state="accepted", who="Mei", began_at=timezone.now() + timedelta(seconds=1)
    )
    seen = get(desk, f"/batches/{batch.pk}/").split('class="seen"')[1]
    assert seen.index("Cancel by Mei") < seen.index("Cancelling") < seen.index("First seen")


@pytest.mark.parametrize("address", ["/batches/999999/", "/batches/999999/cancel/"])
def test_an_unknown_batch_is_not_found(desk: Client, address: str) -> None:
    assert desk.get(address).status_code == 404


# --- Polls ------------------------------------------------------------------------------------------------------------


def test_an_open_batch_is_asked_for_every_five_seconds_and_a_finished_one_rarely(
    desk: Client, prod: Connection
) -> None:
    now = timezone.now()
    fast, slow = 'data-poll="5"', 'data-poll="60"'
    assert fast in get(desk, f"/batches/{batch_made(prod).pk}/")
    in_grace = batch_made(prod, "completed", finished_at=now - GRACE / 2)
    assert fast in get(desk, f"/batches/{in_grace.pk}/")
    ended = batch_made(prod, "completed", finished_at=now - 2 * GRACE)
    assert slow in get(desk, f"/batches/{ended.pk}/")


def test_a_poll_replaces_the_batch_only_when_it_moved(desk: Client, prod: Connection) -> None:
    batch, other = batch_made(prod), batch_made(prod)
    address = poll_of(get(desk, f"/batches/{batch.pk}/"), batch)
    assert desk.get(address, headers=HTMX).status_code == 204
    for moved, expected in ((other, False), (batch, True)):
        prod.revision += 1
        prod.save()
        Batch.objects.filter(pk=moved.pk).update(revision=prod.revision)
        answer = desk.get(address, headers=HTMX).content.decode()
        assert ('hx-target="#batch"' in answer) is expected
        assert "<dialog" not in answer
        address = poll_of(answer, batch)


def test_an_open_page_learns_that_its_connection_was_removed(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod)
    address = poll_of(get(desk, f"/batches/{batch.pk}/"), batch)
    prod.retired_at, prod.revision = timezone.now(), prod.revision + 1
    prod.save()
    answer = desk.get(address, headers=HTMX).content.decode()
    assert "Its connection was removed" in answer
    assert "data-poll" not in answer


# --- Cancel -----------------------------------------------------------------------------------------------------------


def test_the_confirmation_names_the_batch(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod, "in_progress", name="nightly-eval", **counts(100, 40, 2))
    page = get(desk, f"/batches/{batch.pk}/cancel/")
    assert "Cancel nightly-eval?" in page
    assert "40 completed, 2 failed" in page
    assert "about 58 requests" in page
    assert not Act.objects.exists()


def test_a_viewer_has_no_button_and_may_not_cancel(vic: User, prod: Connection, client_of: ClientOf) -> None:
    batch, client = batch_made(prod), client_of(vic)
    assert "Cancel batch" not in get(client, f"/batches/{batch.pk}/")
    answer = client.post(f"/batches/{batch.pk}/cancel/")
    assert answer.status_code == 403
    assert "operator" in answer.content.decode()
    assert not Act.objects.exists()


@pytest.mark.parametrize("key", ["succeeded", "cancelling", "gone", "cancelled"])
def test_what_cannot_be_cancelled_is_greyed_with_the_reason(desk: Client, key: str) -> None:
    batch = everything_made()[key]
    page = get(desk, f"/batches/{batch.pk}/")
    assert 'aria-disabled="true" aria-describedby="why-not"' in page
    assert 'id="why-not"' in page
    assert f"/batches/{batch.pk}/cancel/" not in page


def test_an_installation_that_only_shows_cancels_nothing(desk: Client, prod: Connection, settings: Settings) -> None:
    settings.READ_ONLY = True
    batch = batch_made(prod)
    assert "This installation only shows" in get(desk, f"/batches/{batch.pk}/")
    assert desk.post(f"/batches/{batch.pk}/cancel/").status_code == 405
    assert not Act.objects.exists()


def test_without_javascript_a_cancel_leads_back_with_a_message(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod, name="nightly-eval")
    answer = desk.post(f"/batches/{batch.pk}/cancel/", follow=True)
    assert answer.redirect_chain == [(f"/batches/{batch.pk}/", 302)]
    page = answer.content.decode()
    act = Act.objects.get()
    assert act.who == "ana"
    assert 'class="toast"' in page
    assert "Not cancelled." in page or "Unknown whether" in page
    assert "Cancel by ana" in page


def test_with_htmx_a_cancel_answers_with_the_changed_pieces_and_a_note(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod)
    answer = desk.post(f"/batches/{batch.pk}/cancel/", headers=HTMX)
    assert answer.status_code == 200
    page = answer.content.decode()
    assert 'hx-target="#batch"' in page
    assert 'hx-target="#toasts"' in page
    assert "<html" not in page


@pytest.mark.parametrize(
    ("kind", "says", "never"),
    [
        ("forbidden", "The key may not cancel batches (403). It needs the right to write them", "right to read"),
        ("not_found", "The vendor knows no such batch (404)", "base URL"),
    ],
)
def test_a_refused_cancel_is_not_explained_as_a_failed_sync(
    desk: Client, prod: Connection, monkeypatch: pytest.MonkeyPatch, kind: str, says: str, never: str
) -> None:
    batch = batch_made(prod)
    refused: Any = Act.State.REFUSED

    def refuse(batch: Batch, user: User, **_: Any) -> Act:
        return Act.objects.create(
            batch=batch, kind="cancel", state=refused, who=str(user), began_at=timezone.now(), error_kind=kind
        )

    monkeypatch.setattr("dashboard.sync.acts.cancel", refuse)
    page = desk.post(f"/batches/{batch.pk}/cancel/", headers=HTMX).content.decode()
    assert f"Not cancelled. {says}" in page
    assert f"refused. {says}" in page
    assert never not in page


def test_an_open_act_says_who_asked(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod)
    state: Any = Act.State.UNKNOWN
    Act.objects.create(batch=batch, kind="cancel", state=state, who="Mei", began_at=timezone.now())
    page = get(desk, f"/batches/{batch.pk}/")
    assert "Cancel by Mei" in page
    assert "A cancel is under way already." in page
