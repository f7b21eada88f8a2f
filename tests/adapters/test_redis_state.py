"""The two scripts of ``RedisState``, on a real Redis."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from ragwatch import breaker
from ragwatch.adapters.redis_state import RedisState
from ragwatch.resilience.sharing import Change, SharedAway
from tests.support.redis import RedisServer, redis_running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def client(running: RedisServer) -> Any:
    client = redis.Redis.from_url(running.url)
    client.flushall()
    return client


@pytest.fixture
def store(running: RedisServer, client: Any) -> Iterator[RedisState]:
    store = RedisState(running.url, timeout_s=5.0)
    yield store
    store.close()


def change(expected: int, state: Any = "open", for_s: float = 60.0, reopened: int = 1, **how: bool) -> Change:
    return Change("db", expected, state, for_s, reopened, **how)


def test_a_change_is_made_from_the_known_epoch_only(store: RedisState) -> None:
    made, first = store.change(change(0))
    assert made
    assert (first.state, first.reopened) == ("open", 1)
    assert 59 < first.left_s <= 60
    made, found = store.change(change(0, "closed"))
    assert (made, found.epoch, found.state) == (False, first.epoch, "open")
    made, second = store.change(change(first.epoch, "closed", 0.0, 0))
    assert (made, second.state, second.left_s) == (True, "closed", 0.0)
    assert second.epoch > first.epoch
    assert store.change(change(first.epoch))[0] is False


def test_what_must_be_due_waits_for_rediss_clock(store: RedisState) -> None:
    _, opened = store.change(change(0, for_s=60.0))
    made, found = store.change(change(opened.epoch, "half_open", due=True))
    assert (made, found.epoch, found.state) == (False, opened.epoch, "open")
    _, over = store.change(change(opened.epoch, "open", for_s=0.0))
    assert store.change(change(over.epoch, "half_open", due=True))[0]


def test_by_hand_wins(store: RedisState) -> None:
    _, opened = store.change(change(0))
    made, found = store.change(change(0, "disabled", by_hand=True))
    assert (made, found.state) == (True, "disabled")
    assert found.epoch > opened.epoch


def test_epochs_grow_over_a_loss_of_data(store: RedisState, client: Any) -> None:
    _, before = store.change(change(0))
    client.flushall()
    made, after = store.change(change(0))
    assert made
    assert after.epoch > before.epoch, "a process that knows the old one sees that this is another"
    client.hset("ragwatch:breaker:{db}", "epoch", 7)  # an old copy of its data
    made, again = store.change(change(after.epoch))
    assert made
    assert again.epoch > after.epoch


def test_a_counter_is_bounded_and_belongs_to_one_epoch(store: RedisState, client: Any) -> None:
    _, view = store.change(change(0, "half_open"))

    def take(by: int = 1, epoch: int = view.epoch) -> int:
        return store.count("db", epoch, "permits", by, 2, 30.0)

    assert [take(), take(), take()] == [1, 2, -1]
    assert take(-1) == 1
    assert take() == 2
    assert take(-5) == 0, "never below nothing"
    assert take(epoch=view.epoch - 1) == take(epoch=view.epoch + 1) == -1
    assert 25_000 < client.pttl(f"ragwatch:breaker:{{db}}:permits:{view.epoch}") <= 30_000
    store.change(change(view.epoch))
    assert take() == -1, "that epoch is over"


def test_only_a_half_open_epoch_has_permits(store: RedisState) -> None:
    _, view = store.change(change(0, "open"))
    assert store.count("db", view.epoch, "permits", 1, 2, 30.0) == -1


def test_a_breaker_that_nobody_uses_is_forgotten(store: RedisState, client: Any) -> None:
    store.change(change(0))
    assert 0 < client.pttl("ragwatch:breaker:{db}") <= 7 * 24 * 3600 * 1000


def test_a_redis_that_is_not_there() -> None:
    store = RedisState("redis://127.0.0.1:1/0")
    with pytest.raises(SharedAway, match="ConnectionError"):
        store.change(change(0))


def test_a_store_travels_and_is_the_same_store(store: RedisState, client: Any) -> None:
    there = pickle.loads(pickle.dumps(store))
    assert there == store
    assert hash(there) == hash(store)
    assert there != RedisState("redis://127.0.0.1:1/0")
    made = breaker("travelled", shared=store)
    assert breaker("travelled", shared=there) is made
    with pytest.raises(TypeError, match="URL"):
        pickle.dumps(RedisState(client))
