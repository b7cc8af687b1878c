"""The named cast: who they are says what they may do.

Vic is a viewer, Ana an operator, Mei an admin; the stranger can sign in and has no role. All four share one password.
"""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from dashboard.models import User

PASSWORD = "correct horse battery"

type ClientOf = Callable[[User], Client]


def person(name: str, role: str = "") -> User:
    user = User.objects.create_user(name, password=PASSWORD)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture
def vic(db: None) -> User:
    return person("vic", "viewer")


@pytest.fixture
def ana(db: None) -> User:
    return person("ana", "operator")


@pytest.fixture
def mei(db: None) -> User:
    return person("mei", "admin")


@pytest.fixture
def stranger(db: None) -> User:
    return person("stranger")


@pytest.fixture
def client_of() -> ClientOf:
    """A browser in which this person is signed in."""

    def of(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="dashboard.access.Roles")
        return client

    return of
