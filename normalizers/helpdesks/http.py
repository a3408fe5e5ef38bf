"""What the callbacks and the API of a helpdesk say that is known by settings only."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote, urljoin, urlsplit

from msgspec import Meta, Struct

from hub.destination import Heard, HeardFile, Seen, State
from hub.text import at_path
from normalizers.helpdesks._html import agent_text

__all__ = [
    "Entry",
    "Files",
    "Source",
    "Standing",
    "entry_mistakes",
    "heard_of",
    "items_at",
    "standing_of",
]

MOST_ITEMS = 1000
_LARGEST = 2**63 - 1
_PLACE = re.compile(r"(?:(query|header|body):)?[^:\s]+(?: [^:\s]+)*")


class Files(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a message names its files."""

    items: Annotated[str, Meta(description="Where the list of files is")]
    url: Annotated[str, Meta(description="Where a file says its URL")]
    name: Annotated[str | None, Meta(description="Where it says its name")] = None
    mime_type: Annotated[str | None, Meta(description="Where it says its type")] = None


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one message of a ticket says what; only what fits ``reply_when`` is for the customer."""

    id: Annotated[str, Meta(description="Its id, unique in the helpdesk")]
    order: Annotated[
        str | None,
        Meta(description="A number or an ISO time that it is ordered by; without it the id"),
    ] = None
    text: Annotated[str | None, Meta(description="What was said, as text")] = None
    html: Annotated[str | None, Meta(description="Or as HTML")] = None
    author: Annotated[str | None, Meta(description="Who said it")] = None
    files: Annotated[Files | None, Meta(description="Its files: items, url, name, mime_type")] = (
        None
    )
    reply_when: Annotated[
        dict[str, tuple[str, ...]],
        Meta(
            description="For the customer is what says one of these values at each of these places"
        ),
    ]
    note_when: Annotated[
        dict[str, tuple[str, ...]],
        Meta(description="A note is what says one of these at any place"),
    ] = {}
    echo_when: Annotated[
        dict[str, tuple[str, ...]],
        Meta(description="The hub's or the customer's own: one of these at any place; {…} filled"),
    ] = {}


class Standing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a ticket's state and its assignee are told."""

    state: Annotated[str | None, Meta(description="Where the state is")] = None
    states: Annotated[dict[str, State], Meta(description="What each of its states means")] = {}
    assignee: Annotated[str | None, Meta(description="Where the assignee's id is")] = None
    nobody: Annotated[tuple[str, ...], Meta(description="What stands there for nobody")] = (
        "",
        "0",
    )


class Source(Struct, frozen=True):
    """A message, with the whole answer or callback that it stands in."""

    item: Any
    body: Any
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}

    def at(self, place: str | None) -> Any:
        """What stands at *place*: a path in the item, ``body:path``, ``query:name``, ``header:name``."""
        if place is None:
            return None
        where, _, name = place.partition(":") if ":" in place else ("", "", place)
        if where == "query":
            return self.query.get(name)
        if where == "header":
            return self.headers.get(name.lower())
        return at_path(self.body if where == "body" else self.item, name)

    def text(self, place: str | None) -> str:
        """The same as text: true, 17, abc; nothing for what has no such form."""
        return _plain(self.at(place))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else ""


def items_at(body: Any, path: str | None) -> list[Any]:
    """The messages in *body*: the list at *path*, the whole body when it is one, or the body itself.

    Raises:
        ValueError: there is no list at *path*, or too much in it.
    """
    found = at_path(body, path) if path else body
    if path and not isinstance(found, list):
        raise ValueError(f"there is no list at {path}")
    items = found if isinstance(found, list) else [found]
    if len(items) > MOST_ITEMS:
        raise ValueError(f"{len(items)} messages, at most {MOST_ITEMS}")
    return items


def heard_of(
    entry: Entry,
    source: Source,
    *,
    base_url: str,
    values: Mapping[str, str],
    at: datetime | None = None,
) -> Heard | None:
    """One message; None: it has no id, and so cannot be told from another.

    *values* fill the holes of ``echo_when``; *at* is when it came, where nothing else orders it.
    """
    ref = source.text(entry.id)
    if not ref or len(ref) > 200:
        return None
    kind, reason = _kind(entry, source, values)
    text = _text(entry, source)
    files = _files(entry.files, source, base_url)
    if kind == "reply" and not text and not files:
        kind, reason = "ignored", "it says nothing"
    return Heard(
        ref=ref,
        order=_order(source, entry, ref, at),
        kind=kind,  # type: ignore[arg-type]
        text=text,
        files=files,
        author=source.text(entry.author) or None,
        reason=reason,
    )


def _text(entry: Entry, source: Source) -> str:
    if (html := source.text(entry.html)) and entry.html:
        return agent_text(html)
    return source.text(entry.text).replace("\r\n", "\n").strip()


def _kind(entry: Entry, source: Source, values: Mapping[str, str]) -> tuple[str, str | None]:
    """Only what fits every one of ``reply_when`` and none of the others is a reply."""
    for place, wanted in entry.echo_when.items():
        filled = {_filled(one, values) for one in wanted} - {""}
        if source.text(place) in filled:
            return "echo", f"{place} is the customer's or the hub's own"
    for place, wanted in entry.note_when.items():
        if source.text(place) in wanted:
            return "note", f"{place} says that it is a note"
    for place, wanted in entry.reply_when.items():
        if (said := source.text(place)) not in wanted:
            return "ignored", f"{place} says {said[:40]!r}, which is not for the customer"
    return "reply", None


def _filled(text: str, values: Mapping[str, str]) -> str:
    if text.startswith("{") and text.endswith("}"):
        return values.get(text[1:-1], "")
    return text


def _order(source: Source, entry: Entry, ref: str, at: datetime | None) -> int:
    for text in (source.text(entry.order), ref):
        if (found := _number(text)) is not None:
            return found
    return int(at.timestamp() * 1000) if at else 0


def _number(text: str) -> int | None:
    """A whole number, or a time as milliseconds; None: neither."""
    if re.fullmatch(r"[0-9]{1,19}", text):
        return int(text) if int(text) <= _LARGEST else None
    if len(text) < 10:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def _files(places: Files | None, source: Source, base_url: str) -> tuple[HeardFile, ...]:
    if places is None:
        return ()
    found = source.at(places.items)
    listed: Sequence[Any] = found if isinstance(found, list) else ()
    made = []
    for number, one in enumerate(listed, 1):
        if url := _plain(at_path(one, places.url)):
            name = _plain(at_path(one, places.name)) if places.name else ""
            name = name or unquote(urlsplit(url).path.rpartition("/")[2]) or f"file-{number}"
            mime_type = _plain(at_path(one, places.mime_type)) if places.mime_type else ""
            whole = urljoin(f"{base_url.rstrip('/')}/", url)
            made.append(HeardFile(url=whole, filename=name, mime_type=mime_type or None))
    return tuple(made)


def standing_of(standing: Standing, source: Source, ticket: str) -> Seen:
    """How a ticket stands; what is not told, or means nothing here, stays as it was."""
    assignee = source.at(standing.assignee)
    knows = standing.assignee is not None and _is_told(source, standing.assignee)
    who = _plain(assignee)
    return Seen(
        ticket=ticket,
        state=standing.states.get(source.text(standing.state)),
        assignee=None if who in standing.nobody or not who else who,
        knows_assignee=knows,
    )


def _is_told(source: Source, place: str) -> bool:
    """Whether the field is there at all, be it null: an answer without it says nothing of it."""
    if place.startswith(("query:", "header:")):
        return source.at(place) is not None
    root = source.body if place.startswith("body:") else source.item
    parent, _, last = place.removeprefix("body:").rpartition(".")
    holder = at_path(root, parent) if parent else root
    return isinstance(holder, dict) and last in holder


def entry_mistakes(entry: Entry, known: frozenset[str]) -> Iterator[tuple[str, str]]:
    """What cannot work: (setting, why)."""
    if not entry.reply_when:
        yield "reply_when", "is empty, and would send every note to the customer"
    if entry.text is None and entry.html is None:
        yield "text", "is missing; wants where a message says its text (or html)"
    for wanted in entry.echo_when.values():
        for one in wanted:
            if one.startswith("{") and one.endswith("}") and one[1:-1] not in known:
                yield "echo_when", f"found {one}, wants one of {', '.join(sorted(known))}"
    for rules in (entry.reply_when, entry.note_when, entry.echo_when):
        for place in rules:
            if ":" in place and not _PLACE.fullmatch(place):
                yield "reply_when", f"found {place!r}, wants a path, query:…, header:… or body:…"
