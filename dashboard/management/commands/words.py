"""`manage.py words`: the strings that people see, into the catalogs of the other languages."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Finds the strings of code and templates, and brings every language's django.po and django.mo up to date."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            from dashboard.management import catalog
        except ImportError:
            raise CommandError(
                "Babel is not installed. It is a development tool and comes with `uv sync`. Nothing was changed."
            ) from None
        template = catalog.found()
        for language in catalog.languages():
            missing = catalog.untranslated(catalog.update(language, template))
            self.stdout.write(f"{language}: {len(template)} strings, {len(missing)} without a translation")
            for message in missing:
                self.stdout.write(f"  {message.id if isinstance(message.id, str) else message.id[0]}")
