"""Mail, where DASHBOARD_EMAIL_URL says how; sent while somebody waits, so for a few seconds and no longer."""

import logging
import smtplib
import threading

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.translation import gettext as _

log = logging.getLogger(__name__)


def can_send() -> bool:
    return bool(settings.MAILERS)


def send(to: str, subject: str, text: str) -> str:
    """Why it was not sent, in a sentence; empty when the mail server took it. Waits for EMAIL_SECONDS at most.

    Nothing that a mail server says is repeated: some quote the password that they refuse.
    """
    message = EmailMessage(subject, text, settings.DEFAULT_FROM_EMAIL, [to])
    ended: list[Exception | None] = []

    def deliver() -> None:
        try:
            message.send(using="default")
            ended.append(None)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            log.warning("mail was not sent: %s", type(error).__name__)
            ended.append(error)

    # In a thread, because the time-out of a socket is one of each word.
    sending = threading.Thread(target=deliver, daemon=True)
    sending.start()
    sending.join(settings.EMAIL_SECONDS)
    if not ended:
        return _("The mail server gave no answer in %(seconds)d seconds.") % {"seconds": settings.EMAIL_SECONDS}
    match ended[0]:
        case None:
            return ""
        case smtplib.SMTPAuthenticationError():
            return _("The mail server did not accept the name and password of DASHBOARD_EMAIL_URL.")
        case smtplib.SMTPRecipientsRefused():
            return _("The mail server does not take mail for this address.")
        case smtplib.SMTPException():
            return _("The mail server refused it.")
        case TimeoutError():
            return _("The mail server gave no answer in %(seconds)d seconds.") % {"seconds": settings.EMAIL_SECONDS}
        case _:
            return _("The mail server could not be reached.")
