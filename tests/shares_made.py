"""Links, made directly: for tests of pages, and for looking at them."""

from typing import Any

from dashboard.models import Batch, Share, User


def share_made(by: User, kind: str = "list", batch: Batch | None = None, **columns: Any) -> tuple[Share, str]:
    """A link and its token."""
    given = {"name": "the screen in the kitchen", "who": by.username, "made_by": by} | columns
    share = Share(kind="batch" if batch else kind, batch=batch, **given)
    token = share.new_token()
    share.save()
    return share, token
