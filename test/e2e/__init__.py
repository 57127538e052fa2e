"""The deployment as a whole on a real cluster, as ``make e2e`` runs it (CONTRIBUTING.md).

Nothing here knows a cluster: what is particular to one comes from the settings ``E2E_...``. Everything that is made
lies in namespaces of the run's own, which go with it. What a person types by docs/deploy.md is what is done here, with
copies of ``kubernetes/``; and what was seen, and how long it took, goes into the table at the end (``seen``).
"""
