"""`manage.py simulate`: the Batch API simulator alone, until Ctrl-C."""

import signal
from argparse import ArgumentParser
from threading import Event
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dashboard.simulator import FAULTS, KEY, World, serve


class Command(BaseCommand):
    """Serves a simulated Batch API on loopback and prints where, and with which key."""

    help = "A simulated Batch API on this machine. Faults: " + "; ".join(
        f"{name} ({kind.says.rstrip('.')})" for name, kind in sorted(FAULTS.items())
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8400, help="0 takes a free one")
        parser.add_argument("--batches", type=int, default=2_000, metavar="N", help="how many exist at the start")
        parser.add_argument("--seed", type=int, default=1, metavar="S", help="the same seed gives the same batches")
        parser.add_argument(
            "--speed", type=float, default=10.0, metavar="X", help="how much faster than OpenAI they move"
        )
        parser.add_argument(
            "--start", type=float, metavar="UNIX", help="when the world began, so that a restart goes on with it"
        )
        parser.add_argument("--open", type=int, default=12, metavar="K", help="about how many are open at any moment")
        parser.add_argument(
            "--open-at", type=int, nargs="+", default=[], metavar="PLACE",
            help="nothing is born or open but the batches at these places of the list (0 is the newest)",
        )  # fmt: skip
        parser.add_argument(
            "--long-errors", type=int, default=0, metavar="N",
            help="with --open 0: the newest batch has failed in all of N requests, at 4 kB each",
        )  # fmt: skip
        parser.add_argument("--key", default=KEY, help="the API key that may do everything")
        parser.add_argument("--read-only-key", action="append", default=[], metavar="KEY", help="may be repeated")
        parser.add_argument(
            "--fault", action="append", default=[], metavar="KIND[@REQUEST][=VALUE][*COUNT]", help="may be repeated"
        )

    def handle(self, **options: Any) -> None:
        world = World(
            options["batches"],
            seed=options["seed"],
            speed=options["speed"],
            start=options["start"],
            open=options["open"],
            open_positions=options["open_at"],
            long_errors=options["long_errors"],
            api_keys=[options["key"]],
            read_only_keys=options["read_only_key"],
        )
        try:
            for fault in options["fault"]:
                world.faults.parse(fault)
        except ValueError as error:
            raise CommandError(str(error)) from None
        ended = Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        try:
            with serve(world, options["port"], options["host"]) as base_url:
                self.stdout.write(f"Batch API at {base_url}\nKey {options['key']}")
                self.stdout.flush()
                ended.wait()
        except OSError as error:
            raise CommandError(f"port {options['port']}: {error.strerror}") from None
