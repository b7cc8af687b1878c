"""What somebody chooses for themselves: language, time zone, theme."""

from typing import Any
from urllib.parse import unquote

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from dashboard.middleware import suit, zones
from dashboard.models import User

THEMES = (("", gettext_lazy("As the system")), ("light", gettext_lazy("Light")), ("dark", gettext_lazy("Dark")))
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
    theme = forms.ChoiceField(
        label=gettext_lazy("Theme"), required=False, choices=THEMES, help_text=gettext_lazy("Kept in this browser.")
    )

    def __init__(self, *args: Any, browser_zone: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        own = _("As the browser (%(zone)s)") % {"zone": browser_zone} if browser_zone else _("As the browser")
        self.choice("language").choices = [("", _("As the browser")), *settings.LANGUAGES]
        self.choice("time_zone").choices = [("", own), ("UTC", "UTC"), *zones_offered()]

    def choice(self, name: str) -> forms.ChoiceField:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 (for the type checker)
        return field


@require_http_methods(["GET", "POST"])
def you(request: HttpRequest) -> HttpResponse:
    """Nothing of anybody else's changes, so that viewers may, and so may everybody where only looking is allowed."""
    user = User.objects.get(username=request.user.get_username())
    zone = unquote(request.COOKIES.get("zone", ""))
    kept = {"language": user.language, "time_zone": user.time_zone, "theme": request.COOKIES.get("theme", "")}
    form = Preferences(request.POST or None, initial=kept, browser_zone=zone if zone in zones() else "")
    if request.method == "POST" and form.is_valid():
        chosen = form.cleaned_data
        user.language, user.time_zone = chosen["language"], chosen["time_zone"]
        user.save(update_fields=["language", "time_zone"])
        suit(request, user)
        messages.success(request, _("Saved."), extra_tags="ui-check")
        response = redirect("you")
        # By its own name, because a script reads and writes it as well.
        response.set_cookie("theme", chosen["theme"], max_age=YEAR, samesite="Lax")
        return response
    return render(request, "you/you.html", {"form": form, "sign_on": sign_on()})


def sign_on() -> list[tuple[str, str]]:
    """Pages for how one signs in, as far as the settings have them."""
    pages = []
    if settings.SECOND_FACTOR:
        pages.append((reverse("mfa_index"), _("Second factor")))
    if settings.OIDC_URL:
        pages.append((reverse("socialaccount_connections"), _("Connect with %(name)s") % {"name": settings.OIDC_NAME}))
    return pages
