"""The three files of a batch: what is known of each, how far its reading came, and whether its lines add up."""

import re
from dataclasses import dataclass

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dashboard.insight.causes import cause_of
from dashboard.insight.concern_words import Clock
from dashboard.insight.outcome import amid, count
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


def state_in_words(file: BatchFile, batch: Batch, clock: Clock) -> list[str]:
    """Honest sentences about one file: what is known, what is not, and what comes next. `clock` writes times."""
    read = file.latest
    if not file.file_id:
        if batch.is_open:
            return [_("None yet: the vendor names it when the batch ends.")]
        return [_("There is none."), *lost_in_words(file, batch)]
    if file.is_gone:
        return [gone_in_words(file, clock), *read_in_words(file)]
    if read is None:
        return [_("Not read yet."), *usable_in_words(file, batch)]
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
        said += again_in_words(read, clock)
    return said + read_in_words(file) + usable_in_words(file, batch)


def lost_in_words(file: BatchFile, batch: Batch) -> list[str]:
    done = batch.requests_completed
    if file.kind != FileKind.OUTPUT or not done:
        return []
    words = ngettext(
        "The vendor counts %(count)s completed request, and keeps no answer to it.",
        "The vendor counts %(count)s completed requests, and keeps no answers to them.",
        done,
    )
    return [words % {"count": count(done)}]


def usable_in_words(file: BatchFile, batch: Batch) -> list[str]:
    """How much of an output file is worth having: by its lines once they were read, else by the vendor's count."""
    if file.kind != FileKind.OUTPUT or batch.is_open:
        return []
    if file.shown:
        usable = file.shown.succeeded
        return [ngettext("%(count)s usable line.", "%(count)s usable lines.", usable) % {"count": count(usable)}]
    done = batch.requests_completed
    if done is None:
        return []
    words = ngettext(
        "%(count)s usable line by the vendor’s count.", "%(count)s usable lines by the vendor’s count.", done
    )
    return [words % {"count": count(done)}]


def gone_in_words(file: BatchFile, clock: Clock) -> str:
    at = file.remote.gone_at if file.remote else None
    if at is None and file.latest:
        at = file.latest.ended_at
    if at is None:
        return _("Expired or deleted at the vendor.")
    return _("Expired or deleted at the vendor, noticed %(time)s.") % {"time": clock(at)}


def again_in_words(read: FileRead, clock: Clock) -> list[str]:
    if read.next_try_at and read.next_try_at > timezone.now():
        return [_("Next try %(time)s.") % {"time": clock(read.next_try_at)}]
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
        said.append(
            _("Compared with the results.")
            if read.missing is not None
            else _("Read as far as the samples of the errors were found in it.")
        )
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
    is_cut_short: bool  # by its deadline or a cancel, so that those are no riddle
    never_ran: int  # of those, as the lines that were read say
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
        return not self.is_whole or (self.missing == 0 and not self.unexplained)

    @property
    def unexplained(self) -> int:
        """Neither completed nor failed, and nothing says that they never ran."""
        if self.is_cut_short and not self.never_ran:
            return 0
        return max(0, (self.lost or 0) - self.never_ran)

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
        is_cut_short=batch.is_cut_short,
        never_ran=sum(read.never_ran for read in reads),
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
    if found.lost and found.never_ran:
        words = ngettext("%(count)s request never ran.", "%(count)s requests never ran.", found.never_ran)
        said.append(("", words % {"count": count(found.never_ran)}))
    if found.unexplained:
        words = ngettext(
            "By the vendor’s own counts %(count)s request is unaccounted for.",
            "By the vendor’s own counts %(count)s requests are unaccounted for.",
            found.unexplained,
        )
        said.append(("bad", words % {"count": count(found.unexplained)}))
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


# --- The log ----------------------------------------------------------------------------------------------------------

# As the log holds it: `error file, line 3, custom_id a-1`, `input file file-abc`.
DETAIL = re.compile(r"(?P<kind>input|output|error) file(?:, line (?P<line>\d+))?(?P<rest>.*)", re.DOTALL)


def detail_in_words(detail: str) -> str:
    """Which file and line, in the person's language; what else the log holds is said as it is."""
    if not (found := DETAIL.fullmatch(detail)):
        return detail
    line = _(", line %(line)s") % {"line": count(int(found["line"]))} if found["line"] else ""
    return f"{amid(NAMES[found['kind']])}{line}{found['rest']}"
