"""Why a batch failed, followed in a real browser from the list to the line of the input file, on a server that really
executes batches with a model that really refuses some."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.servers.test_browser import PATIENCE, Product, Shot, product, shot, sync_often, window
from tests.servers.vendors import Line, Vendor, questions

__all__ = ["product", "shot", "window"]
pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.timeout(400)]


def mixed(count: int, failing: int) -> list[Line]:
    """So many questions, of which the last ones go to the model that refuses all."""
    calm, refused = questions(count), questions(count, "failing/gpt-4o")
    return [*calm[: count - failing], *refused[count - failing :]]


@pytest.mark.parametrize(
    ("name", "count", "failing", "words", "state"),
    [
        ("three of ten", 40, 12, "Partial, 28 of 40", "partial"),
        ("every one", 20, 20, "All failed", "failed"),
    ],
)
def test_a_failure_is_followed_from_the_list_to_the_line_of_the_input_file(
    queueing_ogx: Vendor, product: Product, window: Page, shot: Shot, *, name: str, count: int, failing: int,
    words: str, state: str,
) -> None:  # fmt: skip
    sync_often(product)
    made = queueing_ogx.make(mixed(count, failing), metadata={"name": name})
    row = window.locator("tbody tr").filter(has_text=name)
    why = row.locator(".l2.err")
    expect(why).to_contain_text(f"×{failing}", timeout=PATIENCE)
    expect(row).to_contain_text(words)
    expect(row.locator(f"[data-state={state}]").first).to_be_visible()
    expect(row.locator("[data-state=succeeded]")).to_have_count(0)
    shot(f"errors-{state}-list")
    said = queueing_ogx.look(made.id)
    assert said.status == "completed"
    assert said.request_counts
    assert (said.request_counts.total, said.request_counts.failed) == (count, failing)

    # Reading the input file for the samples' lines follows by itself.
    row.get_by_role("link", name=name).click()
    group = window.locator(".groups .g")
    expect(group).to_have_count(1)
    first = count - failing + 1
    expect(group.locator("ul.samples")).to_contain_text(f"input line {first}", timeout=PATIENCE)
    shot(f"errors-{state}-batch")
    group.locator(".what > a").click()
    expect(window).to_have_url(re.compile(r"/errors/\d+/$"))
    expect(window.locator(".words")).to_contain_text(f"input line {first}")
    shot(f"errors-{state}-group")
    window.locator("tbody tr").filter(has_text=name).get_by_role("link", name=str(failing), exact=True).click()

    # A request that is no sample: its line is found by its custom_id.
    expect(window).to_have_url(re.compile(r"/requests/\?group=\d+$"))
    expect(window.locator(".reqs tbody tr")).to_have_count(failing)
    shot(f"errors-{state}-requests")
    window.get_by_role("link", name=f"question-{count}", exact=True).click()
    expect(window.locator("h1")).to_have_text(f"question-{count}")
    expect(window.get_by_text("max_tokens")).to_have_count(0)
    window.get_by_role("button", name="Read the input line").click()
    given = window.locator("#line-input")
    expect(given.locator("pre")).to_contain_text(f'"custom_id": "question-{count}"')
    expect(given.locator("pre")).to_contain_text('"model": "failing/gpt-4o"')
    expect(given).to_contain_text(f"line {count} of the input file")
    window.get_by_role("button", name="Read the line").click()
    expect(window.locator("#line-result pre")).to_contain_text("Error code: 400")
    expect(given.locator("pre")).to_contain_text("max_tokens")
    found = Axe().run(window)
    assert found.violations_count == 0, found.generate_report()
    shot(f"errors-{state}-request")
