"""The blog."""
