"""What pipelines have counted, in a child that was forked at a bad moment."""

from __future__ import annotations

import os
import signal

from ragwatch.processing import tally


def test_a_child_that_was_forked_while_the_lock_was_held_can_count() -> None:
    with tally._Known.lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            tally.tally_of("forked")
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
