"""The fork server: births and ends are told, and nothing survives those that it belongs to."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import wait_until
from support.workers import is_alive

from gristmill.slots import Slots
from gristmill.template import Born, Ended, Event, Gone, Ready, Refused, Template

TESTS = str(Path(__file__).parent)


@pytest.fixture
def start() -> Iterator[Callable[..., Template]]:
    slots = Slots.create(1)
    started: list[Template] = []

    def start_one(orders: dict[int, str] | str = "", setup: str = "by_number") -> Template:
        text = orders if isinstance(orders, str) else json.dumps(orders)
        one = Template(f"support.setups:{setup}", text, slots=slots.descriptor, environment={"PYTHONPATH": TESTS})
        started.append(one)
        return one

    yield start_one
    for one in started:
        one.close()
    slots.close()


def next_events(template: Template, count: int = 1) -> list[Event]:
    events: list[Event] = []
    while len(events) < count:
        events += template.events()
    return events


def test_a_child_is_born_in_milliseconds_and_its_end_is_told(start: Callable[..., Template]) -> None:
    template = start({})
    (ready,) = next_events(template)
    assert ready == Ready({"pid": template.pid, "orders": 0})
    seconds = []
    for number in range(20):
        began = time.monotonic()
        template.fork(number, 0)
        born, ended = next_events(template, 2)
        seconds.append(time.monotonic() - began)
        assert isinstance(born, Born)
        assert ended == Ended(number, 0)
        assert not is_alive(born.pid)
    assert sorted(seconds)[10] < 0.1


@pytest.mark.parametrize(("order", "code"), [("exit", 1), ("raise", 1), ("crash", -signal.SIGSEGV)])
def test_how_a_child_has_ended_is_told(start: Callable[..., Template], order: str, code: int) -> None:
    template = start({3: order})
    next_events(template)
    template.fork(3, 0)
    assert next_events(template, 2)[1] == Ended(3, code)


def test_a_killed_child_takes_its_group_and_its_strays_along(start: Callable[..., Template], tmp_path: Path) -> None:
    notes = tmp_path / "pids"
    template = start({1: f"stray {notes}", 2: "sleep"})
    next_events(template)
    template.fork(1, 0)
    template.fork(2, 0)
    births = next_events(template, 2)
    wait_until(lambda: notes.exists() and len(notes.read_text().split()) == 2)
    strays = [int(word) for word in notes.read_text().split()]
    template.kill(1)
    assert next_events(template) == [Ended(1, -signal.SIGKILL)]
    wait_until(lambda: not any(is_alive(pid) for pid in strays), 5)
    other = next(event for event in births if isinstance(event, Born) and event.number == 2)
    assert is_alive(other.pid)


def test_a_child_leads_a_group_and_session_of_its_own(start: Callable[..., Template]) -> None:
    template = start({1: "sleep"})
    next_events(template)
    template.fork(1, 0)
    (born,) = next_events(template)
    assert isinstance(born, Born)
    wait_until(lambda: os.getsid(born.pid) == os.getpgid(born.pid) == born.pid, 5)


def test_closing_ends_the_template_and_its_children(start: Callable[..., Template]) -> None:
    template = start({1: "sleep"})
    next_events(template)
    template.fork(1, 0)
    (born,) = next_events(template)
    template.close()
    assert isinstance(born, Born)
    assert not is_alive(template.pid)
    assert not is_alive(born.pid)


def test_children_end_with_a_killed_template_and_it_is_noticed(start: Callable[..., Template]) -> None:
    template = start({1: "sleep"})
    next_events(template)
    template.fork(1, 0)
    (born,) = next_events(template)
    assert isinstance(born, Born)
    time.sleep(0.05)
    os.kill(template.pid, signal.SIGKILL)
    assert next_events(template) == [Gone()]
    wait_until(lambda: not is_alive(born.pid), 5)


STARTER = """
import sys
from gristmill.slots import Slots
from gristmill.template import Template
slots = Slots.create(1)
template = Template("support.setups:by_number", '{"1": "stray %s"}', slots=slots.descriptor)
template.events()
template.fork(1, 0)
print(template.pid, template.events()[0].pid, flush=True)
sys.stdin.read()
"""


def test_everything_ends_when_the_starter_is_killed(tmp_path: Path) -> None:
    notes = tmp_path / "pids"
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER % notes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": TESTS},
    )
    assert starter.stdout
    assert starter.stdin
    pids = [int(word) for word in starter.stdout.readline().split()]
    wait_until(lambda: notes.exists() and len(notes.read_text().split()) == 2)
    pids += [int(word) for word in notes.read_text().split()]
    starter.kill()
    starter.wait()
    starter.stdin.close()
    starter.stdout.close()
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 2)


def test_a_setup_that_refuses_or_fails_says_why(start: Callable[..., Template]) -> None:
    assert next_events(start("because", "refuse"))[0] == Refused("refused: because")
    assert next_events(start("because", "fail"))[0] == Refused("ZeroDivisionError: because")
