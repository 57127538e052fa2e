"""Backups: data sets, jobs and results as one stream that any supported server can be filled from.

The law of this folder: ``format.py`` knows neither Redis nor files; ``copying.py`` only reads from Redis, and
``restoring.py`` changes it through functions of the two libraries; ``places.py`` and ``streams.py`` alone know files.
Every key of Redis is copied, made anew, or left behind: docs/backup.md says which, and a test holds it to the tables
of keys.
"""
