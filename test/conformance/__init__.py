"""Conformance to OGC API - Processes 1.0: its schemas, the published suite's checks, and other people's clients."""
