"""Gristmill puts a data set, and the analyses over it, online as an HTTP API.

To write a process, import what you need from here::

    from gristmill import Progress, process
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("gristmill")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
