"""What somebody chooses for themselves: language, time zone, theme, cadence; their password, and their sessions."""

from typing import Any
from urllib.parse import unquote

from django import forms
from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.forms import PasswordChangeForm
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.audit import record
from dashboard.middleware import forget_person, suit, zones
from dashboard.models import Invitation, User
from dashboard.views.people import end_sessions
from dashboard.views.shell import CADENCES
from dashboard.views.sign_in import locked_words, minutes_to_wait

THEMES = (("", gettext_lazy("As the system")), ("light", gettext_lazy("Light")), ("dark", gettext_lazy("Dark")))
KEPT = ("language", "time_zone", "theme", "cadence")
YEAR = 365 * 24 * 3600
# Old spellings and offsets; the places themselves stand under their continents.
NOT_OFFERED = ("Etc", "SystemV", "US", "Brazil", "Canada", "Chile", "Mexico")


def zones_offered() -> list[tuple[str, list[tuple[str, str]]]]:
    """Every place under its continent, as the names of zones have it."""
    places: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(zones()):
        continent, slash, _place = name.partition("/")
        if slash and continent not in NOT_OFFERED:
            places.setdefault(continent, []).append((name, name.replace("_", " ")))
    return list(places.items())


class Preferences(forms.Form):
    language = forms.ChoiceField(label=gettext_lazy("Language"), required=False)
    time_zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"),
        required=False,
        help_text=gettext_lazy("Times and days on every page are of this zone. Exports are in UTC."),
    )
    theme = forms.ChoiceField(label=gettext_lazy("Theme"), required=False, choices=THEMES)
    cadence = forms.TypedChoiceField(
        label=gettext_lazy("Refresh pages every"), required=False, coerce=int, empty_value=None
    )

    def __init__(self, *args: Any, browser_zone: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        own = _("As the browser (%(zone)s)") % {"zone": browser_zone} if browser_zone else _("As the browser")
        self.choice("language").choices = [("", _("As the browser")), *settings.LANGUAGES]
        self.choice("cadence").choices = cadences()
        self.choice("time_zone").choices = [("", own), ("UTC", "UTC"), *zones_offered()]

    def choice(self, name: str) -> forms.ChoiceField:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 (for the type checker)
        return field


def cadences() -> list[tuple[str, str]]:
    """As the frame of every page offers them."""
    every = [(str(seconds), _("%(seconds)d s") % {"seconds": seconds}) for seconds in CADENCES]
    return [("", _("As each page is made for")), *every, ("0", _("Paused"))]


@require_http_methods(["GET", "POST"])
def you(request: HttpRequest) -> HttpResponse:
    """Nothing of anybody else's changes, so that viewers may, and so may everybody where only looking is allowed."""
    if request.method != "POST":
        return page(request)
    user = own(request)
    form = Preferences(request.POST, browser_zone=zone_of(request))
    if not form.is_valid():
        return page(request, form)
    for name in KEPT:
        setattr(user, name, form.cleaned_data[name])
    user.save(update_fields=KEPT)
    suit(request, user)
    messages.success(request, _("Saved."), extra_tags="ui-check")
    response = redirect("you")
    keep_theme(response, user.theme)
    return response


def page(
    request: HttpRequest, form: Preferences | None = None, password: forms.Form | None = None, *, locked: str = ""
) -> HttpResponse:
    """All forms of it: the one that was sent with its mistakes."""
    user = own(request)
    kept = {name: getattr(user, name) for name in KEPT}
    context = {
        "form": form or Preferences(initial=kept, browser_zone=zone_of(request)),
        "password": password or (PasswordForm(user) if user.has_usable_password() else None),
        "locked": locked,
        "sign_on": sign_on(),
    }
    return render(request, "you/you.html", context, status=429 if locked else 200)


def own(request: HttpRequest) -> User:
    """Whoever asks, read anew to be changed."""
    return User.objects.get(username=request.user.get_username())


def zone_of(request: HttpRequest) -> str:
    """The time zone that the browser has told; empty until it has."""
    zone = unquote(request.COOKIES.get("zone", ""))
    return zone if zone in zones() else ""


def keep_theme(response: HttpResponse, theme: str) -> None:
    """Also in the browser, for pages that nobody is signed in on. By its own name: a script writes it as well."""
    response.set_cookie("theme", theme, max_age=YEAR, samesite="Lax")


@require_POST
def look(request: HttpRequest) -> HttpResponse:
    """One choice of the page's frame, theme or cadence, as soon as it is made there."""
    user, chosen = own(request), []
    if request.POST.get("theme") in dict(THEMES):
        user.theme = request.POST["theme"]
        chosen.append("theme")
    if request.POST.get("cadence") in dict(cadences()):
        user.cadence = int(request.POST["cadence"]) if request.POST["cadence"] else None
        chosen.append("cadence")
    if not chosen:
        return HttpResponse(status=400)
    user.save(update_fields=chosen)
    response = HttpResponse(status=204)
    if "theme" in chosen:
        keep_theme(response, user.theme)
    return response


# --- The way in -------------------------------------------------------------------------------------------------------


class PasswordForm(PasswordChangeForm):
    """Asks for the old one; guesses at it are counted as those at the door are."""

    def __init__(self, user: User, *args: Any, request: HttpRequest | None = None, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.request, self.label_suffix = request, ""
        self.fields["old_password"].label = _("Old password")
        self.fields["old_password"].widget.attrs.pop("autofocus", None)
        self.fields["new_password1"].help_text = _("At least 8 characters, and not one of the common passwords.")
        self.fields["new_password2"].label = _("New password, once more")
        self.fields["new_password2"].help_text = ""

    def clean_old_password(self) -> str:
        old = str(self.cleaned_data["old_password"])
        if auth.authenticate(self.request, username=self.user.get_username(), password=old) is None:
            raise ValidationError(_("This is not your password of now."))
        return old


@sensitive_post_parameters()
@require_POST
def password(request: HttpRequest) -> HttpResponse:
    """A new password: every other session of this person ends, this one stays."""
    user = own(request)
    form = PasswordForm(user, request.POST, request=request)
    if not form.is_valid():
        if getattr(request, "axes_locked_out", False):
            locked = locked_words(minutes_to_wait(request, user.get_username()))
            return page(request, password=PasswordForm(user), locked=locked)
        return page(request, password=form)
    with transaction.atomic():
        form.save(commit=False)
        # Nothing else: an admin may have deactivated or limited them since they were read.
        user.save(update_fields=["password"])
        Invitation.objects.revoke_resets(user)
        record(request, "person.password", user.get_username(), person=user)
    forget_person(user.pk)
    auth.update_session_auth_hash(request, user)
    messages.success(request, _("Your password is changed. Other browsers are signed out."), extra_tags="ui-check")
    return redirect("you")


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Everywhere, here too."""
    end_sessions(request, own(request))
    auth.logout(request)
    return redirect("login")


def sign_on() -> list[tuple[str, str]]:
    """Pages for how one signs in, as far as the settings have them."""
    pages = []
    if settings.SECOND_FACTOR:
        pages.append((reverse("mfa_index"), _("Second factor")))
    if settings.OIDC_URL:
        pages.append((reverse("socialaccount_connections"), _("Connect with %(name)s") % {"name": settings.OIDC_NAME}))
    return pages
