# ruff: noqa: D101, RUF012 - as Django writes them
"""Readers of SQLite go on while somebody writes. The file remembers it."""

from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("blog", "0001_initial")]
    operations = [migrations.RunSQL("PRAGMA journal_mode=WAL", migrations.RunSQL.noop)]
