"""The settings of Django for all tests of this process, made once. A test overrides what it needs."""

import django
from django.conf import settings


def setup():
    """Configure Django, unless another directory of tests has done it already."""
    if settings.configured:
        return
    apps = [
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.sessions",
        "django.contrib.messages",
        "rest_framework",
        "zoocache.contrib.django",
    ]
    memory = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    settings.configure(
        SECRET_KEY="only for tests",
        DATABASES={"default": memory},
        INSTALLED_APPS=apps,
        CACHES={"default": {"BACKEND": "zoocache.contrib.django.CacheBackend", "LOCATION": "default"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        MIDDLEWARE=[],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    )
    django.setup()
