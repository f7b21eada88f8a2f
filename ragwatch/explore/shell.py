"""What is typed, carried out: questions, and commands that begin with a slash."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from ragwatch.errors import ConfigError, RagwatchError
from ragwatch.explore import judgements
from ragwatch.explore.asked import Asked, Asker
from ragwatch.explore.difference import Difference, difference
from ragwatch.explore.view import Line, View
from ragwatch.target.target import Target


class Command(NamedTuple):
    """A command: what it takes, and what it does."""

    takes: str
    does: str


COMMANDS = {
    "/again": Command("", "ask the last question again, and show what differs"),
    "/no-cache": Command("", "pass by the app's cache from now on (once more: use it again)"),
    "/set": Command("top_k=10", "a parameter for every question; alone: what is set"),
    "/unset": Command("top_k", "forget a parameter"),
    "/docs": Command("3", "the whole text of a document; alone: all of them"),
    "/relevant": Command("1 3", "these documents answer the question: a line of the golden file"),
    "/bad": Command("", "the answer is wrong: a line of the golden file"),
    "/compare": Command("other:function", "ask the last question there too, and show what differs"),
    "/export": Command("file.jsonl", "write every question and answer so far as JSON Lines"),
    "/help": Command("", "this list"),
    "/quit": Command("", "leave (so does Ctrl-D)"),
}
EXPORT = "explore.jsonl"


class Leave(Exception):
    """The user wants to leave."""


class Shell:
    """A conversation with a target. ``show`` takes lines, ``stream`` the text of an answer as it comes.

    ``draws`` says whether answers are drawn, or only handed back. ``open_other`` opens the target that ``/compare``
    names; ``assign`` reads ``name=value``.
    """

    def __init__(
        self,
        target: Target,
        asker: Asker,
        view: View,
        *,
        options: dict[str, Any],
        golden: Path,
        show: Callable[[Iterable[Line]], None],
        stream: Callable[[str], None],
        draws: bool = True,
        open_other: Callable[[str], Target],
        assign: Callable[[str, str], tuple[str, Any]],
    ) -> None:
        self.target, self._asker, self._view = target, asker, view
        self.options, self._golden = dict(options), golden
        self._show, self._stream, self._draws = show, stream, draws
        self._open_other, self._assign = open_other, assign
        self._without_cache: dict[str, Any] = {}
        self.asked: list[Asked] = []
        self.compared: list[Asked] = []
        """Answers of other targets."""
        self.differs: Difference | None = None
        """What ``/again`` or ``/compare`` found, if that was the last line and both had an answer."""
        self._cancelled: str | None = None
        """The last question, where Ctrl-C ended it before it had an answer."""
        self._others: dict[str, Target] = {}

    def line(self, text: str) -> Asked | None:
        """Carry a line out; the answer, if it asked anything. ``RagwatchError`` says what is wrong with it."""
        text = text.strip()
        self.differs = None
        if not text:
            return None
        if text.startswith("/"):
            return self._command(text)
        asked = self._ask(text)
        self._draw(asked)
        return asked

    def close(self) -> None:
        """Close the targets of ``/compare``."""
        for other in self._others.values():
            other.close()

    def _ask(self, question: str) -> Asked:
        if not self.asked or self.asked[-1].question != question:
            self._cancelled = question  # unless an answer comes
        asked = self._put(self.target, question, {**self.options, **self._without_cache})
        self._cancelled = None
        self.asked.append(asked)
        return asked

    def _put(self, target: Target, question: str, options: dict[str, Any]) -> Asked:
        try:
            asked = self._asker.ask(target, question, options, self._stream)
        except KeyboardInterrupt:
            if self._draws:
                self._show([Line(""), *self._view.cancelled(self._asker.cancelled)])
            raise
        self._stream("\n" if asked.answer.text else "")
        return asked

    def _draw(self, asked: Asked) -> None:
        if self._draws:
            self._show(self._view.asked(asked, self._asker.breakers()))

    def _command(self, text: str) -> Asked | None:
        name, _, rest = text.partition(" ")
        if name not in COMMANDS:
            near = get_close_matches(name, COMMANDS, 1)
            raise ConfigError(
                name,
                f"is no command; {f'did you mean {near[0]}?' if near else '/help lists them'}",
                source="the prompt",
            )
        run: Callable[[str], Asked | None] = getattr(self, "_" + name[1:].replace("-", "_"))
        return run(rest.strip())

    def _again(self, _: str) -> Asked:
        if self._cancelled is not None:  # there is nothing to compare with
            asked = self._ask(self._cancelled)
            self._draw(asked)
            return asked
        before = self._last()
        after = self._ask(before.question)
        self._draw(after)
        self._differ(before, after, ("before", "again"))
        return after

    def _differ(self, before: Asked, after: Asked, names: tuple[str, str]) -> None:
        """What differs between two answers; one that failed is none."""
        failed = next((name for name, asked in zip(names, (before, after), strict=True) if asked.answer.error), None)
        if failed is not None:
            self._show([Line(f"{failed} failed: nothing to compare", "yellow")])
            return
        self.differs = difference(before, after)
        self._show(self._view.difference(self.differs, *names))

    def _no_cache(self, _: str) -> None:
        self._without_cache = {} if self._without_cache else self.target.without_cache("/no-cache")
        said = ", ".join(f"{key}={value}" for key, value in self._without_cache.items())
        self._show([Line(f"the cache is passed by ({said})" if said else "the cache is used")])

    def _set(self, text: str) -> None:
        if text:
            name, value = self._assign(text, "/set")
            self.options |= self.target.checked({name: value}, "/set")
        said = ", ".join(f"{key}={json.dumps(value)}" for key, value in self.options.items())
        self._show([Line(said or "nothing is set: /set top_k=10")])

    def _unset(self, name: str) -> None:
        if name not in self.options:
            raise ConfigError(
                name or "/unset", f"is not set; set are {', '.join(self.options) or 'none'}", source="/unset"
            )
        del self.options[name]
        self._set("")

    def _docs(self, text: str) -> None:
        asked = self._last()
        if not text:
            self._show(self._view.documents(asked) if asked.documents else [Line("it has no documents")])
            return
        for place in self._ranks(asked, text, "/docs"):
            self._show(self._view.whole(asked.documents[place - 1]))

    def _relevant(self, text: str) -> None:
        asked = self._last()
        ranks = self._ranks(asked, text, "/relevant")
        ids = [identity for rank in ranks if (identity := asked.documents[rank - 1].id) is not None]
        if not ids:
            raise ConfigError(text or "/relevant", "names no document that has an id", source="/relevant")
        judgements.relevant(asked, ids, self._golden)
        self._show([Line(f"{self._golden}: {', '.join(ids)} answer {asked.question!r}")])

    def _bad(self, _: str) -> None:
        asked = self._last()
        judgements.bad(asked, self._golden)
        self._show([Line(f"{self._golden}: {asked.question!r} is answered wrong")])

    def _compare(self, name: str) -> Asked:
        before = self._last()
        if not name:
            raise ConfigError("/compare", "wants another target: pkg.mod:function, http://…, demo", source="the prompt")
        if name not in self._others:
            self._others[name] = self._open_other(name)
        other = self._others[name]
        known = {key: value for key, value in self.options.items() if _takes(other, key)}
        if self._without_cache:
            with suppress(ConfigError):  # it has no cache, or none that can be passed by
                known |= other.without_cache()
        after = self._put(other, before.question, known)
        self._draw(after)
        self.compared.append(after)
        self._differ(before, after, (before.target, after.target))
        return after

    def _export(self, name: str) -> None:
        if not self.asked:
            raise ConfigError("/export", "there is nothing yet: ask something", source="the prompt")
        path = Path(name or EXPORT).expanduser()
        lines = [
            json.dumps(
                {**asked.to_dict(), "record": asked.record and asked.record.to_dict()}, ensure_ascii=False, default=str
            )
            for asked in (*self.asked, *self.compared)
        ]
        try:
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except OSError as error:
            raise RagwatchError(f"{path} cannot be written: {error.strerror}") from None
        self._show([Line(f"{path}: {len(lines)} questions and answers")])

    def _help(self, _: str) -> None:
        wide = max(len(f"{name} {command.takes}") for name, command in COMMANDS.items())
        self._show(Line(f"  {f'{name} {command.takes}':<{wide}}  {command.does}") for name, command in COMMANDS.items())

    def _quit(self, _: str) -> None:
        raise Leave

    def _last(self) -> Asked:
        if self._cancelled is not None:
            raise ConfigError(repr(self._cancelled), "was cancelled: /again asks it again", source="the prompt")
        if not self.asked:
            raise ConfigError("the last question", "is not there yet: ask something first", source="the prompt")
        return self.asked[-1]

    def _ranks(self, asked: Asked, text: str, source: str) -> list[int]:
        count = len(asked.documents)
        ranks = []
        for part in text.replace(",", " ").split():
            if not part.isdigit() or not 1 <= int(part) <= count:
                has = f"the answer has {count} documents" if count else "the answer has no documents"
                raise ConfigError(part, f"is no rank: {has}", source=source)
            if int(part) not in ranks:
                ranks.append(int(part))
        if not ranks:
            raise ConfigError(source, f"wants ranks, as {source} 1 3", source="the prompt")
        return ranks


def _takes(target: Target, name: str) -> bool:
    try:
        target.checked({name: None})
    except ConfigError:
        return False
    return True
