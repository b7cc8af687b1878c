"""Each server is started once for all tests that ask for it, and ends with them."""

import html
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.urls import reverse

from dashboard.models import Batch, Connection, User
from dashboard.supervisor.keeper import Sitter
from dashboard.sync.pull import pull
from tests.cast import ClientOf
from tests.servers import vendors
from tests.servers.vendors import KEY, Model, Vendor

FOLLOW_SECONDS = 90

type Connect = Callable[..., Connection]
type Follow = Callable[[Connection, str], Batch]
type Page = Callable[[Batch], str]


@pytest.fixture(scope="session")
def sitter() -> Iterator[Sitter]:
    """Ends the servers when the tests are killed and can no longer do it."""
    sitter = Sitter(grace=2)
    yield sitter
    sitter.dismiss()


@pytest.fixture(scope="session")
def aimock(tmp_path_factory: pytest.TempPathFactory, sitter: Sitter) -> Iterator[Vendor]:
    vendor = vendors.aimock(tmp_path_factory.mktemp("aimock"), sitter)
    try:
        vendor.process.start()
        yield vendor
    finally:
        vendor.process.stop()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, sitter: Sitter) -> Iterator[dict[str, Model]]:
    """The models behind OGX."""
    models = vendors.models(tmp_path_factory.mktemp("llmock"), sitter)
    with ExitStack() as ending:
        for model in models.values():
            model.process.launch()
            ending.callback(model.process.stop)
        for model in models.values():
            model.process.start()
        yield models


@pytest.fixture(scope="session")
def ogx(tmp_path_factory: pytest.TempPathFactory, sitter: Sitter, models: dict[str, Model]) -> Iterator[Vendor]:
    yield from _ogx(tmp_path_factory.mktemp("ogx"), sitter, models)


@pytest.fixture(params=["aimock", "ogx"])
def vendor(request: pytest.FixtureRequest) -> Vendor:
    """Each server in turn, for what has to hold with all of them."""
    vendor: Vendor = request.getfixturevalue(request.param)
    return vendor


@pytest.fixture
def mortal_ogx(tmp_path: Path, sitter: Sitter, models: dict[str, Model]) -> Iterator[Vendor]:
    """An OGX that a test may kill."""
    yield from _ogx(tmp_path, sitter, models)


@pytest.fixture
def queueing_ogx(tmp_path: Path, sitter: Sitter, models: dict[str, Model]) -> Iterator[Vendor]:
    """An OGX that works on one batch at a time, so that the next one waits where it can be seen."""
    yield from _ogx(tmp_path, sitter, models, at_once=1)


@pytest.fixture
def mortal_aimock(tmp_path: Path, sitter: Sitter) -> Iterator[Vendor]:
    """An aimock that a test may kill."""
    vendor = vendors.aimock(tmp_path, sitter)
    try:
        vendor.process.start()
        yield vendor
    finally:
        vendor.process.stop()


def _ogx(folder: Path, sitter: Sitter, models: dict[str, Model], *, at_once: int = 8) -> Iterator[Vendor]:
    vendor = vendors.ogx(folder, sitter, models, at_once=at_once)
    try:
        vendor.process.start()
        yield vendor
    finally:
        vendor.process.stop()


@pytest.fixture
def connect(db: None) -> Connect:
    """A connection to a vendor as an admin would have entered it."""

    def connect(vendor: Vendor, *, name: str = "lab", key: str = KEY, **columns: object) -> Connection:
        connection = Connection(name=name, base_url=vendor.base_url, **columns)
        connection.set_key(key)
        connection.save()
        return connection

    return connect


@pytest.fixture
def follow() -> Follow:
    """Syncs again and again until a batch has ended, as the worker would but for the waiting."""

    def follow(connection: Connection, remote_id: str) -> Batch:
        until = time.monotonic() + FOLLOW_SECONDS
        while True:
            run = pull(connection.pk, only_due=False)
            assert run is not None
            assert run.ending == "good", f"{run.error_kind}: {run.error_words}"
            batch = Batch.objects.filter(connection=connection, remote_id=remote_id).first()
            if batch and not batch.is_open:
                return batch
            assert time.monotonic() < until, f"{batch} is still {batch and batch.status} after {FOLLOW_SECONDS} s"
            time.sleep(0.1)

    return follow


@pytest.fixture
def page(ana: User, client_of: ClientOf) -> Page:
    """What an operator reads on a batch's page."""
    client = client_of(ana)

    def page(batch: Batch) -> str:
        answer = client.get(reverse("batch", args=[batch.pk]))
        assert answer.status_code == 200
        return html.unescape(" ".join(answer.content.decode().split()))

    return page
