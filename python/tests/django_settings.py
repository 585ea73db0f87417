"""The settings of Django for all tests of this process, made once. A test overrides what it needs."""

import atexit
import tempfile
from pathlib import Path

import django
import postgres_server
from django.conf import settings

#: The databases that tests of writing run on: one in a file, and one on a server where there is one.
ALIASES = ["default", *(["postgres"] if postgres_server.programs() else [])]


def setup():
    """Configure Django, unless another directory of tests has done it already."""
    if settings.configured:
        return
    settings.configure(
        SECRET_KEY="only for tests",
        DATABASES=_databases(),
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "django.contrib.messages",
            "rest_framework",
            "zoocache.contrib.django",
            "django_shop",
        ],
        MIGRATION_MODULES={"contenttypes": None, "auth": None, "sessions": None},
        CACHES={"default": {"BACKEND": "zoocache.contrib.django.CacheBackend", "LOCATION": "default"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="django_urls",
        USE_TZ=True,
        MIDDLEWARE=[],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    )
    django.setup()


def _databases():
    shm = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, which is removed
    folder = tempfile.TemporaryDirectory(prefix="zoocache-django-", dir=shm if shm.is_dir() else None)
    atexit.register(folder.cleanup)
    databases = {
        alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(folder.name) / f"{alias}.sqlite3"}
        for alias in ("default", "other")
    }
    if postgres_server.programs():
        server = postgres_server.Server()
        atexit.register(server.end)
        databases["postgres"] = _on(server)
        databases["repeatable"] = _on(server, "REPEATABLE_READ")
    return databases


def _on(server, level=None):
    # Only where there is one.
    from django.db.backends.postgresql.psycopg_any import IsolationLevel  # noqa: PLC0415

    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": server.user,
        "HOST": server.host,
        "PORT": server.port,
        "OPTIONS": {} if level is None else {"isolation_level": IsolationLevel[level]},
    }
