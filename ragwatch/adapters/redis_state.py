"""``RedisState``: breakers of many processes in one state, through Redis (extra ``redis``)."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

from ragwatch.errors import ConfigError
from ragwatch.resilience.events import BreakerState, log
from ragwatch.resilience.sharing import Change, Counter, Member, SharedAway, SharedView

# KEYS: the breaker. ARGV: expected epoch, state, milliseconds in it, times reopened, due, by hand, key's life in ms.
# A store that knows an older epoch than the caller has lost data, and takes what the caller says. The epoch is at least
# the time in microseconds, so that one begun after such a loss is above every one before it.
CHANGE = """
local at = redis.call('TIME')
local now = at[1] * 1000 + math.floor(at[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'epoch', 'state', 'until', 'reopened')
local epoch, expected = tonumber(held[1] or 0), tonumber(ARGV[1])
local till = tonumber(held[3] or 0)
local made = 0
if ARGV[6] == '1' or (epoch <= expected and (ARGV[5] == '0' or now >= till)) then
  epoch = math.max(epoch + 1, expected + 1, at[1] * 1000000 + at[2])
  till = now + tonumber(ARGV[3])
  held = {epoch, ARGV[2], till, ARGV[4]}
  redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', epoch), 'state', ARGV[2],
             'until', string.format('%.0f', till), 'reopened', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
  made = 1
end
return {made, string.format('%.0f', epoch), held[2] or 'closed', string.format('%.0f', math.max(0, till - now)),
        held[4] or '0'}
"""

# KEYS: the breaker, the counter of one half-open epoch. ARGV: epoch, by, most, milliseconds that the counter lives.
COUNT = """
local held = redis.call('HMGET', KEYS[1], 'epoch', 'state')
if held[1] ~= ARGV[1] or held[2] ~= 'half_open' then return -1 end
local sum = tonumber(redis.call('GET', KEYS[2]) or 0) + tonumber(ARGV[2])
if sum > tonumber(ARGV[3]) then return -1 end
redis.call('SET', KEYS[2], math.max(0, sum), 'PX', ARGV[4])
return math.max(0, sum)
"""
KEPT_MS = 7 * 24 * 3600 * 1000
"""A breaker that no process changed for a week is forgotten: closed."""


class RedisState:
    """The store of shared breakers: ``CircuitBreaker("vector-db", shared=RedisState("redis://cache:6379/0"))``.

    Takes a URL or a ``redis.Redis`` client (from a URL one is made that gives up after ``timeout_s``; a client of your
    own should do likewise). One object serves all breakers of a process, threads and event loops alike: a thread of its
    own reads every ``refresh_s`` seconds what other processes changed, in one round trip for all breakers, and sends
    what changed here at once. A closed breaker's calls never wait for Redis. Times are by Redis's clock.
    It can be pickled to the workers of a cluster, where ``ragwatch.breaker("vector-db", shared=store)`` is then one for
    each process.
    """

    def __init__(
        self, url_or_client: Any, *, prefix: str = "ragwatch:breaker", refresh_s: float = 1.0, timeout_s: float = 0.25
    ) -> None:
        if not refresh_s > 0:
            raise ConfigError("refresh_s", f"{refresh_s!r} is not more than 0 seconds", source="RedisState")
        self._given = (url_or_client, prefix, refresh_s, timeout_s)
        self._client = _client_of(url_or_client, timeout_s)
        self._change = self._client.register_script(CHANGE)
        self._count = self._client.register_script(COUNT)
        self._prefix = prefix
        self._refresh_s = refresh_s
        self._begin()
        _living[id(self)] = self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RedisState) and self._given == other._given

    def __hash__(self) -> int:
        return hash(self._given)

    def __reduce__(self) -> tuple[Any, ...]:
        """A store travels to other processes as its URL."""
        if not isinstance(self._given[0], str):
            raise TypeError("a RedisState with a client of your own cannot travel between processes: give it a URL")
        return _remade, self._given

    def _begin(self) -> None:
        """What a process needs of its own: called again in a forked child."""
        self._lock = threading.Lock()
        self._members: weakref.WeakSet[Any] = weakref.WeakSet()
        self._news = threading.Event()
        self.closed = False
        self._thread: threading.Thread | None = None
        self._asking: ThreadPoolExecutor | None = None

    # -- SharedState --------------------------------------------------------------------------------------------------

    def change(self, change: Change) -> tuple[bool, SharedView]:
        """Compare and set, in one script."""
        arguments = (
            change.expected, change.state, round(change.for_s * 1000), change.reopened,
            int(change.due), int(change.by_hand), max(KEPT_MS, round(change.for_s * 2000)),
        )  # fmt: skip
        made, *held = _answer(lambda: self._change(keys=[self._key(change.name)], args=arguments))
        return bool(made), _view(*held)

    def count(self, name: str, epoch: int, what: Counter, by: int, most: int, ttl_s: float) -> int:
        """Add to the counter of an epoch."""
        keys = [self._key(name), f"{self._key(name)}:{what}:{epoch}"]
        return int(_answer(lambda: self._count(keys=keys, args=(epoch, by, most, round(ttl_s * 1000)))))

    def join(self, member: Member) -> None:
        """Keep a breaker in step, from now on."""
        with self._lock:
            self._members.add(member)
            if self._thread is None:
                mine = (weakref.ref(self), self._news, self._refresh_s)
                self._thread = threading.Thread(target=_keep_in_step, args=mine, daemon=True, name="ragwatch-shared")
                self._thread.start()
        self._news.set()

    def wake(self) -> None:
        """Refresh soon."""
        self._news.set()

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Do work on a thread of this store."""
        with self._lock:
            if self._asking is None:
                self._asking = ThreadPoolExecutor(4, thread_name_prefix="ragwatch-shared")
            return self._asking.submit(work)

    def close(self) -> None:
        """End the thread; the breakers go on alone."""
        with self._lock:
            self.closed, thread = True, self._thread
        self._news.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)
        for member in tuple(self._members):
            member.away("the store was closed")

    # -- the thread ---------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring all breakers of this process and Redis together, now."""
        with self._lock:
            members = [(member, member.known) for member in self._members]
        if not members:
            return
        try:
            views = _answer(lambda: self._read([member.name for member, _ in members]))
        except SharedAway as error:
            for member, _ in members:
                member.away(str(error))
            return
        for (member, known), view in zip(members, views, strict=True):
            member.exchange(view, known)

    def _read(self, names: list[str]) -> list[SharedView | None]:
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(self._key(name), "epoch", "state", "until", "reopened")
            pipe.time()
            *found, (seconds, microseconds) = pipe.execute()
        now = seconds * 1000 + microseconds // 1000
        return [
            _view(epoch, state, max(0, int(until) - now), reopened) if epoch is not None else None
            for epoch, state, until, reopened in found
        ]

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{{{name}}}"  # braces: a cluster keeps a breaker and its counters on one node


def _keep_in_step(held: weakref.ref[RedisState], news: threading.Event, refresh_s: float) -> None:
    """The thread of a store; it ends when the store is closed or gone."""
    while True:
        news.wait(refresh_s)
        news.clear()
        store = held()
        if store is None or store.closed:
            return
        try:
            store.refresh()
        except Exception:  # noqa: BLE001  (a thread that dies would stop the sharing)
            log.exception("ragwatch: sharing breakers through Redis failed; the next refresh tries again")
        del store  # while it waits, this thread keeps no store alive


def _client_of(url_or_client: Any, timeout_s: float) -> Any:
    try:
        import redis
        import redis.asyncio
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        problem = "needs the package redis: pip install 'ragwatch[redis]'"
        raise ConfigError("shared", problem, source="RedisState") from error
    if isinstance(url_or_client, str):
        try:
            return redis.Redis.from_url(
                url_or_client,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 1),  # one: a connection that the server closed while idle
            )
        except ValueError as error:
            raise ConfigError("url", str(error), source="RedisState") from error
    if isinstance(url_or_client, redis.asyncio.Redis):
        problem = "is an asyncio client: give a redis.Redis or a URL; calls on an event loop never wait for it"
        raise ConfigError("url_or_client", problem, source="RedisState")
    return url_or_client


def _answer(ask: Callable[[], Any]) -> Any:
    """What Redis answers, or ``SharedAway``."""
    import redis

    try:
        return ask()
    except (redis.RedisError, OSError) as error:
        raise SharedAway(f"{type(error).__name__}: {error}") from error


def _view(epoch: Any, state: Any, left_ms: Any, reopened: Any) -> SharedView:
    name = state.decode() if isinstance(state, bytes) else str(state)
    return SharedView(int(epoch), cast("BreakerState", name), int(left_ms) / 1000, int(reopened))


def _remade(url: str, prefix: str, refresh_s: float, timeout_s: float) -> RedisState:
    return RedisState(url, prefix=prefix, refresh_s=refresh_s, timeout_s=timeout_s)


_living: weakref.WeakValueDictionary[int, RedisState] = weakref.WeakValueDictionary()


def _renew() -> None:
    """In a forked child threads are gone: breakers that were shared go on being shared."""
    for store in tuple(_living.values()):
        members = tuple(store._members)  # noqa: SLF001  (this file's class)
        store._begin()  # noqa: SLF001
        for member in members:
            store.join(member)


os.register_at_fork(after_in_child=_renew)
