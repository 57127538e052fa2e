"""Two API processes and a worker over one small cache, under load: every answer is right, and the cache stays small."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support import wait_until
from support.system import RunningSystem

PROCESSES = Path(__file__).parent / "data_set_processes"
DATA_SETS = 6
ROWS = 40_000
SECONDS = 8.0
# Room for about three of the six: there is always something to evict, and something to make.
CACHE_BYTES = 2_500_000


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    settings = {
        "PROCESSES": str(PROCESSES),
        "DATASET_FREE_BYTES": "0",
        "DATASET_CACHE_BYTES": str(CACHE_BYTES),
        "API_PROCESSES": "2",
    }
    with RunningSystem(tmp_path_factory.mktemp("system"), settings=settings) as running:
        yield running


def values_of(data_set: int) -> list[int]:
    """Numbers that do not compress away, other ones in each data set."""
    return [(row + 1) * (data_set + 1) * 2_654_435_761 % 2**40 for row in range(ROWS)]


@pytest.mark.slow
def test_a_small_cache_that_all_share_gives_right_answers_only(system: RunningSystem) -> None:
    totals = [sum(values_of(number)) for number in range(DATA_SETS)]
    with httpx.Client(base_url=system.url, timeout=60) as client:
        for number in range(DATA_SETS):
            content = "x\n" + "\n".join(map(str, values_of(number)))
            answer = client.put(f"/datasets/d{number}", content=content, headers={"Content-Type": "text/csv"})
            assert answer.status_code == 201, answer.text
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    until = time.monotonic() + SECONDS

    def ask(first: int) -> None:
        number = first
        with httpx.Client(base_url=system.url, timeout=60) as client:
            while time.monotonic() < until:
                number = (number + 1) % DATA_SETS
                for what, answer, wanted in (
                    ("row", client.get(f"/datasets/d{number}/aggregate?metrics=sum(x)"), totals[number]),
                    ("job", client.post(
                        "/processes/total/execution",
                        json={"inputs": {"table": {"dataset": f"d{number}"}, "column": "x"}},
                    ), totals[number]),
                ):  # fmt: skip
                    if answer.status_code == 503:
                        seen["busy"] += 1
                        if "Retry-After" not in answer.headers:
                            wrong.append(f"{what}: 503 without Retry-After: {answer.text}")
                        continue
                    if answer.status_code == 201:
                        seen["late"] += 1
                        continue
                    seen[what] += 1
                    told = answer.json()
                    found = float(told["total"] if what == "job" else told["rows"][0]["sum(x)"])
                    if answer.status_code != 200 or found != wanted:
                        wrong.append(f"{what} of d{number}: {answer.status_code} {answer.text[:300]}")

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong, wrong[:5]
    assert min(seen["row"], seen["job"]) > 10, seen
    cache = system.folder / "data" / "cache"
    assert len(list(cache.glob("*.data"))) < DATA_SETS
    assert not list(cache.glob("*.making"))

    with httpx.Client(base_url=system.url, timeout=60) as client:
        for number in range(DATA_SETS):
            assert client.delete(f"/datasets/d{number}").status_code == 200
    wait_until(lambda: not list(cache.glob("*.data")), 60, "nothing is left of what was deleted")
