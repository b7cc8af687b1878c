"""`manage.py encryption_key`: make a new encryption key, and put every stored vendor's key under the newest one."""

from collections.abc import Iterator
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from dashboard import vault
from dashboard.models import Connection

HOW = """Put it first in DASHBOARD_ENCRYPTION_KEYS (or as the first line of encryption.keys in the data folder) and keep
the old ones behind it. Restart, run `manage.py encryption_key --rotate`, then remove the old ones."""


class Command(BaseCommand):
    help = "Makes a new encryption key (--new), or encrypts every stored key again with the newest one (--rotate)."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--new", action="store_true", help="print a new key; changes nothing")
        what.add_argument("--rotate", action="store_true", help="encrypt every stored key with the newest one")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["new"]:
            self.stdout.write(Fernet.generate_key().decode())
            self.stderr.write(HOW)
        else:
            self.rotate()

    def rotate(self) -> None:
        lost, done = [], 0
        for connection in Connection.objects.order_by("name"):
            for field in ("sealed_key", "sealed_act_key"):
                sealed = getattr(connection, field)
                if not sealed:
                    continue
                try:
                    again = vault.reseal(sealed)
                except vault.KeyLost:
                    lost.append(connection.name)
                    continue
                # Only if nobody entered another key in the meantime; that one is under the newest key already.
                Connection.objects.filter(pk=connection.pk, **{field: sealed}).update(**{field: again})
                done += 1
        for person, is_lost in factors_resealed():
            if is_lost:
                lost.append(f"the second factor of {person}")
            done += not is_lost
        self.stdout.write(f"{done} stored keys are now encrypted with the newest encryption key.")
        if lost:
            names = ", ".join(dict.fromkeys(lost))
            raise CommandError(
                f"Not readable with any of DASHBOARD_ENCRYPTION_KEYS, and left as they were: {names}. Add the "
                "encryption key that was used then and run this again, or enter the keys again on /connections/; a "
                "second factor is removed on /people/."
            )


def factors_resealed() -> Iterator[tuple[str, bool]]:
    """Whose each second factor is, and whether its secret is lost."""
    if not settings.ALLAUTH:
        return
    from allauth.mfa.models import Authenticator

    for factor in Authenticator.objects.select_related("user"):
        sealed = {name: factor.data[name] for name in ("secret", "seed") if name in factor.data}
        try:
            factor.data |= {name: vault.reseal(text) for name, text in sealed.items()}
        except vault.KeyLost:
            yield str(factor.user), True
            continue
        factor.save(update_fields=["data"])
        yield str(factor.user), False
