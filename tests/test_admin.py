"""Django's admin, which exists only with DASHBOARD_ADMIN=1: it shows no key, edits nothing and is no way in."""

import os
import subprocess
import sys
from pathlib import Path

from django.test import Client

from dashboard.models import User

LOOK = """
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from dashboard.models import AuditEntry, Connection, User
settings.ALLOWED_HOSTS = ["testserver"]
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
connection = Connection(name="prod", base_url="https://vendor.example/v1")
connection.set_key("sk-marker-of-a-key-1234")
connection.save()
AuditEntry.objects.create(actor="mei", verb="x", target="y")
client = Client()
client.force_login(User.objects.create_superuser("mei"), backend="dashboard.access.Roles")
for path in ("", "dashboard/connection/", "dashboard/connection/1/change/", "dashboard/auditentry/1/change/",
             "dashboard/user/1/change/", "dashboard/batch/"):
    page = client.get(f"/admin/{path}")
    assert page.status_code == 200, (path, page.status_code)
    body = page.content.decode()
    assert "sk-marker" not in body and connection.sealed_key not in body, path
    assert "user_permissions" not in body
    assert "Batchs" not in body and "Audit entrys" not in body
for path in ("auditentry/1/change/", "auditentry/1/delete/", "auditentry/add/", "connection/1/change/"):
    assert client.post(f"/admin/dashboard/{path}", {}).status_code == 403, path
from django.contrib.auth.models import Group
boss, chief = User.objects.create_user("boss"), User.objects.get(username="mei")
boss.groups.add(Group.objects.get(name="admin"))
client = Client()
client.force_login(boss, backend="dashboard.access.Roles")
form = {"username": "new", "usable_password": "true", "is_superuser": "on", "is_active": "on"}
form |= dict.fromkeys(("password1", "password2"), "correct horse bat")
whoever = Client()
whoever.force_login(chief, backend="dashboard.access.Roles")
for browser in (client, whoever):
    for path in ("add/", f"{chief.pk}/change/", f"{boss.pk}/change/", f"{boss.pk}/delete/"):
        assert browser.post(f"/admin/dashboard/user/{path}", form).status_code == 403, path
assert whoever.get("/admin/auth/group/").status_code == 404
assert whoever.get("/admin/password_change/")["Location"] == "/you/"
nobody = Client()
boss.set_password("correct horse bat")
boss.save()
assert nobody.get("/admin/login/")["Location"].startswith("/sign-in/?next=")
nobody.post("/admin/login/", {"username": "boss", "password": "correct horse bat"})
assert "_auth_user_id" not in nobody.session, "past the second factor and the audit"
client.force_login(boss, backend="dashboard.access.Roles")
assert client.get("/admin/dashboard/connection/1/change/").status_code == 200
assert client.get("/admin/dashboard/batch/").status_code == 200
assert client.get("/admin/dashboard/auditentry/").status_code == 200
assert client.post("/admin/dashboard/connection/1/change/", {}).status_code == 403
boss.groups.set([Group.objects.get(name="operator")])
assert client.get("/admin/", follow=True).status_code == 403
print("looked")
"""


def test_it_shows_no_key_edits_nothing_and_is_no_way_in(tmp_path: Path) -> None:
    own = {
        "DASHBOARD_ADMIN": "1",
        "DASHBOARD_DATA_DIR": str(tmp_path / "data"),
        "DJANGO_SETTINGS_MODULE": "dashboard.settings",
    }
    (tmp_path / "data" / "static").mkdir(parents=True)
    # A process of its own: whether the admin exists is decided when the settings are read.
    looked = subprocess.run(
        [sys.executable, "-c", LOOK],
        env=os.environ | own,
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert looked.stdout.strip() == "looked", looked.stderr[-2000:]


def test_it_is_off_by_default(mei: User) -> None:
    assert Client().get("/admin/").status_code in {302, 404}
