"""The audit is append-only in the database itself, to whoever writes to it.

A later migration that makes SQLite rebuild dashboard_auditentry drops these triggers: run `forwards` again in it.
"""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

WHY = "the audit is append-only"
# By name, so that a test can put back the one that its emptying of tables would meet.
SQLITE = {
    "audit_update": "CREATE TRIGGER audit_update BEFORE UPDATE ON dashboard_auditentry "
    f"BEGIN SELECT RAISE(ABORT, '{WHY}'); END",
    "audit_delete": "CREATE TRIGGER audit_delete BEFORE DELETE ON dashboard_auditentry "
    f"BEGIN SELECT RAISE(ABORT, '{WHY}'); END",
    # INSERT OR REPLACE deletes what is in its way without asking the one above.
    "audit_replace": "CREATE TRIGGER audit_replace BEFORE INSERT ON dashboard_auditentry "
    "WHEN EXISTS (SELECT 1 FROM dashboard_auditentry WHERE id = new.id) "
    f"BEGIN SELECT RAISE(ABORT, '{WHY}'); END",
}
FUNCTION = (
    "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{WHY}'; END $$"
)
POSTGRESQL = {
    "audit_update": "CREATE TRIGGER audit_update BEFORE UPDATE ON dashboard_auditentry "
    "FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    "audit_delete": "CREATE TRIGGER audit_delete BEFORE DELETE ON dashboard_auditentry "
    "FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    "audit_truncate": "CREATE TRIGGER audit_truncate BEFORE TRUNCATE ON dashboard_auditentry "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
}


def forwards(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    with editor.connection.cursor() as cursor:
        if editor.connection.vendor == "postgresql":
            cursor.execute(FUNCTION)
        for statement in (SQLITE if editor.connection.vendor == "sqlite" else POSTGRESQL).values():
            cursor.execute(statement)


def backwards(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    with editor.connection.cursor() as cursor:
        if editor.connection.vendor == "sqlite":
            for name in SQLITE:
                cursor.execute(f"DROP TRIGGER {name}")
            return
        for name in POSTGRESQL:
            cursor.execute(f"DROP TRIGGER {name} ON dashboard_auditentry")
        cursor.execute("DROP FUNCTION audit_refuse()")


class Migration(migrations.Migration):
    dependencies = [("dashboard", "0002_search")]
    operations = [migrations.RunPython(forwards, backwards)]
