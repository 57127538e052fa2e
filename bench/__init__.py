"""Measurements of Gristmill against its rivals and against the limits of the machine, in one run: ``make bench``."""
