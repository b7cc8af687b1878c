"""People. A model of our own from the first migration, because Django cannot swap it in later."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """Somebody who signs in. What they may do comes from the groups viewer, operator and admin; see access.py."""

    def __str__(self) -> str:
        return self.get_full_name() or self.username
