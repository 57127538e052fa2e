"""Data sets: tables that users upload, as versions that never change. Nothing here knows Flask or ``gristmill.api``."""
