"""`manage.py sync [NAME]`: sync one connection or all of them now, with progress."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from dashboard.insight.causes import cause_of
from dashboard.models import Connection, SyncRun
from dashboard.sync.pull import pull


class Command(BaseCommand):
    help = "Sync now: one connection by its name, or every one that is not paused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="the connection's name; all of them without it")

    def handle(self, *args: Any, **options: Any) -> None:
        connections = Connection.objects.kept().filter(paused_at=None)
        if options["name"]:
            connections = Connection.objects.kept().filter(name=options["name"])
            if not connections:
                known = ", ".join(Connection.objects.kept().values_list("name", flat=True)) or "none yet"
                raise CommandError(f"There is no connection named {options['name']!r}. Known: {known}.")
        failed = [connection.name for connection in connections if not self.sync(connection)]
        if failed:
            raise CommandError(f"Not synced: {', '.join(failed)}. What was known before is kept.")

    def sync(self, connection: Connection) -> bool:
        with tqdm(desc=connection.name, unit=" batches", disable=None) as bar:
            run = pull(connection.pk, progress=lambda count: bar.update(count - bar.n), only_due=False)
        if run is None:
            self.stdout.write(f"{connection}: a worker is syncing it at this moment.")
            return False
        counts = f"{run.seen:,} seen, {run.changed:,} changed, {run.refused:,} refused, {run.requests:,} requests"
        self.stdout.write(f"{connection}: {run.ending} in {run.seconds:.1f} s, {counts}")
        if run.error_kind:
            self.stdout.write(" ".join(filter(None, [cause_of(run.error_kind), run.error_words])))
        return run.ending == SyncRun.Ending.GOOD
