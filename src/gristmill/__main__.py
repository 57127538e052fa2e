"""``gristmill``, and ``python -m gristmill``: health checks are answered at once, the rest by the command line."""

import os
import signal
import sys

from gristmill import probe


def main() -> None:
    """Run the command that the arguments name."""
    if probe.is_asked_by(sys.argv[1:]):
        raise SystemExit(probe.main(sys.argv[1:]))
    if os.getpid() == 1:
        _end_by_sigterm()
    from gristmill import cli  # noqa: PLC0415  its imports take longer than a health check

    cli.main()


def _end_by_sigterm() -> None:
    """Have SIGTERM end this process until its command knows better.

    The first process of a container is spared by signals that it has no handler for: a pod that is deleted while it
    starts would linger until its grace period is over.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


if __name__ == "__main__":
    main()
