"""`manage.py up`: one command that prepares everything, starts every part, and ends them all together."""

import http.client
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, SystemCheckError
from django.db import DatabaseError, connection
from django.utils import timezone

from dashboard.access import somebody_is_admin
from dashboard.logs import scrubbed
from dashboard.management import preparation
from dashboard.management.preparation import Demo
from dashboard.models import Part, SignInLink
from dashboard.supervisor import Child, Keeper, State
from dashboard.supervisor.claims import Claim, Taken, only_one, resolve, resolve_patiently

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (named here in order to warn)
LOOPBACK = ("127.", "::1")
DEMO_BATCHES = 1_200
DEMO_SPEED = 20


class Command(BaseCommand):
    help = "Prepare and start everything: web server, Celery worker, Celery beat. Ctrl-C ends it all."
    # Asked for in `prepare`, in a process that gives its memory back.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.HOST, help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=settings.PORT, help="0 takes a free one (default: %(default)s)")
        parser.add_argument("--demo", action="store_true", help="with a simulated Batch API and a connection to it")

    def handle(self, *, host: str, port: int, demo: bool, **_options: Any) -> None:
        # What we and our parts make (databases, static files) is for this user alone.
        os.umask(0o077)
        lock = settings.DATA_DIR / "up.lock"
        try:
            with only_one(lock) as claim:
                status = self.start(claim, host, port, demo=demo)
        except Taken as taken:
            raise CommandError(
                f"This data folder is in use by another `up`: {taken or 'which is just starting'}. Nothing was "
                f"started.\nEnd that one with Ctrl-C, or give this one a folder of its own: "
                f"DASHBOARD_DATA_DIR={settings.DATA_DIR}-2"
            ) from None
        if status:
            raise SystemExit(status)

    def start(self, claim: Claim, host: str, port: int, *, demo: bool) -> int:
        address, port = self.listen_on(host, port, patiently=bool(claim.earlier))
        self.url = f"{settings.URL or 'http://' + joined(EVERYWHERE.get(address, host), port)}/"
        claim.say(f"process {os.getpid()} at {self.url}")
        self.warn_of_strangers(host, address)
        self.stdout.write(f"Starting (data in {settings.DATA_DIR}) ...")
        self.stdout.flush()
        if status := in_a_fork(self.prepare):
            return status
        simulated = self.prepare_demo() if demo else None
        if not demo:
            preparation.rest_demo()
        children = parts(address, port, {"DASHBOARD_HOST": host, "DASHBOARD_PORT": str(port)}, simulated)
        # What an earlier run left says nothing about this one.
        Part.objects.all().delete()
        hurry(connection.settings_dict)
        connection.close()

        self.is_announced = False
        self.width = max(len(child.name) for child in children)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        keeper = Keeper(children, say=self.say, on_change=self.note, clean=scrubbed, stop_when=uv_is_gone())
        status = keeper.run()
        self.say("", "Everything has ended." if status == 0 else "")
        return status

    # Before

    def listen_on(self, host: str, port: int, *, patiently: bool) -> tuple[str, int]:
        try:
            return resolve_patiently(host, port) if patiently else resolve(host, port)
        except Taken:
            raise CommandError(
                f"Port {port} on {host} is in use by another program. Nothing was started.\n"
                f"Choose another one: manage.py up --port {port + 1 if port < 65535 else 8000}  (or DASHBOARD_PORT)"
            ) from None
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CommandError(
                f"Cannot listen on {host} port {port}: {reason}. Nothing was started. Choose with --host and --port."
            ) from None

    def warn_of_strangers(self, host: str, address: str) -> None:
        if address.startswith(LOOPBACK) or settings.HTTPS:
            return
        self.stderr.write(
            self.style.WARNING(
                f"Listening on {host}, so other machines can connect, without encryption: passwords travel in the "
                "clear.\nPut a TLS proxy before it and set DASHBOARD_URL=https://... "
                + ("" if settings.URL else f"(until then only {', '.join(sorted(set(settings.ALLOWED_HOSTS)))} work)")
            )
        )

    def prepare(self) -> None:
        """Checks, migrations and files; runs in a fork, whose memory is given back when it ends."""
        try:
            self.check(display_num_errors=False)
            if count := preparation.migrate():
                self.stdout.write(f"Database brought up to date ({count} migration{'s' * (count > 1)}).")
            preparation.make_broker_file()
            preparation.collect_static()
            first = preparation.connect_environment()
        except SystemCheckError as error:
            raise CommandError(f"{error}\nNothing was started.") from None
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used: {scrubbed(str(error).strip())}. Nothing was started."
            ) from None
        except OSError as error:
            raise CommandError(f"{error}. Nothing was started.") from None
        if first:
            self.stdout.write(f"Connection {first.name!r} reads its key from {preparation.ENV_KEY}.")

    def prepare_demo(self) -> Demo:
        """On the port of the last time, if nobody has taken it meanwhile."""
        try:
            _address, port = resolve("127.0.0.1", preparation.last_demo_port())
        except (OSError, Taken):
            _address, port = resolve("127.0.0.1", 0)
        return preparation.connect_demo(port)

    # While it runs

    def say(self, name: str, line: str) -> None:
        text = f"{self.style.MIGRATE_LABEL(name.rjust(self.width))} {line}" if name else line
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except OSError:
            # Whoever read it is gone (`up | head`); the parts live on.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def note(self, name: str, state: str, restarts: int, last_words: str) -> None:
        """Writes what the pages show of a part. Raises when the database does not answer; the keeper comes again."""
        try:
            Part.objects.update_or_create(
                name=name,
                defaults={
                    "state": state,
                    "restarts": restarts,
                    "since_at": timezone.now(),
                    "last_words": last_words,
                },
            )
            if name == "web" and state == State.RUNNING and not self.is_announced:
                self.announce()
        finally:
            # Changes are rare: nothing is kept open for them, and a database that comes back is found again.
            connection.close()

    def announce(self) -> None:
        token = "" if somebody_is_admin() else SignInLink.make()
        self.is_announced = True
        self.say("", f"\nBatches is at {self.style.SUCCESS(self.url)}  Ctrl-C ends it.")
        if token:
            self.say("", "Nobody can sign in yet. This link makes the first admin; it works once, within 24 hours:")
            self.say("", f"    {self.url}sign-in/first/?token={token}")
        self.say("", "")


def parts(address: str, port: int, extra: Mapping[str, str], demo: Demo | None) -> list[Child]:
    """The processes of the installation."""
    env = {
        **os.environ,
        **extra,
        "PYTHONUNBUFFERED": "1",
        # Many threads that each keep an arena of their own never give memory back.
        "MALLOC_ARENA_MAX": "2",
        # As root, as in most containers, Celery warns of pickled messages; ours are JSON and nothing else is accepted.
        "PYTHONWARNINGS": ",".join(
            filter(None, [os.environ.get("PYTHONWARNINGS", ""), "ignore:You're running the worker with superuser"])
        ),
    }
    manage = str(Path(settings.BASE_DIR) / "manage.py")
    celery = [sys.executable, "-m", "celery", "--workdir", str(settings.BASE_DIR), "--app", "dashboard", "--quiet"]
    # `up` has run them, and they import every page.
    celery.append("--skip-checks")

    web = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", address, "--port", str(port)]
    # One process; with few threads, people who wait for a vendor would stop everybody's polling.
    web += ["--workers", "1", "--blocking-threads", "32", "--working-dir", str(settings.BASE_DIR)]
    # The access log is our own middleware's, which leaves tokens out.
    web += ["--no-access-log", "--no-ws", "--no-metrics", "--log-level", "error", "--workers-kill-timeout", "5"]
    web += ["dashboard.wsgi:application"]

    # Threads: the work is waiting for vendors. One worker, so nobody to gossip with.
    worker = [*celery, "worker", "--pool", "threads", "--concurrency", str(settings.CELERY_WORKER_CONCURRENCY)]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    # The schedule is in the code, so beat has nothing to remember in a file.
    beat = [*celery, "beat", "--scheduler", "celery.beat:Scheduler", "--loglevel", "WARNING"]

    children = [
        Child("web", web, env, ready=answers(EVERYWHERE.get(address, address), port)),
        # These two say themselves when they are ready; see celery.py.
        Child("worker", worker, env),
        Child("beat", beat, env),
    ]
    if demo:
        simulate = [sys.executable, manage, "simulate", "--port", str(demo.port), "--start", str(demo.start)]
        simulate += ["--batches", str(DEMO_BATCHES), "--speed", str(DEMO_SPEED)]
        children.insert(1, Child("simulator", simulate, env, ready=answers("127.0.0.1", demo.port)))
    return children


def answers(host: str, port: int) -> Callable[[], bool]:
    """Whether a web server answers there, if only to say that it does not know us."""

    def ask() -> bool:
        asking = http.client.HTTPConnection(host, port, timeout=1.0)
        try:
            asking.request("GET", "/healthz")
            return asking.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asking.close()

    return ask


def hurry(database: dict[str, Any]) -> None:
    """The supervisor's own connection: a database that is busy or away must not hold up the children."""
    options = database.setdefault("OPTIONS", {})
    if database["ENGINE"].endswith("sqlite3"):
        options["timeout"] = 0.3
    elif database["ENGINE"].endswith("postgresql"):
        options["connect_timeout"] = 2
        options["options"] = f"{options.get('options', '')} -c statement_timeout=1000".strip()


def in_a_fork(work: Callable[[], None]) -> int:
    """Runs it in a process of its own and returns its exit status: what it imports is not kept in memory."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except KeyboardInterrupt:
            os.waitpid(pid, 0)
            return 130
    status = 1
    try:
        work()
        status = 0
    except CommandError as error:
        print(f"CommandError: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
    except BaseException:  # noqa: BLE001 (nobody above us in this process may see it)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def uv_is_gone() -> Callable[[], bool] | None:
    """Started by `uv run`, we are to end with it: a kill -9 of uv leaves its child running.

    Nobody else is watched: a shell may go away under `nohup`.
    """
    parent = os.getppid()
    try:
        name = Path(f"/proc/{parent}/comm").read_text().strip()
    except OSError:
        return None
    return (lambda: os.getppid() != parent) if name == "uv" else None
