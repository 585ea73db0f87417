"""A blog: Django, REST framework, and pages that are cached until what they show has changed.

    python examples/django_blog/manage.py migrate
    uvicorn --app-dir examples/django_blog blog.asgi:application --workers 2

keep the database and the cache in the folder they are started in. The workers share both. No tag is named
anywhere: what a page depends on is known from its queries, and what changes is known from the commits.
"""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "blog.settings")
execute_from_command_line(sys.argv)
