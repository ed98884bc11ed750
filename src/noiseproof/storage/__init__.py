"""Atomic durable files, process identity and locks."""
