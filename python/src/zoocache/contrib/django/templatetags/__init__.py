"""Tags for templates: `{% load zoocache %}`."""
