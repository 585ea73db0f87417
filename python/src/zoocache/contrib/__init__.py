"""Integrations: one for each framework, each of which needs an extra of the package (`zoocache[fastapi]`).

They use the public functions of `zoocache` only, so that programs can do whatever they do.
"""
