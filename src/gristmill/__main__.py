"""``gristmill``, and ``python -m gristmill``: health checks are answered at once, the rest by the command line."""

import sys

from gristmill import probe


def main() -> None:
    """Run the command that the arguments name."""
    if probe.is_asked_by(sys.argv[1:]):
        raise SystemExit(probe.main(sys.argv[1:]))
    from gristmill import cli  # noqa: PLC0415  its imports take longer than a health check

    cli.main()


if __name__ == "__main__":
    main()
