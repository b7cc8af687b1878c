"""What the search box offers: fields and values that there are, and nothing that one may not see."""

import re
from html import unescape
from urllib.parse import urlencode

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.insight import suggestions as room
from dashboard.insight.query import typed_in
from dashboard.models import User
from tests.batches_made import batch_made, connection_made
from tests.cast import ClientOf

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    room._latest.clear()


@pytest.fixture
def desk(vic: User, client_of: ClientOf) -> Client:
    prod, lab = connection_made("OpenAI / prod"), connection_made("lab")
    batch_made(prod, model="gpt-4o", owner="ana", metadata={"team": "search quality", "stage": "eval"})
    batch_made(prod, model="gpt-4o-mini", owner="mei", metadata={"team": "ads", "note": 'with "quotes"'})
    batch_made(lab, model="llama", endpoint="/v1/chat/completions", owner="ana", metadata={"team": "ads"})
    return client_of(vic)


def offered(client: Client, text: str, at: int | None = None) -> dict[str, tuple[str, int]]:
    """The terms on offer, with the whole box and the cursor that each would leave."""
    query = urlencode({"q": text, "at": len(text) if at is None else at})
    answer = client.get(f"/batches/suggestions/?{query}")
    assert answer.status_code == 200
    found = re.findall(
        r'data-text="([^"]*)" data-at="(\d+)"><span class="option__term">([^<]*)', answer.content.decode()
    )
    return {unescape(term): (unescape(whole), int(place)) for whole, place, term in found}


def test_an_empty_box_offers_the_fields(desk: Client) -> None:
    assert list(offered(desk, ""))[:3] == ["status:", "outcome:", "conn:"]


def test_the_beginning_of_a_field_is_completed_and_waits_for_its_value(desk: Client) -> None:
    assert offered(desk, "nightly sta") == {"status:": ("nightly status:", 15)}
    assert offered(desk, "-outc") == {"-outcome:": ("-outcome:", 9)}


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("status:ed", ["status:completed", "status:failed", "status:expired", "status:cancelled"]),
        ("outcome:part", ["outcome:partial"]),
        ("conn:", ['conn:"OpenAI / prod"', "conn:lab"]),
        ("model:4o", ["model:gpt-4o", "model:gpt-4o-mini"]),
        ("endpoint:chat", ["endpoint:/v1/chat/completions"]),
        ("owner:", ["owner:ana", "owner:mei"]),
        ("window:", ["window:24h"]),
        ("meta.t", ["meta.team:"]),
        ("meta.team:", ["meta.team:ads", 'meta.team:"search quality"']),
        ("meta.team:qual", ['meta.team:"search quality"']),
        ("meta.note:", []),
        ("failed:", ["failed:>0", "failed:>100", "failed:0"]),
        ("created:y", ["created:yesterday", "created:today"]),
        ("deadline:", ["deadline:1h", "deadline:2h", "deadline:6h", "deadline:24h"]),
        ("nightly", []),
    ],
)
def test_values_are_those_that_there_are(desk: Client, text: str, terms: list[str]) -> None:
    found = list(offered(desk, text))
    assert found[: len(terms)] == terms
    assert bool(found) == bool(terms)


def test_a_term_in_the_middle_is_replaced_where_it_stands(desk: Client) -> None:
    assert offered(desk, "a status:comp b", at=13) == {"status:completed": ("a status:completed b", 18)}


def test_what_is_finished_is_not_offered_again(desk: Client) -> None:
    assert "status:failed" not in offered(desk, "status:failed")


def test_values_of_a_stranger_are_never_markup(desk: Client) -> None:
    batch_made(connection_made("<b>x</b>"), model="<script>alert(1)</script>", metadata={"<i>": "<img src=x>"})
    for text in ("conn:<", "model:<", "meta.<"):
        answer = desk.get(f"/batches/suggestions/?{urlencode({'q': text})}").content.decode()
        assert "&lt;" in answer
        assert not re.search(r"<(b|script|img|i)\b", answer)


def test_nobody_is_offered_what_they_may_not_see(
    desk: Client, monkeypatch: pytest.MonkeyPatch, stranger: User, client_of: ClientOf
) -> None:
    assert client_of(stranger).get("/batches/suggestions/?q=model:").status_code == 403
    for module in ("views.suggestions", "models.batch", "middleware"):
        monkeypatch.setattr(f"dashboard.{module}.visible_connections", lambda _user: frozenset())
    for text in ("conn:", "model:", "owner:", "meta.team:", "meta.t"):
        assert not offered(desk, text), text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.sampled_from('metastu.:-,"<> \n\U0001f600'), max_size=20), at=st.integers(0, 25))
def test_taking_any_offer_leaves_the_rest_of_the_box_alone(desk: Client, text: str, at: int) -> None:
    typed = next((one for one in typed_in(text) if one.start < at <= one.end), None)
    before, after = (text[: typed.start], text[typed.end :]) if typed else (text[:at], text[at:])
    for term, (whole, place) in offered(desk, text, at).items():
        assert whole[:place].rstrip() == (before + term).rstrip()
        assert whole[place:] == after
