"""The acceptance run of a deployment: a client that checks claims about it, says why one fails, and cleans up.

The law of this folder: it knows a deployment only from outside, by the API that everybody has. So it imports nothing of
the rest of Gristmill but the version, no Flask, Redis or DuckDB, and judges any release of the API alike.

One way down: ``command`` reads the options, ``runner`` runs the ``catalogue``, whose checks stand in ``checks/`` by
topic; each is a function of a ``run``, asks through its ``session`` and judges an ``answers.Answer``.
"""
