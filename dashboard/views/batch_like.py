"""What a batch has in common with others: its metadata as searches, and a few of its like."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from dashboard.insight.query import Term, text_of
from dashboard.insight.siblings import COUNTED, siblings_of
from dashboard.middleware import pulse_of
from dashboard.models import Batch
from dashboard.models.connection import visible_connections
from dashboard.sync.columns import NAME_KEYS


@dataclass(frozen=True, slots=True)
class Tag:
    """A key of the metadata and its value; `url` is the list of all that have it, empty where it cannot be asked."""

    key: str
    value: str
    url: str


@dataclass(frozen=True, slots=True)
class Group:
    """A few batches that have something in common. `number` is how many have it, in words."""

    label: str
    value: str
    number: str
    url: str
    batches: list[Batch]


def tags_of(batch: Batch) -> list[Tag]:
    return [Tag(key, value, _search(text_of(Term("meta", (value,), key=key)))) for key, value in _metadata(batch)]


def _metadata(batch: Batch) -> list[tuple[str, str]]:
    """As texts, whatever a vendor sent."""
    held: dict[str, Any] = batch.metadata if isinstance(batch.metadata, dict) else {}
    return sorted((key, value if isinstance(value, str) else str(value)) for key, value in held.items())


def _search(text: str) -> str:
    return f"{reverse('batches')}?{urlencode({'q': text})}" if text else ""


def like(request: HttpRequest, batch: Batch) -> list[Group]:
    """Only among what this person may see."""
    within = Q()
    if (visible := visible_connections(request.user)) is not None:
        within &= Q(connection__in=visible)
    if dropped := pulse_of(request).dropped:
        within &= ~Q(connection__in=dropped)
    connection = batch.connection
    telling = {connection.name_key, connection.owner_key, *NAME_KEYS}
    return [
        Group(
            label={"input": _("same input file"), "model": _("same model")}.get(group.field, group.key),
            value=group.value,
            number=f"{COUNTED}+" if group.number > COUNTED else str(group.number),
            url=_search(group.text),
            batches=list(group.batches),
        )
        for group in siblings_of(batch, within, telling=sorted(telling))
    ]
