"""Migrations of the app database, forward only."""
