"""What a token opens and for how long; who may guess how often; what is noted of it."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.contrib.auth.hashers import make_password
from django.test import RequestFactory
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from dashboard import sharing
from dashboard.models import AuditEntry, Connection, Share, User
from dashboard.sharing import guessing, opened_by, seen
from dashboard.sharing.door import knows_password, pass_of
from tests.batches_made import batch_made, connection_made
from tests.cast import person
from tests.shares_made import share_made

NEAR, OTHER, FAR = "2001:db8:1:2::3", "2001:db8:1:2:ffff::9", "2001:db8:1:3::3"


def test_a_token_opens_its_share_and_is_stored_nowhere(ana: User) -> None:
    share, token = share_made(ana)
    opened = opened_by(token)
    assert opened
    assert (opened.share, opened.visible) == (share, None)
    assert token not in str(Share.objects.values())
    assert opened_by(token[:-1]) is None


def test_what_is_revoked_expired_or_replaced_opens_nothing(ana: User) -> None:
    _revoked, one = share_made(ana, revoked_at=timezone.now())
    _expired, two = share_made(ana, expires_at=timezone.now() - timedelta(seconds=1))
    rotated, three = share_made(ana)
    rotated.new_token()
    rotated.save()
    assert [opened_by(token) for token in (one, two, three)] == [None, None, None]


def test_a_link_shows_no_more_than_its_maker_may_see(ana: User) -> None:
    mine = Connection.objects.create(name="mine", base_url="http://127.0.0.1:9/v1")
    _share, token = share_made(ana)
    ana.is_limited = True
    ana.save()
    ana.connections.add(mine)
    assert (opened := opened_by(token))
    assert opened.visible == frozenset({mine.pk})
    ana.is_active = False
    ana.save()
    assert opened_by(token) is None


def test_a_link_hears_of_what_its_scope_can_concern_and_of_nothing_else(ana: User) -> None:
    prod, lab = connection_made(), connection_made("lab")
    batch = batch_made(prod)
    for columns in ({"batch": batch}, {"query": f"connection={prod.pk}"}):
        opened = opened_by(share_made(ana, **columns)[1])
        assert opened
        assert opened.visible == frozenset({prod.pk})
    ana.is_limited = True
    ana.save()
    ana.connections.add(lab)
    assert opened_by(share_made(ana, batch=batch)[1]) is None, "its maker may not see it any more"


def test_a_link_of_somebody_without_a_role_opens_nothing(db: None) -> None:
    _share, token = share_made(person("gone"))
    assert opened_by(token) is None


def test_a_share_is_asked_for_once_in_a_second(
    ana: User, settings: LazySettings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.SHARE_SECONDS = 60.0
    _share, token = share_made(ana)
    opened_by(token)
    with django_assert_num_queries(0):
        assert opened_by(token)
        sharing.forget()


# --- Guessing ---------------------------------------------------------------------------------------------------------


def guessed(times: int, address: str = NEAR) -> int:
    for i in range(times):
        guessing.note_wrong_token(f"wrong {i}", address)
    return guessing.seconds_to_wait(address)


def test_twenty_different_tokens_of_one_network_are_enough() -> None:
    assert guessed(guessing.WRONG_TOKENS - 1) == 0
    assert 0 < guessed(guessing.WRONG_TOKENS) <= guessing.TOKEN_SECONDS
    assert guessing.seconds_to_wait(OTHER) > 0, "of IPv6 a customer has a whole /64"
    assert guessing.seconds_to_wait(FAR) == guessing.seconds_to_wait("192.0.2.1") == 0


def test_asking_for_the_same_dead_link_is_no_guess() -> None:
    for _ in range(100):
        guessing.note_wrong_token("a wall that nobody has told", NEAR)
    assert guessing.seconds_to_wait(NEAR) == 0


def test_what_worked_from_a_network_goes_on_working_there(ana: User) -> None:
    known, _token = share_made(ana)
    stored, _token = share_made(ana, last_address=OTHER)
    fresh, _token = share_made(ana)
    assert guessing.is_let_in(known, NEAR)
    guessed(guessing.WRONG_TOKENS)
    assert guessing.is_let_in(known, OTHER), "by what this process remembers"
    assert guessing.is_let_in(stored, NEAR), "by what is stored, after a restart"
    assert not guessing.is_let_in(fresh, NEAR)
    assert guessing.is_let_in(fresh, FAR)


def test_no_number_of_networks_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "MOST_REMEMBERED", 10)
    for i in range(50):
        guessing.note_wrong_token("x", f"192.0.2.{i}")
    assert len(guessing._wrong) <= 10


def try_password(share: Share, password: str, address: str) -> tuple[bool, int]:
    def wrong() -> None:
        AuditEntry.objects.create(
            actor="", verb=guessing.WRONG_PASSWORD, target=f"{share.audited_as}x", address=address
        )

    return guessing.password_tried(share, password, address, wrong)


def test_five_wrong_passwords_from_one_network_are_enough_and_the_right_one_then_waits_too(ana: User) -> None:
    share, _token = share_made(ana, password=make_password("the right one"))
    other, _token = share_made(ana, password=make_password("the right one"))
    for _ in range(guessing.WRONG_PASSWORDS - 1):
        assert try_password(share, "wrong", NEAR) == (False, 0)
    is_right, wait = try_password(share, "wrong", OTHER)
    assert (is_right, 0 < wait <= 900) == (False, True)
    assert try_password(share, "the right one", NEAR)[0] is False
    assert try_password(share, "the right one", FAR) == (True, 0)
    assert try_password(other, "the right one", NEAR) == (True, 0)


def test_a_link_whose_password_many_guess_waits_for_everybody(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    share, _token = share_made(ana, password=make_password("the right one"))
    for i in range(guessing.WRONG_PASSWORDS_IN_ALL):
        try_password(share, "wrong", f"192.0.2.{i}")
    assert try_password(share, "the right one", FAR)[0] is False
    monkeypatch.setattr(guessing, "PASSWORD_TIME", timedelta(0))  # the wait is over
    assert try_password(share, "the right one", FAR) == (True, 0)


def test_another_password_or_another_token_ends_what_a_browser_remembers(ana: User) -> None:
    share, _token = share_made(ana, password=make_password("the right one"))
    request = RequestFactory().get("/")
    assert not knows_password(request, share)
    request.COOKIES["batches_link"] = pass_of(share)
    assert knows_password(request, share)
    assert share.password not in pass_of(share)
    share.new_token()
    assert not knows_password(request, share)
    request.COOKIES["batches_link"] = pass_of(share)
    share.password = make_password("another one")
    assert not knows_password(request, share)


# --- Last seen --------------------------------------------------------------------------------------------------------


def test_what_was_seen_is_written_together_and_a_poll_asks_no_database(
    ana: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    share, _token = share_made(ana)
    with django_assert_num_queries(0):
        for _ in range(100):
            seen.note(share.pk, NEAR, is_view=False)
        seen.note(share.pk, NEAR, is_view=True)
        seen.note(share.pk, FAR, is_view=True)
        seen.note(share.pk, FAR, is_view=True)  # the page loaded again to say in which zone it is
    with django_assert_num_queries(1):
        seen.flush()
    share.refresh_from_db()
    assert (share.views, share.last_address) == (2, FAR)
    assert share.last_seen_at
    assert timezone.now() - share.last_seen_at < timedelta(seconds=10)
    with django_assert_num_queries(0):
        seen.flush()


@pytest.mark.django_db(transaction=True)
def test_a_thread_writes_what_was_seen_and_closes_its_connection(settings: LazySettings) -> None:
    settings.SEEN_SECONDS = 60.0
    share, _token = share_made(person("ana", "operator"))
    seen.note(share.pk, NEAR, is_view=True)
    timer = seen._timer
    assert timer
    seen.note(share.pk, NEAR, is_view=False)
    assert seen._timer is timer, "one thread for all that comes within the minute"
    timer.join(10)
    share.refresh_from_db()
    assert share.views == 1
    seen.note(share.pk, NEAR, is_view=False)
    assert seen._timer
    assert seen._timer.interval > 50, "and the next write a minute later"
