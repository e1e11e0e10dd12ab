"""Work spread over processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from ...adapters.errors import MibenchError

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2
"""Items on their way for each process: a million of them pickled at once would fill the memory."""


def in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, *, died: str
) -> Iterator[tuple[Item, Result]]:
    """Items and what `function` makes of them, in the order in which they are finished.

    Args:
        function: can be pickled, as must be the items and results.
        items: taken one by one, as processes become free.
        workers: number of processes.
        died: what to tell the user when one of them is killed.

    Raises:
        MibenchError: a process died.
    """
    # Fresh processes: forked ones would hold the lock of a build that was killed, and torch's threads do not survive.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_parent)
    waiting = iter(items)
    running: dict[Future[Result], Item] = {}
    try:
        while True:
            for item in islice(waiting, _AHEAD * workers - len(running)):
                running[pool.submit(function, item)] = item
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool as problem:
        raise MibenchError(died) from problem
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it even when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
