"""`python -m tests.bench.serving PORT SESSIONS`: become the web server exactly as `up` would start it.

Before that, a viewer is made who is signed in SESSIONS times; the cookies are left in the data folder.
"""

import json
import os
import sys
from pathlib import Path

VIEWER = "viewer"


def sign_in(times: int) -> list[str]:
    """Session keys of one viewer, as signing in leaves them."""
    from django.contrib.auth.models import Group
    from django.test import Client

    from dashboard.models import User

    user, made = User.objects.get_or_create(username=VIEWER)
    if made:
        user.groups.add(Group.objects.get(name="viewer"))
    keys = []
    for _ in range(times):
        client = Client()
        client.force_login(user, backend="dashboard.access.Roles")
        (cookie,) = client.cookies.values()
        keys.append(cookie.value)
    return keys


def main(port: int, sessions: int) -> None:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.settings"
    django.setup()
    from django.conf import settings

    from dashboard.management import preparation
    from dashboard.management.commands.up import parts

    preparation.collect_static()
    (settings.DATA_DIR / "sessions.json").write_text(json.dumps(sign_in(sessions)))
    host = "127.0.0.1"
    children = parts(host, port, {"DASHBOARD_HOST": host, "DASHBOARD_PORT": str(port)}, None)
    web = next(child for child in children if child.name == "web")
    assert web.env is not None
    os.chdir(Path(settings.BASE_DIR))
    # In this very process: whoever started it ends the server by its id.
    os.execve(web.argv[0], list(web.argv), dict(web.env))  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
