"""The product's settings with one address more."""

from dashboard.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.urls"
