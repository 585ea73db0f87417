"""The settings. The database and the cache lie in the folder that the processes are started in."""

import os

SECRET_KEY = os.environ.get("BLOG_SECRET_KEY", "not a secret")
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "blog.urls"
INSTALLED_APPS = ["rest_framework", "zoocache.contrib.django", "blog"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
USE_TZ = True

# One cache for everything: pages, queries, representations, and what `django.core.cache` is given.
ZOOCACHE = {"storage_url": "lmdb://./blog-cache"}
CACHES = {"default": {"BACKEND": "zoocache.contrib.django.CacheBackend", "LOCATION": "default"}}

DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "blog.db", "OPTIONS": {"timeout": 30}}
}

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
}

if DEBUG := "BLOG_SHOW_QUERIES" in os.environ:
    LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"django.db.backends": {"handlers": ["console"], "level": "DEBUG"}},
    }
