"""Identifiers."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from hub.ids import new_id, read_id, show_id


def test_ids_increase() -> None:
    """Ids made by one process sort in the order in which they were made."""
    made = [new_id() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {one.version for one in made} == {7}


def test_the_published_example_of_typeid() -> None:
    """The outside form is TypeID's (https://github.com/jetify-com/typeid, spec/valid.json)."""
    example = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    assert show_id("prefix", example) == "prefix_01h455vb4pex5vsknk084sn02q"


@given(st.uuids())
def test_what_is_shown_can_be_read(value: UUID) -> None:
    """Reading undoes showing."""
    assert read_id("msg", show_id("msg", value)) == value


@given(st.text())
def test_what_is_no_id_reads_as_none(text: str) -> None:
    """Anything else is no id, and no error."""
    assert read_id("msg", text) is None
    assert read_id("msg", f"msg_{text}") is None or len(text) == 26
