"""The memo: every function and lesson that a row names is there, and the table shows every row."""

import html
import importlib
import re
from pathlib import Path

import pytest

from tutorlib.theory.memo import KEPT, MEMO
from tutorlib.widgets.memo import HEADS, memo_table

COURSE = Path(__file__).parents[1] / "course"
LOOKS = [look for row in MEMO for look in row.looks]


@pytest.mark.parametrize("function", sorted({look.function for look in LOOKS}))
def test_every_function_named_can_be_imported_and_called(function):
    module, name = f"tutorlib.{function}".rsplit(".", 1)
    assert callable(getattr(importlib.import_module(module), name))


def test_every_lesson_named_is_on_the_map():
    on_map = re.findall(r"^\| (?:\*\*)?(\d\d [a-z ]+?)(?:\*\*)? \|", (COURSE / "map.md").read_text("utf-8"), re.M)
    lessons = {name.replace(" ", "_") for name in on_map}
    assert len(lessons) == 10 and {look.lesson for look in LOOKS} <= lessons


def test_a_lesson_uses_the_module_that_the_memo_sends_its_reader_to_it_for():
    rows = {line[4:6]: line for line in (COURSE / "map.md").read_text("utf-8").splitlines() if line[:4] == "| **"}
    for look in {look for look in LOOKS if (COURSE / f"{look.lesson}.md").exists()}:
        module = look.function.split(".")[-2]
        source = (COURSE / f"{look.lesson}.md").read_text("utf-8") + rows.get(look.lesson[:2], "")
        assert module in source, f"lesson {look.lesson} has nothing of {look.function}"


def test_a_row_has_three_different_looks_claims_of_the_documents_and_a_known_end():
    for row in MEMO:
        assert len(set(row.looks)) == len(row.looks) == 3 and row.kept in KEPT
        assert row.claims and all(re.fullmatch(r"D[0-4]-\d\d", claim) for claim in row.claims)
    assert len({row.symptom for row in MEMO}) == len(MEMO)
    assert {row.kept for row in MEMO} == set(KEPT)


def test_all_of_the_documents_own_memo_is_in_the_table():
    assert {f"D1-{n}" for n in range(40, 45)} <= {claim for row in MEMO for claim in row.claims}


def test_the_table_shows_every_part_of_every_row_to_eyes_and_to_screen_readers():
    bundle = memo_table()._repr_mimebundle_()
    for row in MEMO:
        for part in (row.symptom, row.said, row.cause, row.cure, *row.claims, *(look.function for look in row.looks)):
            assert part in bundle["text/plain"] and html.escape(part) in bundle["text/html"]
    table, folded = bundle["text/html"].split("<details>")
    assert "tutorlib." not in table and all(f"tutorlib.{look.function}" in folded for look in LOOKS)
    assert all(f"{look.what} (lesson {look.lesson[:2]})" in html.unescape(table) for look in LOOKS)
    assert bundle["text/html"].count("<tr") == len(MEMO) + 1
    assert bundle["text/html"].count("<td") == len(MEMO) * len(HEADS)
