"""How numbers, names and the request bar are written."""

from django.template import Context, Template
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from dashboard.templatetags import batches as tags


def test_numbers_are_grouped_and_what_is_not_known_is_no_number() -> None:
    assert tags.number(None) == ""
    assert tags.number(1_204_331) == "1,204,331"


def test_a_name_shortens_in_the_middle_and_is_escaped() -> None:
    assert tags.mid("nightly-eval-2026-11-21") == "<span>nightly-eval-2</span><span>026-11-21</span>"
    assert tags.mid("short") == "<span>short</span>"
    assert "<script" not in tags.mid("<script>alert(1)</script>")


def test_an_id_is_shown_by_its_end() -> None:
    assert tags.short_id("batch_6920a4c1e5d27") == "4c1e5d27"
    assert tags.short_id("b-1") == "b-1"


def test_a_label_of_the_bar_is_escaped() -> None:
    assert '"><b>' not in tags.draw_bar(1, 1, 0, label='"><b>')


def test_an_unknown_total_is_hatched_and_has_no_share() -> None:
    drawn = tags.draw_bar(0, 0, 0, live=True)
    assert 'class="lost"' in drawn
    assert 'class="done"' not in drawn
    assert 'class="rest"' not in drawn


@given(
    total=st.integers(1, 10**9),
    done=st.integers(0, 10**9),
    failed=st.integers(0, 10**9),
    lost=st.integers(0, 10**9),
    live=st.booleans(),
)
def test_the_parts_of_a_bar_fit_into_it(total: int, done: int, failed: int, lost: int, live: bool) -> None:  # noqa: FBT001
    full, fail, miss = tags.parts(total, done, failed, lost, live=live)
    assert full >= 0
    assert fail >= 0
    assert miss >= 0
    assert full + fail + miss <= 100.000001
    if failed:
        assert fail >= 1.4, "a failure is never too thin to be seen"
    if live and done < total:
        assert full < 100, "what runs never looks done"


def test_what_is_fixed_is_drawn_once_for_each_language_and_shows_nothing_of_a_page() -> None:
    page = Template("{% load i18n %}{% fixed %}{% translate 'Close' %}<{{ secret }}>{% endfixed %}{{ secret }}")
    assert page.render(Context({"secret": "one"})) == "Close<>one"
    (fixed,) = (node for node in page.nodelist if isinstance(node, tags.Fixed))
    fixed.pieces.clear()
    assert page.render(Context({"secret": "two"})) == "Close<>two"
    with translation.override("de"):
        assert page.render(Context({"secret": "three"})) == "three"


def test_a_chip_is_escaped_and_says_whether_there_are_more() -> None:
    drawn = tags.chip("failed", "<Failed>", "failed", 1200, "?q=&status=failed", "failed", more=True)
    assert "&lt;Failed&gt; <b>1,200+</b>" in drawn
    assert 'href="?q=&amp;status=failed" aria-current="true"' in drawn
    assert "aria-current" not in tags.chip("", "All", "", 3, "?", "failed", more=False)
