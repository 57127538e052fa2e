"""Setups for the template's tests: what its children do is told by the configuration."""

import json
import os
import signal
import subprocess
import sys
import time

from gristmill.errors import ConfigurationError
from gristmill.template import Birth, Facts, Run


def by_number(text: str) -> tuple[Facts, Run]:
    """Children that do what the configuration has under their number."""
    orders = json.loads(text)

    def run(birth: Birth) -> None:
        order = orders.get(str(birth.number), "return")
        if order == "sleep":
            time.sleep(600)
        elif order == "exit":
            sys.exit(5)
        elif order == "raise":
            raise ValueError("on purpose")
        elif order == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif order.startswith("stray "):
            code = f"import os, time; open({order[6:]!r}, 'a').write(f'{{os.getpid()}} '); time.sleep(600)"
            for new_session in (False, True):
                subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=new_session)
            time.sleep(600)

    return {"pid": os.getpid(), "orders": len(orders)}, run


def refuse(text: str) -> tuple[Facts, Run]:
    """A setup that refuses."""
    raise ConfigurationError(f"refused: {text}")


def fail(text: str) -> tuple[Facts, Run]:
    """A setup with a fault."""
    raise ZeroDivisionError(text)
