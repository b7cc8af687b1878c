"""The form of a connection. Keys go in and never come out: not in a field, not in a message, not after a mistake."""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.logs import SECRETS
from dashboard.models import Connection
from dashboard.sync.probe import DIALECT_CHOICES, check_address

SHORTEST_INTERVAL, LONGEST_INTERVAL = 5, 3600
MOST_HEADERS = 20
# Sent by us or by the connection itself; a second one would break the request or say who we are.
TAKEN_HEADER = re.compile(
    r"accept|accept-encoding|connection|content-.*|expect|forwarded|host|keep-alive|openai-organization|openai-project"
    r"|origin|proxy-.*|referer|te|trailer|transfer-encoding|upgrade|user-agent|via|x-forwarded-.*",
    re.IGNORECASE,
)
# Further headers are stored as they are, so nothing that opens a door may stand in one.
SECRET_HEADER = re.compile(r"auth|cookie|credential|key|passw|secret|session|signature|token", re.IGNORECASE)
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,398}[\x21-\x7e])?")
PATH = re.compile(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*")
KEY = re.compile(r"[\x21-\x7e]{1,1000}")

# What makes a connection speak to another server or see other batches: after such a change it is read from the start.
SCOPE = ("base_url", "batches_path", "organization", "project", "dialect")


# The column that holds how each ends, and the one that holds the key.
KEYS = {"key": ("key_last4", "sealed_key"), "act_key": ("act_key_last4", "sealed_act_key")}


def ending(connection: Connection, name: str) -> str:
    """How a key ends, which is all that may be said of it; empty for none."""
    last4, sealed = (getattr(connection, column) for column in KEYS[name])
    return f"…{last4}" if sealed else ""


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: what a key is entrusted to."""
    parts = urlsplit(url)
    return parts.scheme.lower(), (parts.hostname or "").lower(), parts.port


class KeyField(forms.CharField):
    """Never rendered back, not even after a mistake elsewhere in the form."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"autocomplete": "off", "spellcheck": "false", "data-1p-ignore": "", "data-lpignore": "true"}
        super().__init__(widget=forms.PasswordInput(render_value=False, attrs=attrs), required=False, **kwargs)

    def clean(self, value: Any) -> str:
        key: str = super().clean(value)
        if key and not KEY.fullmatch(key):
            raise ValidationError(_("A key has no spaces, line ends or special letters. Copy it again."))
        return key


if TYPE_CHECKING:
    Form = forms.ModelForm[Connection]
else:
    Form = forms.ModelForm


class HeadersField(forms.JSONField):
    """Shows nothing rather than {} where there are none."""

    def prepare_value(self, value: Any) -> Any:
        return super().prepare_value(value) if value else ""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Nothing is still nothing, or the audit would name headers that nobody touched."""
        return bool(initial or data) and super().has_changed(initial, data)


class ConnectionForm(Form):
    dialect = forms.ChoiceField(label=gettext_lazy("Dialect"), choices=DIALECT_CHOICES)
    key = KeyField(label=gettext_lazy("Key"))
    act_key = KeyField(
        label=gettext_lazy("Second key, for cancelling"),
        help_text=gettext_lazy("Used only when somebody cancels a batch. Reading then needs no more than a read key."),
    )
    forget_act_key = forms.BooleanField(label=gettext_lazy("Forget the second key"), required=False)
    extra_headers = HeadersField(
        label=gettext_lazy("Further headers"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=gettext_lazy('A JSON object: {"X-Team": "search"}. Stored readable, so no keys here.'),
        error_messages={"invalid": gettext_lazy('Write a JSON object of texts, such as {"X-Team": "search"}.')},
    )
    interval = forms.IntegerField(
        label=gettext_lazy("Seconds between syncs"),
        required=False,
        min_value=SHORTEST_INTERVAL,
        max_value=LONGEST_INTERVAL,
        error_messages=dict.fromkeys(
            ("min_value", "max_value", "invalid"), gettext_lazy("A whole number of seconds, from 5 to 3600.")
        ),
        help_text=gettext_lazy("Empty: about 45 s while something is open, 5 min when nothing is."),
    )

    class Meta:
        model = Connection
        fields = (
            "name",
            "dialect",
            "base_url",
            "batches_path",
            "auth_style",
            "organization",
            "project",
            "extra_headers",
            "interval",
            "name_key",
            "owner_key",
        )
        labels = {
            "name": gettext_lazy("Name"),
            "base_url": gettext_lazy("Base URL"),
            "batches_path": gettext_lazy("Batches path"),
            "auth_style": gettext_lazy("How the key is sent"),
            "organization": gettext_lazy("Organization"),
            "project": gettext_lazy("Project"),
            "name_key": gettext_lazy("Metadata key of a batch's name"),
            "owner_key": gettext_lazy("Metadata key of a batch's owner"),
        }
        help_texts = {
            "name": gettext_lazy("As it stands beside its batches: OpenAI / prod."),
            "base_url": gettext_lazy("Up to and with the version: https://api.openai.com/v1"),
            "batches_path": gettext_lazy("What follows the base URL: batches nearly everywhere."),
            "organization": gettext_lazy("Sent as OpenAI-Organization, where it is not empty."),
            "project": gettext_lazy("Sent as OpenAI-Project, where it is not empty."),
        }
        error_messages = {
            "name": {
                "required": gettext_lazy("Give it a name."),
                "unique": gettext_lazy("There is a connection of this name already, or the history of one is kept."),
            },
            "base_url": {"required": gettext_lazy("Enter the address of the API.")},
            "batches_path": {"required": gettext_lazy("Enter the path: batches nearly everywhere.")},
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.before = {name: getattr(self.instance, name) for name in self.Meta.fields}
        self.keys_before = {name: ending(self.instance, name) for name in KEYS}
        self.use_required_attribute, self.label_suffix = False, ""
        for name in ("base_url", "batches_path", "organization", "project", "name_key", "owner_key"):
            self.fields[name].widget.attrs |= {"spellcheck": "false", "autocapitalize": "off"}
        if self.instance.key_env:
            # Both are read from the environment at every start.
            del self.fields["key"]
            self.fields["base_url"].disabled = True
            self.fields["base_url"].help_text = _("Comes from the environment together with the key.")
        else:
            self.fields["key"].help_text = key_help(self.instance)
        if self.instance.sealed_act_key:
            self.fields["act_key"].help_text = act_key_help(self.instance)
        else:
            del self.fields["forget_act_key"]

    @property
    def scope_changed(self) -> bool:
        return any(self.before[name] != self.cleaned_data.get(name) for name in SCOPE)

    @property
    def origin_changed(self) -> bool:
        """Whether the keys that are stored would be sent to a server for which nobody entered them."""
        after = self.cleaned_data.get("base_url", "")
        return bool(self.instance.pk and after and origin_of(str(self.before["base_url"])) != origin_of(after))

    @property
    def names_changed(self) -> bool:
        return any(self.before[name] != self.cleaned_data[name] for name in ("name_key", "owner_key"))

    def clean_name(self) -> str:
        return " ".join(str(self.cleaned_data["name"]).split())

    def clean_base_url(self) -> str:
        if self.fields["base_url"].disabled:
            return str(self.cleaned_data["base_url"])
        try:
            return check_address(self.cleaned_data["base_url"])
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def clean_batches_path(self) -> str:
        said = str(self.cleaned_data["batches_path"]).strip()
        path = said.strip("/")
        if not PATH.fullmatch(path) or {".", ".."} & set(path.split("/")) or "//" in said:
            raise ValidationError(_("Only the path, such as batches or openai/batches: no address, no ? and no dots."))
        return path

    def clean_organization(self) -> str:
        return header_value(self.cleaned_data["organization"])

    def clean_project(self) -> str:
        return header_value(self.cleaned_data["project"])

    def clean_extra_headers(self) -> dict[str, str]:
        return checked_headers(self.cleaned_data["extra_headers"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        key, style = data.get("key", ""), data.get("auth_style")
        if "key" not in self.fields or "key" in self.errors:
            return data
        if style == Connection.AuthStyle.NONE:
            if key or data.get("act_key"):
                self.add_error("auth_style", _("A key was entered. Choose how it is sent, or leave the key empty."))
        elif self.origin_changed and not key:
            self.add_error(
                "key", _("The address is another server now. Enter the key again: it was entered for the old one.")
            )
        elif not key and not self.instance.sealed_key:
            self.add_error("key", _("Enter the key, or choose that none is needed."))
        return data

    def apply(self) -> Connection:
        """The connection as the form says, its keys sealed; not saved. What the test button tests."""
        connection: Connection = self.save(commit=False)
        data = self.cleaned_data
        if connection.auth_style == Connection.AuthStyle.NONE or self.origin_changed:
            connection.set_key("")
            connection.set_act_key("")
        if data.get("key"):
            connection.set_key(data["key"])
        if data.get("act_key"):
            connection.set_act_key(data["act_key"])
        elif data.get("forget_act_key"):
            connection.set_act_key("")
        return connection

    def changes_in_words(self) -> str:
        """What changed, for the audit: the names of the fields, and never what is in them."""
        return ", ".join(self.changed_data)

    def changes(self) -> dict[str, tuple[Any, Any]]:
        """What was before and is after, for the audit, once applied. Of headers their names, of keys how they end."""
        changed = {}
        for name, before in self.before.items():
            after = getattr(self.instance, name)
            if before != after:
                named = name == "extra_headers"
                changed[name] = (", ".join(before), ", ".join(after)) if named else (before, after)
        for name, before in self.keys_before.items():
            after = ending(self.instance, name)
            if name in self.changed_data or before != after:
                changed[name] = (before, after)
        return changed

    def hide_secrets(self) -> None:
        """Empty what was refused because a key was typed into it, so that the form does not send it back."""
        shown = dict(self.data.items())
        for name in self.errors:
            said = str(shown.get(name, ""))
            in_address = name == "base_url" and re.search(r"[@?]", said)
            if self.has_error(name, "secret") or SECRETS.search(said) or in_address:
                shown[name] = ""
        self.data = shown


def key_help(connection: Connection) -> str:
    if not connection.pk or not connection.sealed_key:
        return _("Stored encrypted, never shown again. A key that may only read is enough.")
    if connection.key_is_lost:
        return _("The stored key cannot be decrypted any more. Enter it again.")
    return ending_help(connection.key_last4)


def act_key_help(connection: Connection) -> str:
    if connection.act_key_is_lost:
        return _("The stored second key cannot be decrypted any more. Enter it again, or forget it.")
    return ending_help(connection.act_key_last4)


def ending_help(last4: str) -> str:
    if not last4:
        return _("One is stored. Leave empty to keep it.")
    return _("The stored one ends %(last4)s. Leave empty to keep it.") % {"last4": last4}


def header_value(text: str) -> str:
    text = text.strip()
    if text and not HEADER_VALUE.fullmatch(text):
        raise ValidationError(_("Only plain letters, digits and signs can be sent in a header."))
    if SECRETS.search(text):
        raise ValidationError(
            _("This looks like a key. It would be stored readable here; the key has a field of its own."), code="secret"
        )
    return text


def checked_headers(given: Any) -> dict[str, str]:
    """A few harmless headers, text to text. Messages name a header, never its value."""
    if not given:
        return {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise ValidationError(_('Write a JSON object of texts, such as {"X-Team": "search"}.'))
    if len(given) > MOST_HEADERS:
        raise ValidationError(_("At most %(most)d headers.") % {"most": MOST_HEADERS})
    for name, value in given.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise ValidationError(_("A name or value holds what no header can hold: %(name)s") % {"name": name[:64]})
        if TAKEN_HEADER.fullmatch(name):
            raise ValidationError(_("%(name)s is set by the connection itself.") % {"name": name})
        if SECRET_HEADER.search(name) or SECRETS.search(value):
            raise ValidationError(
                _("%(name)s looks like a key. Headers are stored readable; the key has a field of its own.")
                % {"name": name},
                code="secret",
            )
    return given
