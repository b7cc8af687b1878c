"""The form of a link: its name, what it shows, how long it works, and who else must know a password."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.models import Batch, SavedView, Share
from dashboard.models.saved_view import kept_of
from dashboard.templatetags.times import clock_words
from dashboard.views.batch_list import Asked

if TYPE_CHECKING:
    Form = forms.ModelForm[Share]
else:
    Form = forms.ModelForm

SHORTEST_PASSWORD = 8
# How long: the value in the form, its words, and the days; None for ever.
LASTS: tuple[tuple[str, Any, int | None], ...] = (
    ("1", gettext_lazy("for 1 day"), 1),
    ("7", gettext_lazy("for 7 days"), 7),
    ("30", gettext_lazy("for 30 days"), 30),
    ("90", gettext_lazy("for 90 days"), 90),
    ("date", gettext_lazy("until the end of a day"), None),
    ("never", gettext_lazy("until it is revoked"), None),
)
DAYS = {value: days for value, _words, days in LASTS if days}
USUAL, KEPT = "30", "keep"
LONGEST_FILTER = 4_000


def filter_of(text: str) -> str:
    """The filter in an address as it is kept."""
    return kept_of(QueryDict(text.removeprefix("?")[:LONGEST_FILTER]).dict())


class ShareForm(Form):
    """For a new link and for one that there is, whose scope stays: whoever has it was promised that."""

    lasts = forms.ChoiceField(label=gettext_lazy("It works"), choices=[(value, words) for value, words, _days in LASTS])
    until = forms.DateField(
        label=gettext_lazy("The last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=gettext_lazy("It works to the end of this day, in your time zone."),
        error_messages={"invalid": gettext_lazy("Write a day as 2026-12-31.")},
    )
    new_password = forms.CharField(
        label=gettext_lazy("Password"),
        required=False,
        strip=False,
        max_length=1_000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    no_password = forms.BooleanField(label=gettext_lazy("Ask for no password any more"), required=False)

    class Meta:
        model = Share
        fields = ("name", "kind", "query", "frames")
        labels = {
            "name": gettext_lazy("Name"),
            "kind": gettext_lazy("Shown as"),
            "query": gettext_lazy("What it shows"),
            "frames": gettext_lazy("May stand in other pages"),
        }
        widgets = {"kind": forms.RadioSelect}
        error_messages = {"name": {"required": gettext_lazy("A link needs a name, for you to know it by.")}}

    def __init__(self, *args: Any, user: Any, names: Mapping[int, str], filters: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.names = names
        share = self.instance
        self.fields["name"].widget.attrs["autocomplete"] = "off"
        is_batch, is_new = bool(share.batch_id), not share.pk
        if is_batch or not is_new:
            del self.fields["kind"], self.fields["query"]
        else:
            kinds = [(kind.value, kind.label) for kind in (Share.Kind.LIST, Share.Kind.WALL)]
            self.fields["kind"].choices = kinds  # type: ignore[attr-defined]
            views = SavedView.objects.visible_to(user).exclude(query="").order_by("name")
            choices = [("", _("All batches"))]
            if filters:
                choices.append((filters, _("The list as it was filtered")))
            choices += [(view.query, view.name) for view in views if view.query != filters]
            self.fields["query"].widget = forms.Select(choices=choices)
            self.initial["query"] = filters
        if not settings.FRAME_ANCESTORS or (not is_new and share.kind != Share.Kind.WALL) or is_batch:
            del self.fields["frames"]
        else:
            self.fields["frames"].help_text = _("Walls alone, and only in pages of %(origins)s.") % {
                "origins": ", ".join(settings.FRAME_ANCESTORS)
            }
        lasts = self.fields["lasts"]
        if is_new:
            lasts.initial = USUAL
        else:
            kept = _("until %(time)s, as now") % {"time": clock_words(share.expires_at)} if share.expires_at else ""
            lasts.choices = [(KEPT, kept or _("until it is revoked, as now")), *lasts.choices]  # type: ignore[attr-defined]
            lasts.initial = KEPT
        if share.password:
            self.fields["new_password"].help_text = _("There is one. Empty: it stays; another ends every use of it.")
        else:
            del self.fields["no_password"]
            self.fields["new_password"].help_text = _("Empty: whoever has the link sees it.")

    def clean_name(self) -> str:
        return " ".join(str(self.cleaned_data["name"]).split())

    def clean_query(self) -> str:
        query = filter_of(str(self.cleaned_data["query"]))
        # Half a filter shows more than was meant.
        if notes := Asked.of(QueryDict(query), self.names).notes:
            raise ValidationError(list(notes))
        return query

    def clean_new_password(self) -> str:
        password = str(self.cleaned_data["new_password"])
        if password and len(password) < SHORTEST_PASSWORD:
            raise ValidationError(_("At least %(count)d characters.") % {"count": SHORTEST_PASSWORD})
        return password

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        until = cleaned.get("until")
        if cleaned.get("lasts") == "date":
            if until is None and "until" not in self.errors:
                self.add_error("until", _("Which day is its last?"))
            elif until is not None and until < timezone.localdate():
                self.add_error("until", _("That day is over."))
        has_password = bool(cleaned.get("new_password") or (self.instance.password and not cleaned.get("no_password")))
        if cleaned.get("frames") and has_password:
            # Browsers keep no cookie of a page that stands in another site's.
            self.add_error("frames", _("With a password it cannot: a browser would ask for it again and again."))
        return cleaned

    def save(self, commit: bool = True) -> Share:  # noqa: FBT001 (Django's)
        share, cleaned = self.instance, self.cleaned_data
        if cleaned["lasts"] != KEPT:
            share.expires_at = end_of(cleaned["lasts"], cleaned.get("until"))
        if cleaned["new_password"]:
            share.password = make_password(cleaned["new_password"])
        elif cleaned.get("no_password"):
            share.password = ""
        if share.kind != Share.Kind.WALL:
            share.frames = False
        return super().save(commit)

    def changes(self) -> str:
        """What was changed, for the audit: names of fields, never a password."""
        return ", ".join(sorted("password" if "password" in name else name for name in set(self.changed_data)))


def end_of(lasts: str, until: Any) -> datetime | None:
    if lasts == "date":
        return timezone.make_aware(datetime.combine(until, time.max.replace(microsecond=0)))
    return timezone.now() + timedelta(days=DAYS[lasts]) if lasts in DAYS else None


def batch_of(user: Any, text: str) -> Batch | None:
    """The batch that a new link is to show, if this person may see it."""
    if not text.isdecimal() or len(text) > 18:
        return None
    batches = Batch.objects.visible_to(user).filter(connection__dropped_at=None)
    return batches.filter(pk=int(text)).only("name", "remote_id").first()
