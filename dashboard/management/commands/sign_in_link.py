"""`manage.py sign_in_link`: a link that makes the first admin. `up` prints the same on the first start."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse
from django.utils.http import urlencode

from dashboard.access import somebody_is_admin
from dashboard.models import SignInLink


def make_first_link(base_url: str) -> str:
    """A new link that works once and for a day; "" when somebody can sign in as an admin already."""
    if somebody_is_admin():
        return ""
    where = urlsplit(base_url)
    # `reverse` knows the prefix of DASHBOARD_URL, so only the server is taken from the base.
    return f"{where.scheme}://{where.netloc}{reverse('first-admin')}?{urlencode({'token': SignInLink.make()})}"


class Command(BaseCommand):
    help = "Prints a link that works once and for a day, and makes the first admin. Earlier links stop working."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url",
            default=settings.URL or f"http://{settings.HOST}:{settings.PORT}",
            help="how you reach the server (default: DASHBOARD_URL, else the address it listens on)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        link = make_first_link(options["url"])
        if not link:
            raise CommandError(
                "Somebody can sign in as an admin already, so no link was made. "
                "A lost password is set anew with `manage.py changepassword NAME`."
            )
        self.stdout.write(link)
