"""The page in a real browser without a network: counts, keys, clicks, themes, and what is left without a script."""

from __future__ import annotations

import pytest

from kart_runtime.history.run_header import RunInfo
from kart_runtime.report import write_report
from tests.runtime.report.browser import CHROMIUM, Browser
from tests.runtime.report.made_runs import MadeRun, id_of, layered

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which scripts/test installs")


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Reports by the number of their tasks, made once."""
    made = {}

    def report(tasks):
        if tasks not in made:
            folder = tmp_path_factory.mktemp("runs")
            made[tasks] = write_report(str(folder), layered(tasks).write(str(folder), "failed"), folder / "report.html")
        return made[tasks]

    return report


def count(browser, selector):
    return browser.ask(f"document.querySelectorAll({selector!r}).length")


def focused(browser):
    return browser.ask("document.activeElement.id")


@pytest.mark.parametrize(("tasks", "leaves"), [(10, 10), (100, 6), (1_000, 6)])
def test_the_first_view_has_few_boxes_and_the_table_its_first_rows(browser, reports, tasks, leaves):
    browser.open(reports(tasks))
    assert count(browser, ".box:not(.group)") == leaves
    assert count(browser, "#task-rows tr") == min(tasks, 200)
    assert browser.ask("document.getElementById('count').textContent") == f"{tasks:,} of {tasks:,} tasks"
    assert browser.ask("document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.messages == []


@pytest.mark.slow
def test_twenty_thousand_tasks(browser, reports):
    browser.open(reports(20_000))
    assert count(browser, ".box") < 60
    browser.click("#filters button:nth-child(2)")  # failed
    browser.wait("!document.getElementById('count').textContent.startsWith('20,000')")
    failed = int(browser.ask("document.getElementById('count').textContent").split()[0])
    assert failed == count(browser, "#task-rows tr") > 50
    browser.click("#clear")
    browser.click("#box-c0")
    assert 20 <= count(browser, ".box.task") <= 210
    assert browser.ask("[...document.querySelectorAll('.box.more text')].at(0).textContent").endswith(" more")
    assert browser.messages == []


def test_boxes_open_and_close_by_mouse_and_keys(browser, reports):
    browser.open(reports(100))
    assert browser.ask("document.getElementById('box-c0').getAttribute('aria-expanded')") == "false"
    browser.click("#box-c0")
    assert browser.ask("document.getElementById('box-c0').getAttribute('aria-expanded')") == "true"
    assert browser.ask("document.getElementById('live').textContent") == "LoadShard opened"
    assert count(browser, ".box.task") > 15
    assert focused(browser) == "box-c0"
    browser.press("ArrowDown")
    assert focused(browser).startswith("box-t")
    browser.press("Escape")
    assert count(browser, ".box.task") == 1
    browser.wait("location.hash.includes('open=')")
    before = browser.ask("document.getElementById('graph-layer').getAttribute('transform')")
    browser.press("+")
    assert browser.ask("document.getElementById('graph-layer').getAttribute('transform')") != before
    browser.press("0")
    assert browser.ask("document.getElementById('graph-layer').getAttribute('transform')") == before
    assert browser.messages == []


def test_one_tab_leads_into_the_graph_and_enter_to_a_task(browser, reports):
    browser.open(reports(10))
    browser.ask("document.getElementById('zoom-fit').focus()")
    browser.press("Tab")
    assert focused(browser).startswith("box-")
    assert count(browser, ".box[tabindex='0']") == 1
    while browser.ask("document.activeElement.getAttribute('aria-expanded')"):  # a group
        browser.press("ArrowDown")
    box = focused(browser)
    browser.press("Enter")
    browser.wait("!document.getElementById('panel').hidden")
    assert focused(browser) == "panel-title"
    assert "max_depth" in browser.ask("document.getElementById('panel-body').textContent")
    browser.press("Escape")
    assert browser.ask("document.getElementById('panel').hidden")
    assert focused(browser) == box


def test_search_narrows_everything_and_tells_how_many_are_left(browser, reports):
    browser.open(reports(100))
    browser.ask("document.getElementById('search').focus()")
    browser.press(*"fold=7")
    browser.wait("document.getElementById('live').textContent === '1 of 100 tasks'")
    assert count(browser, "#task-rows tr") == count(browser, ".box.task") == 1
    browser.press("x")
    browser.wait("document.getElementById('live').textContent === '0 of 100 tasks'")
    assert count(browser, "#task-rows tr") == count(browser, ".box") == 0
    browser.click("#clear")
    assert count(browser, "#task-rows tr") == 100
    assert browser.messages == []


def test_the_address_brings_back_what_was_chosen(browser, reports):
    browser.open(reports(100), "#q=train&theme=dark&sort=-seconds")
    assert browser.ask("document.documentElement.dataset.theme") == "dark"
    assert browser.ask("document.getElementById('search').value") == "train"
    assert browser.ask("document.getElementById('head-seconds').getAttribute('aria-sort')") == "descending"
    task = browser.ask("document.querySelector('#task-rows button').textContent")
    browser.click("#task-rows button")
    browser.wait("location.hash.includes('task=')")
    assert browser.ask("document.getElementById('panel-title').textContent") == task


def test_rows_are_sorted_and_drawn_in_parts(browser, reports):
    browser.open(reports(1_000))
    browser.click("#head-seconds button")
    times = browser.ask(
        "[...document.querySelectorAll('#task-rows tr td:nth-child(4)')].map((cell) => cell.textContent)"
    )
    assert float(times[0].split()[0]) > float(times[150].split()[0])
    browser.click("#more-rows")
    assert count(browser, "#task-rows tr") == 400


@pytest.mark.parametrize("dark", [False, True])
def test_colors_follow_the_system_until_the_button_is_pressed(browser, reports, dark):
    background = "getComputedStyle(document.body).backgroundColor"
    browser.open(reports(10), dark=dark)
    before = browser.ask(background)
    assert (before == "rgb(255, 255, 255)") != dark
    browser.click("#theme")
    assert (browser.ask(background) == "rgb(255, 255, 255)") == dark
    browser.wait(f"location.hash === '#theme={'light' if dark else 'dark'}'")


def test_a_narrow_screen_needs_no_scrolling_sideways(browser, reports):
    browser.open(reports(100), width=400)
    assert browser.ask("document.documentElement.scrollWidth") <= 400
    browser.click("#task-rows button")
    browser.wait("!document.getElementById('panel').hidden")
    assert browser.ask("document.getElementById('panel').getBoundingClientRect().width") <= 400


def test_without_a_script_there_are_pictures_and_tables(browser, reports):
    browser.open(reports(100), script=False)
    assert count(browser, "svg.graph .box") == 6
    assert count(browser, "svg.timeline .bar") > 5
    assert count(browser, "#classes tbody tr") == 6
    shown = browser.ask(
        "[...document.querySelectorAll('button, input, #tasks')].filter((each) => each.checkVisibility()).length"
    )
    assert shown == 0


def test_names_of_any_kind_do_no_harm(browser, tmp_path):
    bad = ["</script><img src=x onerror=alert(1)>", "\"a\" & 'b'", "\u202egnp.exe", "two\nlines", "x" * 10_000]
    run = MadeRun(info=RunInfo(label=bad[0]))
    for text in bad:
        run.add("m", "Task", unique_id=id_of(text), params={"value": text}, error=text, state="failed", reason=text)
    browser.open(write_report(str(tmp_path), run.write(str(tmp_path), "failed"), tmp_path / "report.html"))
    assert browser.messages == []
    assert count(browser, "img") == 0
    for number, text in enumerate(bad):
        browser.click(f"#task-rows tr:nth-child({number + 1}) button")
        browser.wait("!document.getElementById('panel').hidden")
        shown = browser.ask("document.getElementById('panel-body').textContent")
        assert text.replace("\u202e", "\ufffd") in shown
        browser.press("Escape")
    assert browser.ask("document.documentElement.scrollWidth <= window.innerWidth")


def test_previews_series_and_the_scatter_of_a_sweep(browser, tmp_path):
    sweep = {"keys": ["t.Train.depth"], "variants": [["2"], ["4"]], "roots": [[id_of("a")], [id_of("b")]]}
    run = MadeRun(info=RunInfo(sweep=sweep))
    for name, auc in (("a", 0.7), ("b", 0.9)):
        (tmp_path / f"{name}.csv").write_text("patient,score\n1,0.5\n")
        outputs = [(str(tmp_path / f"{name}.csv"), 20, "xxh3_128:00", "")]
        run.add("m", "Train", unique_id=id_of(name), metrics={"auc": auc}, series=["loss"], outputs=outputs)
        (tmp_path / "log" / "series").mkdir(parents=True, exist_ok=True)
        lines = "".join(f'["loss", {step}, {1 / (step + 1)}, 0.1]\n' for step in range(500))
        (tmp_path / "log" / "series" / f"Train_{id_of(name)}.jsonl").write_text(lines)
    browser.open(write_report(str(tmp_path), run.write(str(tmp_path)), tmp_path / "report.html"))
    assert count(browser, "#scatter .dot") == 2
    browser.click("#task-rows button")
    browser.wait("!document.getElementById('panel').hidden")
    assert count(browser, "#panel .line") == 1
    assert "patientscore10.5" in browser.ask("document.querySelector('#panel table').textContent")
    assert browser.messages == []
