"""The three files of a batch: what is known of each, how far its reading came, and whether its lines add up."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dashboard.insight.causes import cause_of
from dashboard.insight.outcome import count
from dashboard.models import Batch, FileKind, FileRead, RemoteFile

State = FileRead.State
READS_SEEN = 30
NAMES = {
    "input": gettext_lazy("Input file"),
    "output": gettext_lazy("Output file"),
    "error": gettext_lazy("Error file"),
}


@dataclass(frozen=True, slots=True)
class BatchFile:
    """One file. `latest` is the newest wish to read it, `shown` the read whose results the pages show."""

    kind: str
    file_id: str
    remote: RemoteFile | None
    latest: FileRead | None
    shown: FileRead | None

    @property
    def label(self) -> str:
        return str(NAMES[self.kind])

    @property
    def is_being_read(self) -> bool:
        return self.latest is not None and self.latest.state in FileRead.OPEN

    @property
    def is_gone(self) -> bool:
        # Another read may have found it again: a 404 is not always for good.
        seen_since = self.shown is not None and self.latest is self.shown
        return not seen_since and bool(
            (self.latest and self.latest.state == State.GONE) or (self.remote and self.remote.gone_at)
        )

    @property
    def lines(self) -> int | None:
        """None while nobody knows."""
        if self.shown is None:
            return None
        # An input file is read only until the samples are found in it, unless somebody asked for the comparison.
        is_whole = self.kind != FileKind.INPUT or self.shown.missing is not None
        return self.shown.lines if is_whole else None

    @property
    def state(self) -> str:
        """How it is drawn: the name of an icon and a colour."""
        if not self.file_id:
            return "none"
        if self.is_gone:
            return "expired"
        if self.is_being_read:
            return "stale" if self.latest and self.latest.failures else "in_progress"
        if self.latest and self.latest.state == State.FAILED:
            return "failed"
        if self.shown:
            return "risk" if self.shown.bad_lines or self.shown.is_capped else "succeeded"
        return "none"


def files_of(batch: Batch) -> dict[str, BatchFile]:
    """By kind, in the order of a request's life."""
    ids = {"input": batch.input_file_id, "output": batch.output_file_id, "error": batch.error_file_id}
    reads = list(FileRead.objects.filter(batch=batch).order_by("-pk")[:READS_SEEN])
    known = [file_id for file_id in ids.values() if file_id]
    remote = {
        file.file_id: file for file in RemoteFile.objects.filter(connection=batch.connection_id, file_id__in=known)
    }
    return {
        kind: BatchFile(
            kind=kind,
            file_id=file_id,
            remote=remote.get(file_id),
            latest=next((read for read in reads if read.kind == kind), None),
            shown=next((read for read in reads if read.kind == kind and read.state == State.READ), None),
        )
        for kind, file_id in ids.items()
    }


def state_in_words(file: BatchFile, batch: Batch) -> list[str]:
    """Honest sentences about one file: what is known, what is not, and what comes next."""
    read = file.latest
    if not file.file_id:
        return [_("None yet: the vendor names it when the batch ends.") if batch.is_open else _("There is none.")]
    if file.is_gone:
        return [gone_in_words(file), *read_in_words(file)]
    if read is None:
        return [_("Not read yet.")]
    said = []
    if read.state == State.WANTED:
        said.append(_("Waiting to be read."))
    elif read.state == State.READING:
        said.append(
            _("Being read, %(lines)s lines so far.") % {"lines": count(read.lines)} if read.lines else _("Being read.")
        )
    elif read.state == State.FAILED:
        said.append(_("Could not be read."))
    if read.state != State.READ and read.error_kind:
        said.append(cause_of(read.error_kind))
        said += again_in_words(read)
    return said + read_in_words(file)


def moment(at: datetime) -> str:
    """3 Oct 14:06, in the person's own zone."""
    return date_format(timezone.localtime(at), "j M H:i")


def gone_in_words(file: BatchFile) -> str:
    at = file.remote.gone_at if file.remote else None
    if at is None and file.latest:
        at = file.latest.ended_at
    if at is None:
        return _("Expired or deleted at the vendor.")
    return _("Expired or deleted at the vendor, noticed %(date)s.") % {"date": moment(at)}


def again_in_words(read: FileRead) -> list[str]:
    if read.next_try_at and read.next_try_at > timezone.now():
        return [_("Tried again %(time)s.") % {"time": moment(read.next_try_at)}]
    return [] if read.state in FileRead.OPEN else [_("It is not tried again by itself.")]


def read_in_words(file: BatchFile) -> list[str]:
    """What the last whole read found."""
    read = file.shown
    if read is None:
        return [_("It was never read.")] if file.is_gone else []
    said = []
    if read.is_capped:
        said.append(_("Only its first %(lines)s lines were read.") % {"lines": count(read.lines)})
    elif file.kind == FileKind.INPUT:
        said.append(_("Compared with the results.") if read.missing is not None else _("Looked up for the samples."))
    elif file.latest is read:
        said.append(
            ngettext("Read: %(lines)s line.", "Read: %(lines)s lines.", read.lines) % {"lines": count(read.lines)}
        )
    else:
        said.append(_("What was read before is kept: %(lines)s lines.") % {"lines": count(read.lines)})
    if read.bad_lines:
        said.append(
            ngettext(
                "%(lines)s line could not be understood.", "%(lines)s lines could not be understood.", read.bad_lines
            )
            % {"lines": count(read.bad_lines)}
        )
    return said


# --- Does it add up ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reckoning:
    """Requests by the vendor's counts, and by the lines that were read. None is "not known", which is not zero."""

    total: int | None
    completed: int | None
    failed: int | None
    lost: int | None  # neither completed nor failed, by the vendor's counts
    output_lines: int | None
    error_lines: int | None
    input_lines: int | None
    missing: int | None  # in neither file
    missing_ids: tuple[str, ...]  # the first of them, where the input file was compared
    is_whole: bool  # nothing was capped, so that the lines can be compared at all
    words: tuple[tuple[str, str], ...]

    @property
    def is_settled(self) -> bool:
        """A comparison with the input file would name nothing, or could not be made."""
        return not self.is_whole or (self.missing == 0 and not self.lost)

    @property
    def state(self) -> str:
        kinds = {kind for kind, _said in self.words}
        return "risk" if "bad" in kinds else "succeeded" if "good" in kinds else "none"


def reckon(batch: Batch, files: dict[str, BatchFile]) -> Reckoning | None:
    """None for a batch that still runs: its files are not complete."""
    if batch.is_open or not (batch.requests_total or batch.output_file_id or batch.error_file_id):
        return None
    output, error, given = (lines_of(files[kind]) for kind in ("output", "error", "input"))
    reads = [file.shown for file in files.values() if file.shown]
    is_whole = not any(read.is_capped for read in reads)
    total = batch.requests_total if batch.requests_total else given
    missing = None
    if output is not None and error is not None and total is not None and is_whole:
        missing = total - output - error
    compared = files["input"].shown
    if compared and compared.missing is not None and compared.missing and missing is None:
        missing = compared.missing
    found = Reckoning(
        total=batch.requests_total,
        completed=batch.requests_completed,
        failed=batch.requests_failed,
        lost=unaccounted_by_vendor(batch),
        output_lines=output,
        error_lines=error,
        input_lines=given,
        missing=missing,
        missing_ids=tuple(map(str, compared.missing_ids)) if compared and missing else (),
        is_whole=is_whole,
        words=(),
    )
    return Reckoning(**{name: getattr(found, name) for name in found.__slots__} | {"words": tuple(verdict(found))})


def unaccounted_by_vendor(batch: Batch) -> int | None:
    if not batch.requests_total:
        return None
    return max(0, batch.requests_total - (batch.requests_completed or 0) - (batch.requests_failed or 0))


def lines_of(file: BatchFile) -> int | None:
    return file.lines if file.file_id else 0


def verdict(found: Reckoning) -> list[tuple[str, str]]:
    """Whether every request is accounted for, in sentences: "good", "bad" or ""."""
    said: list[tuple[str, str]] = []
    if not found.is_whole:
        said.append(("", _("Not every line was read, so the lines cannot be compared with the counts.")))
    elif found.missing is None:
        said.append(("", not_yet(found)))
    elif found.missing > 0:
        words = ngettext(
            "%(count)s request is in neither file.", "%(count)s requests are in neither file.", found.missing
        )
        said.append(("bad", words % {"count": count(found.missing)}))
    elif found.missing < 0:
        words = _("The files hold %(count)s lines more than there are requests.")
        said.append(("bad", words % {"count": count(-found.missing)}))
    else:
        said.append(("good", _("Every request is in one of the files.")))
    if found.lost:
        words = ngettext(
            "By the vendor’s own counts %(count)s request is unaccounted for.",
            "By the vendor’s own counts %(count)s requests are unaccounted for.",
            found.lost,
        )
        said.append(("bad", words % {"count": count(found.lost)}))
    if found.input_lines is not None and found.total and found.is_whole and found.input_lines != found.total:
        words = _("The input file has %(lines)s lines, the vendor counts %(total)s requests.")
        said.append(("bad", words % {"lines": count(found.input_lines), "total": count(found.total)}))
    return said


def not_yet(found: Reckoning) -> str:
    if found.output_lines is None and found.error_lines is None:
        return _("Neither the output nor the error file was read, so only the vendor’s counts are known.")
    if found.output_lines is None:
        return _("The output file was not read, so its lines are not known.")
    if found.error_lines is None:
        return _("The error file was not read, so its lines are not known.")
    return _("The vendor does not say how many requests there are.")
