"""The nouns. One file each, with its QuerySet."""

from dashboard.models.act import Act
from dashboard.models.audit import AuditEntry
from dashboard.models.batch import Batch, Counter, Reading, Transition
from dashboard.models.concern import Concern, Reason
from dashboard.models.connection import Connection, Refusal, SyncRun
from dashboard.models.error import BatchError, ErrorDay, ErrorGroup, FileKind, FileRead, RemoteFile, Result
from dashboard.models.flow import Finished, Flow, Lasted
from dashboard.models.installation import Part, SignInLink
from dashboard.models.invitation import Invitation
from dashboard.models.saved_view import SavedView
from dashboard.models.search import Facet
from dashboard.models.share import Share
from dashboard.models.user import User

__all__ = [
    "Act",
    "AuditEntry",
    "Batch",
    "BatchError",
    "Concern",
    "Connection",
    "Counter",
    "ErrorDay",
    "ErrorGroup",
    "Facet",
    "FileKind",
    "FileRead",
    "Finished",
    "Flow",
    "Invitation",
    "Lasted",
    "Part",
    "Reading",
    "Reason",
    "Refusal",
    "RemoteFile",
    "Result",
    "SavedView",
    "Share",
    "SignInLink",
    "SyncRun",
    "Transition",
    "User",
]
