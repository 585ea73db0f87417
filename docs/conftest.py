"""Django's settings, which a process makes once, for the pages about it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "python" / "tests"))

import django_settings

django_settings.setup()
