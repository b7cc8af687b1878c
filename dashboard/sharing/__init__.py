"""Who comes by a link instead of signing in: what a token opens, who may guess how often, when a link was last used."""

from dashboard.sharing.door import NoShare, by_token, share_of
from dashboard.sharing.opening import Opened, forget, opened_by

__all__ = ["NoShare", "Opened", "by_token", "forget", "opened_by", "share_of"]
