"""/batches/: what the list promises."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from dashboard import tasks
from dashboard.insight import pulse as pulse_room
from dashboard.models import Act, Batch, Connection, Part, User
from dashboard.views.batch_list import SORTS
from tests.batches_made import batch_made, connection_made, counts, crowd_made, everything_made, syncs_made
from tests.cast import ClientOf
from tests.errors_made import RATE, errors_made

HTMX = {"HX-Request": "true"}
pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(vic: User, client_of: ClientOf) -> Client:
    return client_of(vic)


@pytest.fixture
def prod(db: None) -> Connection:
    return connection_made()


def rows(page: str) -> list[int]:
    return [int(pk) for pk in re.findall(r'<tr id="row-(\d+)"', page)]


def row(page: str, batch: Batch) -> str:
    found = re.search(rf'<tr id="row-{batch.pk}".*?</tr>', page, re.DOTALL)
    assert found, f"{batch} is not on the page"
    return found[0]


def poll_of(page: str) -> str:
    found = re.search(r'id="poll"[^>]* hx-get="([^"]*)"', page)
    assert found
    return "/batches/" + unescape(found[1])


def moved(connection: Connection, batch: Batch | None = None) -> None:
    """What absorb does in its own transaction when something visible has changed."""
    connection.revision += 1
    connection.save()
    if batch:
        Batch.objects.filter(pk=batch.pk).update(revision=connection.revision)


def get(client: Client, address: str = "/batches/", **headers: str) -> str:
    answer = client.get(address, headers=headers or None)
    assert answer.status_code == 200
    return answer.content.decode()


def poll(client: Client, address: str) -> tuple[int, str]:
    answer = client.get(address, headers=HTMX)
    return answer.status_code, answer.content.decode()


# --- Rows -------------------------------------------------------------------------------------------------------------


def test_every_state_has_its_own_words(desk: Client) -> None:
    made = everything_made()
    page = get(desk)
    assert len(rows(page)) == len(made)
    for key, words in {
        "succeeded": "Succeeded",
        "partial": "Partial, 97 of 100",
        "all_failed": "All failed",
        "invalid": "Failed validation",
        "expired": "Expired, 812 of 1,000 usable",
        "cancelled": "Cancelled, 40 usable",
        "none": "No requests",
        "gone": "No longer visible",
        "unknown": "queued_local",
        "uncounted": "Completed, counts not reported",
        "validating": "Validating",
        "finalizing": "Finalizing",
    }.items():
        assert words in row(page, made[key]), key


def test_a_failed_row_shows_its_first_error(desk: Client) -> None:
    made = everything_made()
    page = get(desk)
    assert "line 212: invalid_json_line: Expecting" in row(page, made["invalid"])


def test_an_unknown_total_is_hatched_and_shows_no_percentage(desk: Client, prod: Connection) -> None:
    zero = batch_made(prod, "in_progress", name="zero", **counts(0, 0))
    none = batch_made(prod, "in_progress", name="none")
    page = get(desk)
    for batch in (zero, none):
        shown = row(page, batch)
        assert 'class="lost"' in shown
        assert "total unknown" in shown
        assert 'class="done"' not in shown


def test_only_the_open_rows_of_a_stale_connection_are_drained(desk: Client) -> None:
    made = everything_made()
    page = get(desk)
    assert "is-stale" in row(page, made["stale"])
    assert "as of " in row(page, made["stale"])
    assert "is-stale" not in row(page, made["uncounted"])
    assert "is-stale" not in row(page, made["running"])


def test_what_nobody_sees_any_more_does_not_look_alive(desk: Client) -> None:
    made = everything_made()
    lab = made["stale"].connection
    lab.retired_at = timezone.now()
    lab.save()
    Batch.objects.filter(pk__in=[made["gone"].pk, made["stale"].pk]).update(is_overdue=True)
    page = get(desk)
    for key, why in (("gone", "with this key since"), ("stale", "connection removed")):
        shown = row(page, made[key])
        assert "No longer visible" in shown
        assert why in shown
        assert "is-stale" in shown
        for claim in ("In progress", "overdue", "deadline", 'class="now"', "bar--live"):
            assert claim not in shown, key
    assert "OGX / lab" in row(page, made["stale"])
    assert "Completed, counts not reported" in row(page, made["uncounted"]), "what has ended stays as it ended"


def test_a_requested_cancel_is_named_until_the_vendor_says_so(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod, "in_progress")
    Act.objects.create(batch=batch, kind="cancel", state="accepted", who="Ana", began_at=timezone.now())
    assert "cancel requested by Ana" in row(get(desk), batch)
    Batch.objects.filter(pk=batch.pk).update(status="cancelling")
    assert "cancel requested" not in row(get(desk), batch)


def test_what_a_vendor_sends_is_never_markup(desk: Client, prod: Connection) -> None:
    evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
    batch = batch_made(
        prod, "failed", name=evil, owner=evil, model=evil, remote_id=evil, errors=[{"code": evil, "message": evil}]
    )
    odd = batch_made(prod, evil[:60], name="odd")
    page = get(desk)
    assert "<img" not in page
    assert "<script>alert" not in page
    assert "&lt;img" in row(page, batch)
    assert "&lt;img" in row(page, odd)


def test_the_page_costs_the_same_whatever_it_holds(
    desk: Client,
    prod: Connection,
    settings: Settings,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    settings.PULSE_SECONDS, settings.REMEMBER_SECONDS = 1.0, 5.0
    syncs_made(prod, "oooo")
    for i in range(5):
        batch_made(prod, "in_progress", name=f"open-{i}", **counts(100, 5))
    errors_made(batch_made(prod, "completed", name="failing", **counts(100, 5, 95)), {RATE: 95})
    batch_made(connection_made("once was", retired_at=timezone.now()))
    for number in (0, 100):
        crowd_made(prod, number)
        get(desk)
        pulse_room._latest = None
        with django_assert_max_num_queries(9):
            page = get(desk)
        assert len(rows(page)) == min(50, 7 + number)


def test_a_removed_connection_keeps_its_name(desk: Client) -> None:
    batch = batch_made(connection_made("once was", retired_at=timezone.now()))
    assert "once was" in row(get(desk), batch)


# --- Finding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chip", "keys"),
    [
        ("succeeded", {"succeeded"}),
        ("partial", {"partial", "lost"}),
        ("failed", {"all_failed", "invalid"}),
        ("expired", {"expired"}),
        ("cancelled", {"cancelled"}),
        ("unknown", {"unknown", "uncounted", "none", "gone"}),
    ],
)
def test_a_chip_shows_as_many_as_it_counts(desk: Client, chip: str, keys: set[str]) -> None:
    made = everything_made()
    page = get(desk, f"/batches/?status={chip}")
    assert set(rows(page)) == {made[key].pk for key in keys}
    current = re.search(r'aria-current="true">.*?<b>([^<]*)</b>', page, re.DOTALL)
    assert current
    assert current[1] == str(len(keys))


def test_a_search_finds_metadata_names_and_ids(desk: Client) -> None:
    made = everything_made()
    assert rows(get(desk, "/batches/?q=search-quality")) == [made["partial"].pk]
    assert rows(get(desk, "/batches/?q=nightly-eval+8f2c1d9")) == [made["partial"].pk]
    assert rows(get(desk, f"/batches/?q={made['succeeded'].remote_id}")) == [made["succeeded"].pk]
    assert rows(get(desk, "/batches/?q=nothing-like-this")) == []


def test_a_short_word_matches_whole_values_and_says_so(desk: Client) -> None:
    made = everything_made()
    page = get(desk, "/batches/?q=eu")
    assert rows(page) == [made["partial"].pk]
    assert "match whole metadata values only" in page


def test_a_search_counts_its_chips_exactly(desk: Client) -> None:
    everything_made()
    page = get(desk, "/batches/?q=catalog-enrich")
    numbers = re.findall(r'class="chip".*?<b>([^<]*)</b>', page, re.DOTALL)
    assert numbers == ["3", "0", "1", "0", "1", "0", "0", "1"]


def test_a_search_beyond_the_cap_says_at_least(desk: Client, prod: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(8):
        batch_made(prod, name=f"example-{i}")
    monkeypatch.setattr("dashboard.views.batches.CAP", 3)
    page = get(desk, "/batches/?q=example")
    assert "<b>3+</b>" in page
    assert len(rows(page)) == 8, "only the counts are capped"


def test_a_connection_filters_rows_and_counts(desk: Client) -> None:
    made = everything_made()
    lab = made["stale"].connection
    page = get(desk, f"/batches/?connection={lab.pk}")
    assert set(rows(page)) == {made[key].pk for key in ("stale", "unknown", "uncounted")}


def test_an_address_that_makes_no_sense_is_answered_with_a_note(desk: Client) -> None:
    everything_made()
    for query in ("status=x", "sort=x", "connection=x", "before=1", "before=9999999999999999999.1", "after=%00"):
        page = get(desk, f"/batches/?{query}")
        assert 'class="hint"' in page, query
        assert rows(page), query


def test_sorting_by_failed_puts_the_most_first(desk: Client) -> None:
    made = everything_made()
    assert rows(get(desk, "/batches/?sort=failed"))[:2] == [made["all_failed"].pk, made["overdue"].pk]


def test_each_order_shows_what_it_promises_and_leads_back(desk: Client) -> None:
    everything_made()
    links = {"newest": "c-name", "total": "c-bar", "failed": "c-fail", "finish": "c-fin"}
    for sort, order in SORTS.items():
        answer = desk.get(f"/batches/?sort={sort}")
        page, shown = answer.content.decode(), [row.batch for row in answer.context["rows"]]
        keys = [(getattr(batch, order.column), batch.pk) for batch in shown]
        assert keys
        assert keys == sorted(keys, reverse=not order.up), sort
        assert f'<option value="{"" if sort == "newest" else sort}" selected>' in page
        if order.column == "expires_at":
            assert all(batch.is_open and not batch.gone_at for batch in shown)
            assert " aria-sort" not in page, "its column is not shown"
            continue
        css = next(css for name, css in links.items() if SORTS[name].column == order.column)
        way = "ascending" if order.up else "descending"
        head = re.search(rf'<th class="{css}[^>]* aria-sort="{way}"><a href="([^"]*)"', page)
        assert head, sort
        assert page.count(" aria-sort") == 1
        other = parse_qs(urlsplit(unescape(head[1])).query).get("sort", ["newest"])
        assert other == [order.other]


# --- Paging -----------------------------------------------------------------------------------------------------------


def walk(client: Client, address: str, rel: str) -> Iterator[list[int]]:
    while address:
        page = get(client, address)
        yield rows(page)
        link = re.search(rf'rel="{rel}" href="([^"]*)"', page)
        address = "/batches/" + unescape(link[1]) if link else ""
        if rel == "prev" and not link:
            return


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seconds=st.lists(st.integers(0, 3), min_size=1, max_size=17),
    sort=st.sampled_from(sorted(SORTS)),
    q=st.sampled_from(["", "total:>0", "nightly"]),
    sorted_at_once=st.sampled_from([3, 2000]),
)
def test_paging_neither_loses_nor_repeats_rows_that_share_a_second(
    desk: Client,
    prod: Connection,
    monkeypatch: pytest.MonkeyPatch,
    seconds: list[int],
    sort: str,
    q: str,
    sorted_at_once: int,
) -> None:
    monkeypatch.setattr("dashboard.views.batch_list.PAGE", 4)
    monkeypatch.setattr("dashboard.views.batch_list.SORTED", sorted_at_once)
    Batch.objects.all().delete()
    start = timezone.now() - timedelta(days=1)
    for second in seconds:
        at = start + timedelta(seconds=second)
        status = "in_progress" if SORTS[sort].column == "expires_at" else "completed"
        given = {"created_at": at, "finished_at": at, "expires_at": at, **counts(9 + second, 5, second + 1)}
        batch_made(prod, status, name="nightly", **given)
    keys = sorted(Batch.objects.values_list(SORTS[sort].column, "pk"), reverse=not SORTS[sort].up)
    expected = [pk for _key, pk in keys]
    pages = list(walk(desk, f"/batches/?sort={sort}&q={q}", "next"))
    assert [pk for page in pages for pk in page] == expected
    # Of too many to sort at once the list is looked through, and the way back leads to the top.
    is_looked_through = q and SORTS[sort].column != "place" and len(expected) > sorted_at_once
    if len(pages) > 1 and not is_looked_through:
        last = f"/batches/?sort={sort}&q={q}"
        for _ in range(len(pages) - 1):
            link = re.search(r'rel="next" href="([^"]*)"', get(desk, last))
            assert link
            last = "/batches/" + unescape(link[1])
        back = list(walk(desk, last, "prev"))
        assert set(expected) == {pk for page in back for pk in page}


# --- Polls ------------------------------------------------------------------------------------------------------------


def test_a_poll_that_brings_nothing_new_is_empty(desk: Client, prod: Connection) -> None:
    batch_made(prod)
    assert poll(desk, poll_of(get(desk))) == (204, "")


def test_a_poll_brings_the_changed_rows_alone(desk: Client, prod: Connection) -> None:
    first, second = batch_made(prod, name="first"), batch_made(prod, name="second")
    address = poll_of(get(desk))
    moved(prod, second)
    status, answer = poll(desk, address)
    assert status == 200
    assert rows(answer) == [second.pk]
    assert f"row-{first.pk}" not in answer
    assert poll(desk, poll_of(answer))[0] == 204, "the answer brings the next poll's token"


def test_new_batches_are_counted_and_not_pushed_in(desk: Client, prod: Connection) -> None:
    batch_made(prod, created_at=timezone.now() - timedelta(hours=1))
    address = poll_of(get(desk))
    for _ in range(3):
        batch_made(prod, created_at=timezone.now())
    moved(prod)
    _status, answer = poll(desk, address)
    assert "3 new" in answer
    assert rows(answer) == []
    assert "3 new" in poll(desk, poll_of(answer).replace("seen=", "seen=0-"))[1], "the pill stays until a refresh"


def test_further_down_the_list_no_pill_appears(desk: Client, prod: Connection) -> None:
    crowd_made(prod, 60)
    second = re.search(r'rel="next" href="([^"]*)"', get(desk))
    assert second
    address = poll_of(get(desk, "/batches/" + unescape(second[1])))
    batch_made(prod, created_at=timezone.now())
    moved(prod)
    assert " new" not in poll(desk, address)[1]


def test_a_row_that_leaves_the_filter_stays_until_a_refresh(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod, "in_progress", name="leaves", **counts(10, 4))
    address = poll_of(get(desk, "/batches/?status=running"))
    Batch.objects.filter(pk=batch.pk).update(status="completed", outcome="succeeded", is_open=False)
    moved(prod, batch)
    assert "Succeeded" in row(poll(desk, address)[1], batch)


def test_a_deadline_that_passes_moves_the_page(desk: Client, prod: Connection) -> None:
    soon = timezone.now() + timedelta(milliseconds=1)
    batch = batch_made(prod, "in_progress", name="late", expires_at=soon, **counts(10, 4))
    address = poll_of(get(desk))
    tasks.judge_health(timezone.now())
    before = poll(desk, address)[0]
    assert before == 204
    tasks.mark_overdue(timezone.now())
    status, answer = poll(desk, address)
    assert status == 200
    assert "overdue" in row(answer, batch)


def test_rows_drain_when_their_connection_turns_stale(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod, "in_progress", name="drains", **counts(10, 4))
    address = poll_of(get(desk))
    prod.synced_at = timezone.now() - timedelta(minutes=8)
    prod.health = Connection.Health.STALE
    moved(prod)
    answer = poll(desk, address)[1]
    assert "is-stale" in row(answer, batch)
    assert "Last good sync" in answer
    assert parse_qs(urlsplit(poll_of(answer)).query)["drained"] == [str(prod.pk)]


def test_rows_are_drawn_again_when_their_connection_is_removed(desk: Client, prod: Connection) -> None:
    batch = batch_made(prod, "in_progress", **counts(10, 4))
    address = poll_of(get(desk))
    prod.retired_at = timezone.now()
    moved(prod)
    answer = poll(desk, address)[1]
    assert "connection removed" in row(answer, batch)
    assert poll(desk, poll_of(answer))[0] == 204


def test_an_empty_page_fills_by_itself(desk: Client, prod: Connection) -> None:
    page = get(desk)
    assert "No batches upstream" in page
    batch = batch_made(prod, name="the first")
    moved(prod)
    answer = poll(desk, poll_of(page))[1]
    assert rows(answer) == [batch.pk]


# --- What one may not see ---------------------------------------------------------------------------------------------


@pytest.fixture
def only_lab(monkeypatch: pytest.MonkeyPatch) -> dict[str, Batch]:
    """As if rights were given for one connection alone; they are not yet, and everything already asks for them."""
    made = everything_made()
    lab = frozenset([made["stale"].connection_id])
    for module in ("models.connection", "models.batch", "middleware"):
        monkeypatch.setattr(f"dashboard.{module}.visible_connections", lambda _user: lab)
    return made


def test_rights_for_one_connection_would_show_its_batches_names_and_counts_alone(
    desk: Client, only_lab: dict[str, Batch]
) -> None:
    own = {only_lab[key].pk for key in ("stale", "unknown", "uncounted")}
    answer = desk.get("/batches/")
    page = answer.content.decode()
    assert set(rows(page)) == own
    assert re.findall(r'class="chip".*?<b>([^<]*)</b>', page, re.DOTALL) == ["3", "1", "0", "0", "0", "0", "0", "2"]
    assert '<span class="n" id="nav-batches">3</span>' in page
    assert "OGX / lab" in page
    assert "OpenAI / prod" not in page
    assert "Azure / eu" not in page
    assert answer["X-Synced"].count("=") == 1
    assert "Azure / eu" not in get(desk, "/connections/")
    assert desk.get(f"/batches/{only_lab['running'].pk}/").status_code == 404
    assert poll(desk, poll_of(page))[0] == 204, "the token is of what one sees"


def test_who_has_no_role_learns_nothing(stranger: User, client_of: ClientOf) -> None:
    made = everything_made()
    for address in ("/batches/", "/batches/?q=nightly-eval", "/connections/", f"/batches/{made['partial'].pk}/"):
        answer = client_of(stranger).get(address)
        assert answer.status_code == 403
        assert not answer.get("X-Synced")
        for word in ("nightly-eval", "OpenAI / prod", "nav-batches"):
            assert word not in answer.content.decode()


# --- Nothing to show --------------------------------------------------------------------------------------------------


def test_without_a_connection_an_admin_is_told_to_add_one(mei: User, vic: User, client_of: ClientOf) -> None:
    assert "/connections/add/" in get(client_of(mei))
    page = get(client_of(vic))
    assert "No connection yet" in page
    assert "/connections/add/" not in page


def test_the_first_import_shows_how_far_it_is(desk: Client) -> None:
    connection_made(imported_at=None, import_count=12300)
    assert "12,300 batches so far" in get(desk)


def test_nothing_found_offers_to_clear_the_filter(desk: Client) -> None:
    everything_made()
    page = get(desk, "/batches/?q=nothing-like-this&status=failed")
    assert "Nothing matches" in page
    assert "Clear the filter" in page


def test_a_broken_connection_is_named_with_its_plain_cause(desk: Client) -> None:
    everything_made()
    page = get(desk)
    assert page.count("banner--warn") == 1
    assert "The vendor did not answer in time." in page


def test_a_dead_worker_is_said(desk: Client, prod: Connection) -> None:
    Part.objects.create(name="worker", state="restarting", since_at=timezone.now(), restarts=2)
    assert "The worker is not running" in get(desk)
    assert "restarted 2 times." in get(desk)
    Part.objects.update(restarts=1)
    pulse_room._latest = None
    assert "restarted 1 time." in get(desk)


def test_removed_connections_can_be_filtered_by_while_they_have_batches(desk: Client, prod: Connection) -> None:
    once = connection_made("once was", retired_at=timezone.now())
    connection_made("and nothing of it", retired_at=timezone.now())
    batch_made(once)
    page = desk.get(f"/batches/?connection={once.pk}").content.decode()
    assert f'<optgroup label="Removed"><option value="{once.pk}" selected>once was</option></optgroup>' in page


@pytest.mark.parametrize("few", [1_000, 10], ids=["few alike", "many alike"])
def test_batches_whose_ids_begin_alike_are_all_counted_and_paged(
    desk: Client, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("dashboard.insight.search.FEW_IDS", few)
    connection = connection_made()
    now = timezone.now()
    for i in range(120):
        batch_made(
            connection,
            "completed" if i % 3 else "failed",
            remote_id=f"batch_6a5f{i * 7919 % 100_000:020d}",
            created_at=now - timedelta(minutes=i),
            name="even" if i % 2 else "odd",
        )
    answer = desk.get("/batches/?q=6a5f")
    assert (answer.context["count"], answer.context["capped"]) == (120, False)
    chips = {slug: number for slug, _label, _state, number, _link in answer.context["chips"]}
    assert chips["failed"] == 40
    seen = [row.batch.pk for row in answer.context["rows"]]
    while older := answer.context.get("older"):
        answer = desk.get(f"/batches/{older}")
        seen += [row.batch.pk for row in answer.context["rows"]]
    assert seen == list(Batch.objects.order_by("-place").values_list("pk", flat=True))
    assert desk.get("/batches/?q=6a5f even").context["count"] == 60
    monkeypatch.setattr("dashboard.views.batches.CAP", 100)
    answer = desk.get("/batches/?q=6a5f")
    assert (answer.context["count"], answer.context["capped"]) == (100, True)
