"""The text index over name, id and metadata values: search is an index from the first migration.

A later migration that makes SQLite rebuild dashboard_batch drops these triggers: run `forwards` again in it.
"""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

# An FTS5 table without content of its own, numbered by place: it walks in the order of lists, and the text stands once,
# in dashboard_batch. Triggers keep it right through updates and deletes; new rows are added by absorb, many in one
# statement: a trigger would make FTS5 write its buffer to disk for every row, at six times the cost.
REMOVE = (
    "INSERT INTO dashboard_batch_search(dashboard_batch_search, rowid, search_text)"
    " VALUES ('delete', old.place, old.search_text);"
)
ADD = "INSERT INTO dashboard_batch_search(rowid, search_text) VALUES (new.place, new.search_text);"
SQLITE = [
    "CREATE VIRTUAL TABLE IF NOT EXISTS dashboard_batch_search USING fts5("
    "search_text, content='', tokenize='trigram', columnsize=0)",
    # Fewer, larger merges: an import writes a thousand small pages.
    "INSERT INTO dashboard_batch_search(dashboard_batch_search, rank) VALUES ('automerge', 16)",
    f"CREATE TRIGGER dashboard_batch_search_delete AFTER DELETE ON dashboard_batch BEGIN {REMOVE} END",
    "CREATE TRIGGER dashboard_batch_search_update AFTER UPDATE OF search_text ON dashboard_batch "
    f"WHEN old.search_text IS NOT new.search_text BEGIN {REMOVE} {ADD} END",
]
SQLITE_BACK = [
    "DROP TRIGGER dashboard_batch_search_delete",
    "DROP TRIGGER dashboard_batch_search_update",
    "DROP TABLE dashboard_batch_search",
]
# upper(), because that is what Django's icontains compares on PostgreSQL.
POSTGRESQL = [
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX dashboard_batch_search ON dashboard_batch USING gin (upper(search_text) gin_trgm_ops)",
    # How an id begins; its end is in the text.
    "CREATE INDEX dashboard_batch_search_id ON dashboard_batch (remote_id varchar_pattern_ops)",
    # Facets, which are no letters and make no trigrams here: whole lines and the outcome, each with the stretch (2**20 s)
    # of its batch, so that the newest can be asked for. As in insight/search_on_postgresql.py.
    "CREATE INDEX dashboard_batch_search_line ON dashboard_batch USING gin (array_append(string_to_array("
    "replace(upper(search_text), E'\\n', '@' || (place >> 50)::text || E'\\n'), E'\\n'),"
    " (outcome || '@') || (place >> 50)::text))",
]
POSTGRESQL_BACK = [
    "DROP INDEX dashboard_batch_search",
    "DROP INDEX dashboard_batch_search_id",
    "DROP INDEX dashboard_batch_search_line",
]


def run(sqlite: list[str], postgresql: list[str], editor: BaseDatabaseSchemaEditor) -> None:
    with editor.connection.cursor() as cursor:
        for statement in sqlite if editor.connection.vendor == "sqlite" else postgresql:
            cursor.execute(statement)


def forwards(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    run(SQLITE, POSTGRESQL, editor)


def backwards(_apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    run(SQLITE_BACK, POSTGRESQL_BACK, editor)


class Migration(migrations.Migration):
    dependencies = [("dashboard", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
