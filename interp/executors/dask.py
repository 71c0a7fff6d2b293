"""The workers of a dask cluster, of this machine or of many: docs/sweeps.md.

A piece goes to its worker as bytes, and is read there in the folder that the command was started in, which all of them
must see. Workers tell what they have done by dask's own events.
"""

from __future__ import annotations

import contextlib
import importlib
import pickle
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from interp.contracts.executor import Executor, Tell
from interp.errors import InterpError


@contextlib.contextmanager
def dask(jobs: int, folder: Path, scheduler: str | None = None) -> Iterator[Executor]:  # noqa: ARG001 (it needs no folder)
    """Work on the cluster whose scheduler is at an address, "tcp://…"; without one on `jobs` processes of this machine.

    Raises InterpError where dask is not installed, or there is no scheduler at that address.
    """
    distributed = _distributed()
    with contextlib.ExitStack() as held:
        try:
            if scheduler is None:
                cluster = distributed.LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
                client = held.enter_context(distributed.Client(held.enter_context(cluster)))
            else:
                client = held.enter_context(distributed.Client(scheduler, timeout=10))
        except (OSError, ValueError) as error:
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise InterpError(f"no dask scheduler answers at {scheduler} ({told}); start one, or say where") from None
        yield _Dask(client)


def _distributed() -> Any:
    """Dask's package, which comes with an extra. Raises InterpError where it is not installed."""
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise InterpError("dask is not installed: pip install 'interp[cluster]'") from None


class _Dask:
    """Pieces as tasks of a client: one whose worker is lost goes to another."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def run(self, function: Callable[[Any, Tell], Any], pieces: Iterable[Any], tell: Tell) -> Iterator[Any]:
        distributed = _distributed()
        topic, here = f"interp-{uuid.uuid4().hex}", str(Path.cwd())
        self._client.subscribe_topic(topic, lambda event: tell(event[1]))
        tasks = [pickle.dumps((function, piece)) for piece in pieces]
        futures = self._client.map(_worked, tasks, directory=here, topic=topic, pure=False)
        try:
            for future in distributed.as_completed(futures):
                yield future.result()
        except (distributed.KilledWorker, distributed.comm.CommClosedError, TimeoutError, OSError) as error:
            told = (str(error).splitlines() or [type(error).__name__])[0]
            kept = "what was finished is kept: start again to go on"
            raise InterpError(f"the cluster was lost ({told}); {kept}") from None
        finally:
            with contextlib.suppress(Exception):  # of a cluster that is gone nothing can be asked
                self._client.cancel(futures)
                self._client.unsubscribe_topic(topic)


def _worked(task: bytes, directory: str, topic: str) -> Any:
    """The answer of a piece, on a worker."""
    worker = _distributed().get_worker()
    with contextlib.chdir(directory):
        function, piece = pickle.loads(task)
        return function(piece, lambda what: worker.log_event(topic, what))
