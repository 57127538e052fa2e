"""A worker's children and their template, where the tests of the whole worker cannot bring it about."""

import subprocess
import sys

# In a process of its own: what follows the end of a template ends every child of the process that started it.
REPLACED = """
import sys, time
from pathlib import Path
from gristmill.children import Child, Children
from gristmill.settings import Settings
from gristmill.slots import Slots
from gristmill.workfolder import WorkFolder

folder = Path(sys.argv[1])
ready, ended = [], []
settings = Settings(processes_folder=folder / "none")
children = Children(
    "w", settings, WorkFolder(folder, "w"), Slots.create(1),
    on_ready=ready.append, on_end=lambda name, lost: ended.append(name), on_progress=print,
)
children.start()
while not ready:
    children.events()
first, now = children.template.pid, time.monotonic()
children._living[7] = Child(7, 0, now, asked=now)  # the template knows of no such child, and forks none
children.look(now + 9)
print("kept" if children.template.pid == first and not ended else "replaced too early")
children.look(now + 11)
while not ended:
    children.events()
print("replaced" if children.template.pid != first else "kept too long", *ended)
children.close()
"""


def test_a_template_that_does_not_obey_is_replaced_and_its_children_settled(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", REPLACED, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    told = [line for line in done.stdout.splitlines() if line.startswith(("kept", "replaced"))]
    assert told == ["kept", "replaced w.7"], done.stderr
