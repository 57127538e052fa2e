import os

from celery import Celery

url = os.environ["BENCH_URL"]
app = Celery("bench", broker=f"{url}/1", backend=f"{url}/1")
app.conf.update(task_acks_late=True, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)


@app.task
def noop() -> int:
    return 1
