"""Keys at rest: sealed, rotated, and honestly lost."""

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from dashboard import vault
from dashboard.models import Connection

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
SECRET = "sk-MARKER-of-a-vendor"


@pytest.fixture
def sealed_with_old(db: None, settings: LazySettings) -> Connection:
    settings.ENCRYPTION_KEYS = [OLD]
    connection = Connection(name="OpenAI / prod", base_url="https://api.openai.com/v1")
    connection.set_key(SECRET)
    connection.set_act_key(SECRET + "-acts")
    connection.save()
    return connection


def test_what_is_sealed_does_not_show_the_secret_and_opens_again() -> None:
    sealed = vault.seal(SECRET)
    assert SECRET not in sealed
    assert vault.seal(SECRET) != sealed
    assert vault.unseal(sealed) == SECRET
    assert vault.seal("") == vault.unseal("") == vault.reseal("") == ""


def test_only_the_last_four_characters_stand_in_the_clear(sealed_with_old: Connection) -> None:
    row = Connection.objects.values().get()
    assert row["key_last4"] == "ndor"
    assert SECRET not in str(row)


def test_a_short_key_shows_nothing_of_itself() -> None:
    connection = Connection()
    connection.set_key("12345678")
    assert connection.key_last4 == ""


def test_rotation_puts_every_key_under_the_newest_one(sealed_with_old: Connection, settings: LazySettings) -> None:
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    out = StringIO()
    call_command("encryption_key", "--rotate", stdout=out)
    assert out.getvalue().startswith("2 stored keys")
    settings.ENCRYPTION_KEYS = [NEW]
    after = Connection.objects.get()
    assert (after.key, after.act_key) == (SECRET, SECRET + "-acts")


def test_rotation_names_what_it_cannot_open_and_leaves_it(sealed_with_old: Connection, settings: LazySettings) -> None:
    settings.ENCRYPTION_KEYS = [OTHER]
    before = Connection.objects.values().get()
    with pytest.raises(CommandError, match="OpenAI / prod") as caught:
        call_command("encryption_key", "--rotate", stdout=StringIO())
    assert SECRET not in str(caught.value)
    assert Connection.objects.values().get() == before


def test_a_lost_encryption_key_is_noticed_and_not_taken_for_an_empty_key(
    sealed_with_old: Connection, settings: LazySettings
) -> None:
    settings.ENCRYPTION_KEYS = [OTHER]
    connection = Connection.objects.get()
    assert connection.key_is_lost
    with pytest.raises(vault.KeyLost):
        _ = connection.key
    with pytest.raises(vault.KeyLost):
        vault.reseal(connection.sealed_key)


def test_a_new_key_is_one_that_works(settings: LazySettings) -> None:
    out = StringIO()
    call_command("encryption_key", "--new", stdout=out, stderr=StringIO())
    settings.ENCRYPTION_KEYS = [out.getvalue().strip()]
    assert vault.unseal(vault.seal(SECRET)) == SECRET


def test_what_is_no_encryption_key_is_said_without_repeating_it(settings: LazySettings) -> None:
    settings.ENCRYPTION_KEYS = ["MARKER-not-a-key"]
    with pytest.raises(ImproperlyConfigured) as caught:
        vault.seal("x")
    assert "encryption_key --new" in str(caught.value)
    assert "MARKER" not in str(caught.value)
