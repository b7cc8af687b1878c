"""What the vendor says of an output file's end, once it was read, opens and closes "results expire soon"."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from dashboard.models import Batch, Concern, Reason, RemoteFile
from dashboard.sync import concerns, files
from tests.sync.conftest import Vendor
from tests.sync.test_reading import read_all

DAY = 86_400


@pytest.fixture
def vendor(vendor_of: Callable[..., Vendor]) -> Vendor:
    vendor = vendor_of(0, failing=0.0)
    vendor.pull()
    return vendor


def ended_long_ago(vendor: Vendor, days: float) -> Batch:
    """A good batch whose files the vendor deletes thirty days after it ended."""
    vendor.clock.ahead = -days * DAY
    return vendor.finished("a", "b", "c")


def opened() -> dict[str, dict[str, object]]:
    concerns.judge_due(timezone.now())
    return dict(Concern.objects.open().values_list("reason", "evidence"))


def test_an_end_of_life_that_was_read_opens_the_concern_with_the_vendors_own_time(vendor: Vendor) -> None:
    batch = ended_long_ago(vendor, 30)  # and is over a day later
    assert opened()[Reason.RESULTS_EXPIRE]["usual"] is True, "nobody has looked at the file yet"
    files.ask(batch, "output", "ana")
    read_all()
    file = RemoteFile.objects.get(file_id=batch.output_file_id)
    assert file.expires_at
    assert timedelta(0) < file.expires_at - timezone.now() < timedelta(days=3)
    said = opened()[Reason.RESULTS_EXPIRE]
    assert "usual" not in said
    assert str(said["expires"])[:16] == file.expires_at.isoformat()[:16]


def test_a_file_that_the_vendor_keeps_longer_than_is_usual_closes_the_concern(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = ended_long_ago(vendor, 30)
    assert Reason.RESULTS_EXPIRE in opened()
    monkeypatch.setattr("dashboard.simulator.files.KEPT_FOR", 90 * DAY)
    files.ask(batch, "output", "ana")
    read_all()
    assert Reason.RESULTS_EXPIRE not in opened()


def test_a_file_that_is_gone_closes_the_concern(vendor: Vendor) -> None:
    batch = ended_long_ago(vendor, 30)
    assert Reason.RESULTS_EXPIRE in opened()
    vendor.world.faults.add("file_gone")
    files.ask(batch, "output", "ana")
    read_all()
    assert RemoteFile.objects.get(file_id=batch.output_file_id).gone_at
    assert Reason.RESULTS_EXPIRE not in opened()


def test_a_file_that_came_back_opens_it_again(vendor: Vendor) -> None:
    batch = ended_long_ago(vendor, 30)
    vendor.world.faults.add("file_gone")
    files.ask(batch, "output", "ana")
    read_all()
    assert Reason.RESULTS_EXPIRE not in opened()
    vendor.world.faults.clear()
    files.ask(batch, "output", "ana")
    read_all()
    assert Reason.RESULTS_EXPIRE in opened()
