"""The nouns. One file each, with its QuerySet."""

from dashboard.models.act import Act, AuditEntry
from dashboard.models.batch import Batch, Counter, Reading, Transition
from dashboard.models.connection import Connection, Refusal, SyncRun
from dashboard.models.installation import Part, SignInLink
from dashboard.models.user import User

__all__ = [
    "Act",
    "AuditEntry",
    "Batch",
    "Connection",
    "Counter",
    "Part",
    "Reading",
    "Refusal",
    "SignInLink",
    "SyncRun",
    "Transition",
    "User",
]
