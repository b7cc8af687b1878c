"""What all links have that open something without a password: a token, of which the hash alone is stored."""

import hashlib
import secrets

from django.db import models


class Link(models.Model):
    token_hash = models.CharField(max_length=64, unique=True)

    class Meta:
        abstract = True

    def new_token(self) -> str:
        """A token of 256 bits, to be shown this once; the one before it stops working when this row is saved."""
        token = secrets.token_urlsafe(32)
        self.token_hash = self.hash(token)
        return token

    @staticmethod
    def hash(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()
