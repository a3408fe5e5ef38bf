"""Phone numbers in one form, so that ``+86 138…`` and ``138…`` are one address."""

import re
import unicodedata

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from hub.text import single_line

__all__ = ["e164", "is_e164", "is_region"]

_E164 = re.compile(r"\+[1-9][0-9]{4,14}")
_LONGEST = 64


def is_region(code: str) -> bool:
    """Whether *code* is a country whose numbers are known ("CN", "GB")."""
    return code in phonenumbers.SUPPORTED_REGIONS


def is_e164(number: str) -> bool:
    """Whether *number* is written in full: a plus, the country, the rest, and nothing else."""
    return _E164.fullmatch(number) is not None


def e164(text: str, region: str | None = None) -> str:
    """The number in *text* in E.164 ("+8613800138000"), whatever signs and widths it is written with.

    *region* ("CN") says which country numbers without a country code are of; with None they already
    begin with one. What is no number of a person (a short code, a sender's name) stays as it is, on
    one line and at most 64 characters long.
    """
    plain = unicodedata.normalize("NFKC", single_line(text, _LONGEST)).strip()
    asked = plain if region or plain.startswith("+") else f"+{plain}"
    try:
        number = phonenumbers.parse(asked, region)
    except NumberParseException:
        return plain
    if number.extension or not phonenumbers.is_possible_number(number):
        return plain
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)
