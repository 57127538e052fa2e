"""A disk for a server that becomes slow when it is told to: a library, loaded before it, through which flushes go."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

_SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

static int flush(const char *name, int file) {
    struct timespec wait = {SECONDS, 0};
    if (access(SLOW, F_OK) == 0) nanosleep(&wait, 0);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
}

int fdatasync(int file) { return flush("fdatasync", file); }
int fsync(int file) { return flush("fsync", file); }
"""


@functools.cache
def why_missing() -> str:
    """Say why no disk can be slow here, or return ""."""
    if sys.platform != "linux":
        return "flushes are slowed by LD_PRELOAD, on Linux alone"
    return "" if shutil.which("cc") else "there is no C compiler (cc)"


class SlowDisk:
    """While it is slow, each flush takes so many seconds. The library, and whether it is slow, lie in ``folder``.

    environment: what a server needs, to have this disk.
    """

    def __init__(self, folder: Path, seconds: int) -> None:
        self._slow = folder / "slow"
        source, library = folder / "slow_disk.c", folder / "slow_disk.so"
        source.write_text(_SOURCE)
        named = [f"-DSECONDS={seconds}", f'-DSLOW="{self._slow}"']
        compiler = ["cc", "-shared", "-fPIC", *named, "-o", str(library), str(source), "-ldl"]
        subprocess.run(compiler, check=True, capture_output=True, timeout=60)
        self.environment = {"LD_PRELOAD": str(library)}

    def slow_down(self) -> None:
        """Be slow from the next flush on."""
        self._slow.touch()

    def recover(self) -> None:
        """Be as fast as the disk beneath."""
        self._slow.unlink()
