"""Answers where only approved templates may be sent: which template says a reply, and with what.

In mainland China no free text goes to a phone: each message is a registered signature, an approved
template and short variables. Sources: https://help.aliyun.com/zh/sms/developer-reference/sendsms,
https://cloud.tencent.com/document/product/382/55981
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import re2
from msgspec import Meta, Struct

from hub.errors import NeedsTemplate, Unsupported
from hub.model import Reply
from hub.text import pattern_mistake
from outbound._sms import plain_reply

__all__ = ["Chosen", "SmsTemplate", "TemplateBook", "as_written", "template_mistakes"]

LONGEST_TEXT = 500
_VARIABLE = re.compile(r"\$?\{(\w{1,40})\}")
_HOLE = re.compile(r"\{(\w{1,40})\}")
_URL = re.compile(r"https?://|www\.|\b[a-z0-9-]+\.(?:com|cn|net|org|top|io)\b", re.IGNORECASE)
_ALWAYS = frozenset({"text", "code"})


class SmsTemplate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[accounts.NAME.templates.TEMPLATE]``: one approved template and what it is for."""

    id: Annotated[str, Meta(description="The platform's id of it: SMS_123456789, or 1234567")]
    text: Annotated[
        str, Meta(description="Its approved text, variables as {name} or {1}, without signature")
    ] = ""
    when: Annotated[
        str | None,
        Meta(description="Regular expression (RE2) of the whole replies that it stands for"),
    ] = None
    params: Annotated[
        dict[str, str],
        Meta(description="Values of its variables: words, {text}, {code} or groups of when"),
    ] = {}
    max_characters: Annotated[
        int, Meta(ge=1, le=LONGEST_TEXT, description="Longest value of a variable")
    ] = 35
    kind: Annotated[
        Literal["notice", "code", "marketing"],
        Meta(description="What it was approved as; quotas differ"),
    ] = "notice"

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of its variables in the order of the text, each once."""
        return tuple(dict.fromkeys(_VARIABLE.findall(self.text)))

    def filled(self, values: Mapping[str, str]) -> str:
        """What the customer reads, without the signature."""
        return _VARIABLE.sub(lambda hole: values.get(hole[1], hole[0]), self.text)

    def says(self, approved: str) -> bool:
        """Whether *approved* is its text; the console may write ``${name}``, which settings cannot."""
        return as_written(approved) == as_written(self.text)


def as_written(approved: str) -> str:
    """An approved text as settings hold it: ``${…}`` there is a variable of the environment."""
    return _VARIABLE.sub(r"{\1}", approved)


def template_mistakes(
    templates: Mapping[str, SmsTemplate], fallback: str | None
) -> Iterator[tuple[str, str]]:
    """What is wrong with templates as settings: (setting, why)."""
    if fallback is not None and fallback not in templates:
        known = ", ".join(templates) or "none"
        yield "fallback_template", f"found {fallback!r}, wants one of templates: {known}"
    for name, template in templates.items():
        key = f"templates.{name}"
        groups: frozenset[str] = frozenset()
        if template.when is not None:
            if why := pattern_mistake(template.when):
                wanted = f"wants an RE2 regular expression: {why}"
                yield f"{key}.when", f"found {template.when!r}, {wanted}"
                continue
            groups = frozenset(re2.compile(template.when).groupindex)
        for param, value in template.params.items():
            if template.text and param not in template.variables:
                yield f"{key}.params.{param}", "is no variable of its text"
            for hole in set(_HOLE.findall(value)) - _ALWAYS - groups:
                yield (
                    f"{key}.params.{param}",
                    f"found {{{hole}}}, wants {{text}}, {{code}} or a group",
                )


class Chosen(NamedTuple):
    """The template that says a reply: *text* is what the customer reads, *note* what was changed."""

    template: SmsTemplate
    values: Mapping[str, str]
    text: str
    notes: tuple[str, ...]


class _No(Exception):
    """Why a template does not say the reply."""


class TemplateBook:
    """The templates of an account. *sign* stands before each text, as the customer sees it."""

    def __init__(
        self, templates: Mapping[str, SmsTemplate], fallback: str | None, sign: str
    ) -> None:
        self._templates = templates
        self._fallback = fallback
        self._sign = sign

    def choose(self, reply: Reply) -> Chosen:
        """The template that says *reply*: the one asked for, else one that fits, else the fallback.

        Raises:
            NeedsTemplate: none does, with what was tried.
            Unsupported: there is nothing to say.
        """
        if reply.template is not None:
            return self._asked_for(reply)
        said = plain_reply(reply)
        tried: list[str] = []
        # An agent who writes the very words of a template means that one.
        for values_for in (_read_back, _values_for):
            for name, template in self._templates.items():
                try:
                    values = values_for(template, said.text, reply)
                    if values is not None:
                        notes = (*said.notes, f"said by the template {name}")
                        return self._checked(name, template, values, notes)
                except _No as reason:
                    tried.append(f"{name}: {reason}")
        if self._fallback is not None:
            return self._fall_back(self._fallback, reply, tried)
        told = "; ".join(tried) or "no template of the account fits the text"
        raise NeedsTemplate(told)

    def _asked_for(self, reply: Reply) -> Chosen:
        asked = reply.template
        assert asked is not None  # noqa: S101
        found = {**{one.id: (name, one) for name, one in self._templates.items()}}
        found |= {name: (name, one) for name, one in self._templates.items()}
        name, template = found.get(asked.id, (asked.id, SmsTemplate(id=asked.id)))
        given = {str(key): _text_of(value) for key, value in asked.params.items()}
        values = {**_static(template), **given}
        notes = ("text left out: the template stands for it",) if reply.text else ()
        try:
            return self._checked(name, template, values, notes)
        except _No as reason:
            raise NeedsTemplate(f"{name}: {reason}") from reason

    def _fall_back(self, name: str, reply: Reply, tried: list[str]) -> Chosen:
        template = self._templates[name]
        values = _filled(template, reply, "", {})
        note = f"the text did not go out: the template {name} points to where it can be read"
        try:
            return self._checked(name, template, values, (*tried, note))
        except _No as reason:
            raise NeedsTemplate("; ".join([*tried, f"{name}: {reason}"])) from reason

    def _checked(
        self,
        name: str,
        template: SmsTemplate,
        values: Mapping[str, str],
        notes: tuple[str, ...],
    ) -> Chosen:
        """Raises _No for what the platform would refuse."""
        if template.text:
            missing = [one for one in template.variables if one not in values]
            strange = sorted(values.keys() - set(template.variables))
            if missing:
                raise _No(f"no value for {', '.join(missing)}")
            if strange:
                raise _No(f"it has no variable {', '.join(strange)}")
        for key, value in values.items():
            _check_value(key, value, template.max_characters)
        text = (
            f"【{self._sign}】{template.filled(values)}" if template.text else f"[template] {name}"
        )
        if len(text) > LONGEST_TEXT:
            raise _No(f"{len(text)} characters in all, at most {LONGEST_TEXT}")
        return Chosen(template, values, text, notes)


def _check_value(name: str, value: str, most: int) -> None:
    if not value.strip():
        raise _No(f"{name} is empty")
    if len(value) > most:
        raise _No(f"{name} has {len(value)} characters, at most {most}")
    if _URL.search(value):
        raise _No(f"{name} has an address in it, which platforms refuse in variables")


def _values_for(template: SmsTemplate, text: str, reply: Reply) -> Mapping[str, str] | None:
    """The values with which *template* stands for the whole of *text*; None: it does not."""
    if template.when is not None:
        found = re2.fullmatch(template.when, text)
        return None if found is None else _filled(template, reply, text, found.groupdict())
    if any("{text}" in value for value in template.params.values()):
        return _filled(template, reply, text, {})
    return None


def _filled(
    template: SmsTemplate, reply: Reply, text: str, groups: Mapping[str, str | None]
) -> Mapping[str, str]:
    """The values that the settings give its variables; what is filled in is not looked at again."""
    known = {**groups, "text": text, "code": _code(reply)}
    return {
        key: _HOLE.sub(lambda hole: known.get(hole[1]) or "", value)
        for key, value in template.params.items()
    }


def _read_back(template: SmsTemplate, text: str, reply: Reply) -> Mapping[str, str] | None:
    """The values in *text*, which somebody wrote in the very words of the template."""
    if not template.text or any("{code}" in value for value in template.params.values()):
        return None
    pattern, end, names = "", 0, []
    for hole in _VARIABLE.finditer(template.text):
        pattern += re2.escape(template.text[end : hole.start()]) + "(.+?)"
        names.append(hole[1])
        end = hole.end()
    found = re2.fullmatch(f"(?s){pattern}{re2.escape(template.text[end:])}", text.strip())
    return None if found is None else dict(zip(names, found.groups(), strict=True))


def _static(template: SmsTemplate) -> Mapping[str, str]:
    return {key: value for key, value in template.params.items() if not _HOLE.search(value)}


def _code(reply: Reply) -> str:
    """Under what the agent finds the message: the end of its id."""
    return (reply.message_id or "000000")[-6:].upper()


def _text_of(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise Unsupported("the parameters of a template are texts or numbers")
