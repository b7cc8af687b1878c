"""What a token opens, and for how long."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from dashboard import sharing
from dashboard.models import Connection, Share, User
from dashboard.sharing import opened_by
from tests.cast import person


@pytest.fixture(autouse=True)
def at_once(settings: LazySettings) -> None:
    settings.SHARE_SECONDS = 0.0


def made(by: User, **more: object) -> tuple[Share, str]:
    share = Share(name="the screen in the kitchen", kind="wall", made_by=by, who=by.username, **more)
    token = share.new_token()
    share.save()
    return share, token


def test_a_token_opens_its_share_and_is_stored_nowhere(ana: User) -> None:
    share, token = made(ana)
    opened = opened_by(token)
    assert opened
    assert (opened.share, opened.visible) == (share, None)
    assert token not in str(Share.objects.values())
    assert opened_by(token[:-1]) is None


def test_what_is_revoked_expired_or_replaced_opens_nothing(ana: User) -> None:
    revoked, one = made(ana)
    Share.objects.filter(pk=revoked.pk).update(revoked_at=timezone.now())
    _expired, two = made(ana, expires_at=timezone.now() - timedelta(seconds=1))
    rotated, three = made(ana)
    rotated.new_token()
    rotated.save()
    assert [opened_by(token) for token in (one, two, three)] == [None, None, None]


def test_a_link_shows_no_more_than_its_maker_may_see(ana: User) -> None:
    mine = Connection.objects.create(name="mine", base_url="http://127.0.0.1:9/v1")
    _share, token = made(ana)
    ana.is_limited = True
    ana.save()
    ana.connections.add(mine)
    assert (opened := opened_by(token))
    assert opened.visible == frozenset({mine.pk})
    ana.is_active = False
    ana.save()
    assert opened_by(token) is None


def test_a_link_of_somebody_without_a_role_opens_nothing(db: None) -> None:
    _share, token = made(person("gone"))
    assert opened_by(token) is None


def test_a_share_is_asked_for_once_in_a_second(
    ana: User, settings: LazySettings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.SHARE_SECONDS = 60.0
    _share, token = made(ana)
    opened_by(token)
    with django_assert_num_queries(0):
        assert opened_by(token)
        sharing.forget()
