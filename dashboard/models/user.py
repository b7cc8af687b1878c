"""People. A model of our own from the first migration, because Django cannot swap it in later."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """Somebody who signs in. What they may do comes from the groups viewer, operator and admin; see access.py."""

    # Of the list, by name; None until somebody chooses. It comes with the person and costs no query of its own.
    columns = models.JSONField(null=True, blank=True, editable=False)

    # Both empty until somebody chooses: then the browser says.
    language = models.CharField(max_length=8, blank=True, editable=False)
    time_zone = models.CharField(max_length=64, blank=True, editable=False)

    def __str__(self) -> str:
        return self.get_full_name() or self.username
