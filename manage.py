#!/usr/bin/env python
"""The door: `uv run manage.py up` starts everything."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        settings.INSTALLED_APPS  # noqa: B018 (reads all of them)
    except ImproperlyConfigured as error:
        # A mistake of whoever starts it, said in a sentence; where in the code it was noticed helps nobody.
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(2)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
