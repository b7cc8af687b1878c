"""What the files of real servers say of failures, and what is left of batches that ended early."""

from collections import Counter

import pytest
from django.test import Client

from dashboard.models import Batch, BatchError, FileRead, Result, User
from dashboard.sync import bodies, files
from tests.cast import ClientOf
from tests.servers.conftest import Connect, Follow, Page
from tests.servers.processes import wait_until
from tests.servers.vendors import Line, Vendor, questions
from tests.sync.test_reading import read_all

pytestmark = [pytest.mark.server, pytest.mark.django_db]


@pytest.fixture
def desk(ana: User, client_of: ClientOf) -> Client:
    return client_of(ana)


def asked_of(models: str, **changes: object) -> list[Line]:
    """One question to each of these models, with some of its body changed."""
    lines = questions(len(models.split()))
    return [
        {**line, "body": line["body"] | {"model": f"{model}/gpt-4o"} | changes}
        for line, model in zip(lines, models.split(), strict=True)
    ]


def files_page(desk: Client, batch: Batch) -> str:
    answer = desk.get(f"/batches/{batch.pk}/files/")
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_every_failure_of_ogx_is_read_grouped_and_found_in_the_input(
    ogx: Vendor, connect: Connect, follow: Follow
) -> None:
    connection = connect(ogx)
    spoilt = [*asked_of("calm", temperature="hot"), *asked_of("calm", temperature="cold")]
    lines = [*asked_of("calm failing calm failing failing"), *spoilt]
    lines = [{**line, "custom_id": f"mine-{number}"} for number, line in enumerate(lines, 1)]
    batch = follow(connection, ogx.make(lines).id)
    # The other tests' batches are on the same server.
    reads = [read for read in read_all() if read.batch_id == batch.pk]
    assert [(read.kind, read.state, read.bad_lines) for read in reads] == [("error", "read", 0), ("input", "read", 0)]
    assert batch.requests_failed == 5
    found = Counter(Result.objects.filter(read__batch=batch).values_list("http_status", "group__retry"))
    assert found == {(400, "invalid_request"): 3, (None, "invalid_request"): 2}
    errors = BatchError.objects.filter(batch=batch)
    assert errors.count() == 2, "the value that was refused makes no error of its own"
    for error in errors:
        for sample in error.samples:
            assert sample["custom_id"] == f"mine-{sample['input_line']}"
    last = bodies.request_of(batch, "mine-7")
    assert last
    assert (last.line, "cold" in last.text) == (7, True)


def test_every_answer_of_a_real_server_is_read(vendor: Vendor, connect: Connect, follow: Follow) -> None:
    batch = follow(connect(vendor), vendor.make(questions(4)).id)
    files.ask(batch, "output", "ana")
    read_all()
    read = FileRead.objects.get(batch=batch, kind="output")
    assert (read.lines, read.succeeded, read.bad_lines) == (4, 4, 0)
    rows = read.results.values_list("custom_id", "http_status", "tokens_input")
    assert sorted(rows) == [(f"question-{number}", 200, 1) for number in range(1, 5)]
    second = read.results.select_related("read__batch__connection").get(custom_id="question-2")
    assert '"question-2"' in bodies.body_of(second).text


def test_a_failed_batch_of_aimock_says_its_error_once(aimock: Vendor, connect: Connect, follow: Follow) -> None:
    made = aimock.make(questions(3), headers={"X-AIMock-Batch-Outcome": "failed"})
    batch = follow(connect(aimock), made.id)
    read_all()
    errors = BatchError.objects.filter(batch=batch).order_by("source").values_list("source", "group__code", "requests")
    assert list(errors) == [("error", "mock_failure", 3), ("validation", "mock_failure", 1)]
    assert bodies.lines_of_input(batch, {2})[2].text.startswith('{"custom_id": "question-2"')


def test_a_failed_check_of_ogx_names_lines_that_can_be_read(
    ogx: Vendor, connect: Connect, follow: Follow, desk: Client
) -> None:
    batch = follow(connect(ogx), ogx.make([*questions(2), "{half a line", *asked_of("nowhere")]).id)
    assert batch.outcome == "failed_validation"
    lines = [sample["input_line"] for error in BatchError.objects.filter(batch=batch) for sample in error.samples]
    assert 3 in lines
    page = desk.post(f"/batches/{batch.pk}/input/3/read/").content.decode()
    assert "{half a line" in page


def test_a_cancelled_batch_of_ogx_keeps_no_answers_and_is_not_called_usable(
    ogx: Vendor, connect: Connect, follow: Follow, page: Page, desk: Client
) -> None:
    connection = connect(ogx)
    made = ogx.make(questions(20, "slow/gpt-4o"))

    def some_are_done() -> bool:
        counts = ogx.look(made.id).request_counts
        return counts is not None and counts.completed > 0

    wait_until(some_are_done, every=0.5)
    with ogx.sdk() as sdk:
        sdk.batches.cancel(made.id)
    batch = follow(connection, made.id)
    assert batch.status == "cancelled"
    assert batch.requests_completed
    assert ogx.look(made.id).output_file_id is None, "its manner; once it keeps the output this test is to be turned"
    assert f"{batch.requests_completed} of 20 requests completed, but the vendor names no output." in page(batch)
    assert "and keeps no answers to them." in files_page(desk, batch)
    assert not FileRead.objects.filter(batch=batch).exists()


@pytest.mark.parametrize("how", ["expired", "cancelled"])
def test_an_early_end_of_aimock_leaves_nothing_and_says_so(
    aimock: Vendor, connect: Connect, follow: Follow, page: Page, desk: Client, how: str
) -> None:
    batch = follow(connect(aimock), aimock.make(questions(3), headers={"X-AIMock-Batch-Outcome": how}).id)
    assert (batch.status, batch.requests_completed) == (how, 0)
    assert "0 of 3 requests completed" in page(batch)
    assert "3 did not complete." in page(batch)
    assert "There is none." in files_page(desk, batch)
