"""The HTTP API: one module per resource, each with a Flask ``blueprint`` that ``create_app`` registers.

The law of this folder:

- A view reads the request, calls the engine, the registry or the hub, and writes a response; nothing else.
  It reaches them by ``services()``, and never opens a connection or reads the environment.
- Every error is raised as an exception: one of ``gristmill.errors``, or Werkzeug's.
  ``problems`` alone turns errors into responses.
- ``links`` alone makes URLs, ``proxies`` alone believes forwarding headers, ``negotiation`` alone reads
  ``f`` and ``Accept``, ``bodies`` alone parses a body, ``access`` alone decides who may.
- ``jobs.status_info`` is the one writer of a job's status, ``results.result_response`` of its result.
- A request that may wait holds a place (``services().places``) while it does, and gives it back on every
  path.
- What does not depend on the request is made once, in ``create_app``.
"""
