"""The page in a browser, on a cache that another process uses at that moment."""

import json
import re

import pytest
from command_line import Sockets
from dashboard_server import TOKEN, Serving
from helpers import wait_until
from other_process import Other
from playwright.sync_api import expect

#: Names that would run, were they ever taken as markup.
NASTY = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "\"'><svg onload=alert(1)>",
    "</title></pre></table><iframe src=javascript:alert(1)>",
    "tab\there\x07\u202eturned",
]
LOAD = """
import threading, time

@cacheable(namespace="product", deps=lambda n: [f"shop:{n % 3}:product:{n}", "currency:eur"])
def product(n):
    return {"number": n, "name": "<b>bold</b>"}

@cacheable(namespace="kept", deps=["shop:9:kept:1"], stale_if_error=("1h", "any"))
def kept():
    return {"kept": True}

kept()
for n in range(60):
    set(f"many {n}", n, deps=[f"many:{n}"])
for text in NASTY:
    set(text, {text: text}, deps=["nasty:key"])

def nasty():
    return 1

nasty.__qualname__ = nasty.__name__ = "<img src=x onerror=alert(2)>"
try:
    nasty = cacheable(namespace="nasty", deps=["nasty:function"])(nasty)
except Exception:
    nasty = lambda: None

def go_on():
    turn = 0
    while True:
        turn += 1
        product(turn % 40)
        nasty()
        if turn % 50 == 0:
            invalidate(f"shop:{turn % 3}:product:{turn % 40}")
        time.sleep(0.002)

threading.Thread(target=go_on, daemon=True).start()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def other(folder):
    """The process whose cache is shown."""
    with Sockets(), Other(folder, "control=True") as other:
        other.run(f"NASTY = {NASTY!r}")
        other.run(LOAD)
        yield other


@pytest.fixture(scope="module")
def acting(other, folder):
    with Serving("--lmdb", folder, ZOOCACHE_TOKEN=TOKEN) as serving:
        yield serving.url


@pytest.fixture(scope="module")
def reading(other, folder):
    with Serving("--lmdb", folder) as serving:
        yield serving.url


def tag(page, name):
    return page.locator(f'[data-tag="{name}"]')


def choose(page, key):
    """Look for an entry, and open it."""
    page.fill("#prefix", key)
    button = page.locator("#entries button.key").first
    expect(button).to_have_attribute("data-key", key)
    button.click()


def value(page, name):
    return page.locator(f'[data-value="{name}"]')


def test_the_numbers_move(open_page, reading):
    page = open_page(reading)
    expect(page.locator("#live")).to_have_text("live")
    expect(value(page, "hits")).to_have_text(re.compile("^[1-9]"))
    expect(value(page, "hit_ratio")).to_have_text(re.compile("^[1-9][0-9.]* %$"))
    expect(value(page, "invalidations")).not_to_have_text("0")
    drawn = page.locator("path.line").first.get_attribute("d")
    expect(page.locator("path.line").first).not_to_have_attribute("d", drawn)
    functions = page.locator("#functions tbody tr")
    expect(functions.filter(has_text="__main__.product")).to_have_count(1)
    expect(page.locator("#nodes tbody tr").filter(has_text="this page")).to_have_count(1)
    expect(page.locator("#log li").first).to_contain_text("product")
    first = page.locator("#log li .tags button").first.get_attribute("data-focus")
    wait_until(lambda: page.locator("#log li .tags button").first.get_attribute("data-focus") != first)


def test_the_pointer_and_the_keyboard_read_past_values(open_page, reading):
    page = open_page(reading)
    expect(page.locator("path.line").first).to_be_attached()
    chart = page.locator("svg.chart").nth(1)
    chart.hover()
    expect(page.locator(".card .time").nth(1)).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    expect(page.locator("line.pointer")).to_have_count(4)
    page.mouse.move(5, 5)
    expect(page.locator("line.pointer")).to_have_count(0)
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("line.pointer")).to_have_count(4)
    page.keyboard.press("Escape")
    expect(page.locator("line.pointer")).to_have_count(0)


def test_a_click_on_a_tag_shows_its_entries(open_page, reading):
    page = open_page(reading)
    tag(page, "shop").click()
    expect(page.locator("#crumbs")).to_have_text("allshop")
    tag(page, "shop:1").click()
    expect(page.locator("#crumbs")).to_have_text("allshop1")
    expect(page.locator("#tag-details")).to_contain_text("shop:1")
    expect(page.locator("#tag-filter")).to_contain_text("shop:1")
    keys = page.locator("#entries button.key")

    def numbers():
        return [
            int(number) for key in keys.all_inner_texts() for number in re.findall(r"product\((\d+)\)", key)
        ]

    # What was listed before stays until there is an answer.
    assert wait_until(lambda: {number % 3 for number in numbers()} == {1})
    assert len(numbers()) == keys.count()
    # By the keyboard, too.
    tag(page, "shop:1:product").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#crumbs")).to_have_text("allshop1product")
    page.locator("#crumbs button").first.click()
    expect(page.locator("#crumbs")).to_have_text("all")
    expect(page.locator("#tag-filter")).to_be_empty()


def test_a_level_of_many_tags_shows_each_of_them(open_page, reading):
    page = open_page(reading)
    tag(page, "many").click()
    blocks = page.locator('[data-tag^="many:"]')
    expect(blocks).to_have_count(60)
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('[data-tag^="many:"] > rect:first-of-type')].flatMap((one) =>
            [Number(one.getAttribute("width")), Number(one.getAttribute("height"))])"""
    )
    assert len(sizes) == 120
    assert min(sizes) > 10
    tag(page, "many:17").click()
    expect(page.locator("#entries button.key")).to_have_text(["many 17"])
    # It has nothing below it: the others stay beside it.
    expect(page.locator("#crumbs")).to_have_text("allmany")
    expect(tag(page, "many:17")).to_have_class(re.compile("selected"))


def test_entries_are_found_and_paged(open_page, reading):
    page = open_page(reading)
    page.fill("#prefix", "__main__.product@product(")
    keys = page.locator("#entries button.key")
    expect(keys.first).to_contain_text("product(")
    first = keys.all_inner_texts()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#pager")).to_contain_text("page 2")
    expect(keys.first).not_to_have_text(first[0])
    page.get_by_role("button", name="Previous").click()
    expect(page.locator("#pager")).to_contain_text("page 1")
    # A page that was asked for in vain can be asked for again.
    page.route("**/api/entries?*", lambda route: route.fulfill(body="no JSON"), times=1)
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("the server answered 200")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#pager")).to_contain_text("page 2")
    expect(keys.first).not_to_have_text(first[0])
    page.get_by_role("button", name="Previous").click()
    expect(page.locator("#pager")).to_contain_text("page 1")
    # Impatient, and then at the next search already.
    page.get_by_role("button", name="Next").evaluate("button => { button.click(); button.click(); }")
    expect(page.locator("#pager")).to_contain_text("page 2")
    page.locator("#prefix").press_sequentially("1")
    assert page.get_by_role("button", name="Previous").is_disabled()
    expect(page.locator("#pager")).to_contain_text("page 1")
    page.fill("#prefix", "nothing begins so")
    expect(page.locator("#entries")).to_contain_text("There are no such entries.")


def test_functions_are_sorted_by_a_click(open_page, reading):
    page = open_page(reading)
    head = page.locator("#functions th", has_text="Computes in")
    head.locator("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    head.locator("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")


def test_the_graph_shows_what_made_an_entry_stale(open_page, reading, other):
    page = open_page(reading)
    stale = page.locator(".node.entry.stale")
    is_over = stale.or_(page.get_by_text("There is no such entry now"))
    for _ in range(10):
        other.run("kept()")
        choose(page, other("kept.key()"))
        expect(page.locator(".node.entry.fresh")).to_be_visible()
        expect(is_over).to_have_count(0)
        expect(page.locator('[data-node="shop:9:kept:1"]')).to_be_visible()
        expect(page.locator("#entry pre")).to_contain_text('"kept": true')
        other.run("invalidate('shop:9')")
        # It looks again by itself, nearly always before what is stale is freed.
        expect(is_over.first).to_be_visible()
        if stale.count():
            break
    expect(stale).to_be_visible()
    expect(page.locator(".node.origin")).to_have_attribute("data-node", "shop:9")
    for above in ("shop:9:kept", "shop:9:kept:1"):
        expect(page.locator(f'[data-node="{above}"]')).to_have_class(re.compile("on-the-way"))
    expect(page.locator('[data-node="shop"]')).to_have_class(re.compile("above"))
    expect(page.locator(".edge.cause")).to_have_count(3)
    expect(page.locator("#entry p.cause")).to_contain_text("shop:9 was invalidated")
    expect(page.locator("#entry p.cause")).to_contain_text(f"pid:{other.pid}")
    # A tag of the graph leads to its place in the tree.
    page.locator('[data-node="shop:9:kept"]').click()
    expect(page.locator("#tag-filter")).to_contain_text("shop:9:kept")


def test_an_invalidation_needs_the_token_and_reaches_the_other_process(open_page, acting, other):
    other.run("set('lone', 1, deps=['lone:1'])")
    page = open_page(acting)
    tag(page, "lone").click()
    page.get_by_role("button", name="Invalidate…").click()
    page.fill("#token", "not the token at all")
    page.get_by_role("button", name="Unlock", exact=True).click()
    expect(page.locator("#dialog .trouble")).to_have_text("the token is wrong")
    assert other("get('lone')") == 1
    # The browser tells of the refusal, too.
    refusals = [fault for fault in page.faults if "401" in fault]
    assert len(refusals) == len(page.faults) == 1
    page.faults.clear()
    page.fill("#token", TOKEN)
    page.get_by_role("button", name="Unlock", exact=True).click()
    expect(page.locator("#dialog .affected")).to_have_text("1 fresh entry would go stale, for everybody.")
    assert other("get('lone')") == 1
    page.get_by_role("button", name="Invalidate", exact=True).click()
    expect(page.locator("#toast")).to_have_text("lone is invalidated")
    assert wait_until(lambda: other("get('lone')") is None)
    assert TOKEN not in page.url
    assert page.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0
    page.get_by_role("button", name="Lock", exact=True).click()
    expect(page.get_by_role("button", name="Unlock actions…")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_without_a_token_there_is_nothing_to_press_and_requests_are_refused(open_page, reading, other):
    other.run("set('lone', 1, deps=['lone:1'])")
    page = open_page(reading)
    expect(page.locator("#controls")).to_have_text("read only")
    tag(page, "lone").click()
    expect(page.locator("#tag-details")).to_contain_text("lone")
    assert page.get_by_role("button", name="Invalidate…").count() == 0
    status = page.evaluate(
        "fetch('api/invalidate', {method: 'POST', headers: {'Content-Type': 'application/json'}, "
        "body: JSON.stringify({tags: ['lone']})}).then((answer) => answer.status)"
    )
    assert status == 403
    assert [fault for fault in page.faults if "403" in fault] == page.faults
    page.faults.clear()
    assert other("get('lone')") == 1


def test_names_that_would_run_are_shown_as_they_are(open_page, reading):
    page = open_page(reading)
    for text in NASTY:
        page.fill("#prefix", text[:5])
        button = page.locator("#entries button.key", has_text=shown(text))
        expect(button).to_have_count(1)
        button.click()
        expect(page.locator(".entry-key code")).to_have_text(shown(text))
        expect(page.locator("#entry pre")).to_contain_text(as_value(text))
        expect(page.locator(".node.entry")).to_have_attribute("aria-label", f"{shown(text)}: fresh")
    # As a state of the address, as tags, and wherever else a text is shown.
    page.evaluate(
        "(text) => import(new URL('page/actions.js', document.baseURI)).then(({ toast }) => toast(text))",
        NASTY[0],
    )
    expect(page.locator("#toast")).to_have_text(NASTY[0])
    assert page.locator("img[src='x'], iframe, svg[onload], main script, main b").count() == 0


def as_value(text):
    """A text within a value, which is shown as JSON."""
    return json.dumps(text)


def shown(text):
    return text.replace("\t", "\\u0009").replace("\x07", "\\u0007").replace("\u202e", "\\u202e")


def test_answers_of_any_text_are_shown_as_they_are(open_page, reading):
    """Whatever the server tells: tags, nodes, functions, causes, troubles."""
    page = open_page(reading)
    nasty = NASTY[0] + NASTY[2]
    page.evaluate(
        """async (nasty) => {
            const part = (name) => import(new URL(`page/${name}.js`, document.baseURI));
            const [{ showLog, functionTable, nodeTable }, { graph }, { showTag }] =
                await Promise.all([part("lists"), part("graph"), part("tree")]);
            const at = new Date().toISOString();
            const parts = Array.from({ length: 5 }, () => document.createElement("div"));
            document.body.append(...parts);
            showLog(parts[0], [{ position: 1, at, tags: [nasty], node: nasty }], () => {});
            functionTable(parts[1]).update(
                [{ name: nasty, calls: 1, hit_ratio: 1, mean: 1, hits: 1, misses: 1, errors: 1 }]);
            nodeTable(parts[2]).update([{ name: nasty, behind: 1, age: 1, is_self: false }]);
            const tag = `a:${nasty}`;
            const stale = { key: nasty, state: "stale", dependencies: [{ tag, stale: true }] };
            parts[3].append(graph({ ...stale, cause: { tag, at, node: nasty } }, () => {}));
            const times = { invalidated: at, invalidated_below: null };
            showTag(parts[4], nasty, { entries: 1, fresh: 1, changing: false, ...times }, null);
            parts.forEach((part) => part.classList.add("tried"));
        }""",
        nasty,
    )
    expect(page.locator(".tried")).to_have_count(5)
    for part in page.locator(".tried").all():
        assert nasty in part.evaluate(
            "(part) => part.textContent"
            " + [...part.querySelectorAll('[aria-label]')].map((one) => one.ariaLabel)"
        )
    assert page.locator("img[src='x'], svg[onload]").count() == 0


def test_another_page_cannot_read_it(open_page, reading):
    page = open_page(reading)
    assert page.evaluate("fetch('api/about').then((answer) => answer.status)") == 200
    origin = reading.replace("127.0.0.1", "localhost")
    other = open_page(origin)
    told = other.evaluate(
        """(url) => new Promise((done) => {
            addEventListener("securitypolicyviolation", () => setTimeout(done));
            fetch(url + "api/entries").then(() => done("read"), () => {});
        })""",
        reading,
    )
    # The policy of the page forbids even to ask.
    assert told is None
    assert other.faults
    assert all("CSP" in fault or "Content Security Policy" in fault for fault in other.faults)
    other.faults.clear()


def test_what_has_expired_has_no_time_left(open_page, reading):
    page = open_page(reading)
    times = {"created": "2020-01-01T00:00:00+00:00", "expires": "2020-01-01T00:00:05+00:00"}
    entry = {"key": "gone", "state": "expired", "bytes": 1, **times}
    told = {"entries": [entry], "cursor": None, "now": "2020-01-01T00:00:10+00:00"}
    page.route("**/api/entries?*", lambda route: route.fulfill(json=told))
    page.fill("#prefix", "gone")
    expect(page.locator("#entries tbody td").nth(1)).to_have_text("expired")
    expect(page.locator("#entries tbody td").nth(4)).to_have_text("\u2013")
    assert (
        page.evaluate(
            "import(new URL('page/format.js', document.baseURI)).then(({ seconds }) => seconds(-5))"
        )
        == "0 s"
    )


def test_a_page_that_is_open_for_long_forgets_levels_of_the_tree(open_page, reading):
    page = open_page(reading)
    expect(tag(page, "shop")).to_be_visible()
    size = page.evaluate(
        """async () => {
            const { Tree } = await import(new URL("page/tree.js", document.baseURI));
            const made = () => document.body.appendChild(document.createElement("div"));
            const told = { select() {}, failed() {} };
            const tree = new Tree({ parent: made(), crumbs: made(), legend: made(), ...told });
            while (!tree.levels.has("shop")) {
                tree.due = 0;
                await tree.refresh();
                await new Promise((done) => setTimeout(done, 50));
            }
            for (let number = 0; number < 1000; number += 1) {
                tree.levels.set(`gone:${number}`, { branches: [], due: 0, took: 0, left_out: 0 });
            }
            await tree.refresh();
            return [tree.levels.size, tree.levels.has(""), tree.levels.has("shop")];
        }"""
    )
    assert size[0] < 200
    assert size[1:] == [True, True]


def test_a_click_on_everything_shows_the_whole_tree(open_page, tmp_path):
    with Other(tmp_path) as another, Serving("--lmdb", tmp_path) as serving:
        another.run("set('one', 1, deps=['shop:1'])")
        page = open_page(serving.url)
        tag(page, "shop").click()
        expect(page.locator("#tag-filter")).to_contain_text("shop")
        another.run("clear()")
        page.locator("#log button", has_text=re.compile(r"^\*$")).first.click()
        expect(page.locator("#crumbs")).to_have_text("all")
        expect(page.locator("#tag-filter")).to_be_empty()
        expect(page.locator("#tag-details")).to_be_empty()
        page.close()


def test_a_selected_text_of_an_entry_stays_selected(open_page, reading):
    page = open_page(reading)
    choose(page, "many 17")
    expect(page.locator(".entry-key code")).to_have_text("many 17")
    asked = []
    page.on("response", lambda answer: "api/entry?" in answer.url and asked.append(answer.url))
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.entry-key code'))")
    while len(asked) < 2:
        page.wait_for_timeout(100)
    assert page.evaluate("getSelection().toString()") == "many 17"
    # Another one is shown none the less.
    choose(page, "many 18")
    expect(page.locator(".entry-key code")).to_have_text("many 18")


def test_what_may_be_done_is_asked_until_it_is_answered(open_page, acting):
    page = open_page(acting)
    page.route("**/api/about", lambda route: route.abort())
    page.reload()
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#controls")).to_be_empty()
    page.unroute("**/api/about")
    expect(page.get_by_role("button", name="Unlock actions…")).to_be_visible()
    # The browser tells of what did not reach the server.
    assert all("ERR_FAILED" in fault for fault in page.faults)
    page.faults.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_has_the_colours_of_the_system_and_enough_contrast(open_page, reading, scheme):
    page = open_page(reading, color_scheme=scheme)
    expect(tag(page, "shop")).to_be_visible()
    brightness = page.evaluate(
        """() => [document.documentElement, document.querySelector(".panel")].map((element) => {
            const style = getComputedStyle(element);
            const parts = (colour) => colour.match(/\\d+/g).slice(0, 3).map(Number);
            const bright = (colour) => parts(colour).reduce((sum, part) => sum + part) / 765;
            return [bright(style.backgroundColor), bright(style.color)];
        })"""
    )
    for back, text in brightness:
        assert (back > 0.8 and text < 0.3) if scheme == "light" else (back < 0.2 and text > 0.7)


@pytest.mark.parametrize("width", [400, 768, 1280])
def test_it_fits_every_width(open_page, reading, width):
    page = open_page(reading, viewport={"width": width, "height": 900})
    expect(tag(page, "shop")).to_be_visible()
    expect(page.locator("#functions tbody tr").first).to_be_visible()
    page.fill("#prefix", "__main__.product@product(1")
    page.locator("#entries button.key").first.click()
    expect(page.locator("#entry pre")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    overlapping = page.evaluate(
        """() => {
            const panels = [...document.querySelectorAll(".card, .panel")];
            const boxes = panels.map((one) => one.getBoundingClientRect());
            const cross = (a, b) => a.left < b.right - 1 && a.top < b.bottom - 1;
            return boxes.some((a, place) => boxes.slice(place + 1).some((b) => cross(a, b) && cross(b, a)));
        }"""
    )
    assert not overlapping


def test_everything_that_can_be_pressed_has_a_name_and_can_be_reached(open_page, reading):
    page = open_page(reading)
    expect(tag(page, "shop")).to_be_visible()
    nameless = page.evaluate(
        """() => {
            const label = (one) => one.getAttribute("aria-label") || one.getAttribute("aria-labelledby");
            const isNamed = (one) => label(one) || one.textContent.trim();
            return [...document.querySelectorAll("button, input, select, [role=button], [tabindex='0']")]
                .filter((one) => !isNamed(one)).map((one) => one.outerHTML);
        }"""
    )
    assert nameless == []
    tag(page, "shop").focus()
    # Drawing anew leaves the focus where it is.
    drawn = page.locator("path.line").first.get_attribute("d") if page.locator("path.line").count() else None
    expect(page.locator("path.line").first).not_to_have_attribute("d", drawn or "")
    assert page.evaluate("document.activeElement.dataset.tag") == "shop"


def test_a_server_that_ends_is_told_and_found_again(open_page, other, folder):
    with Serving("--lmdb", folder) as serving:
        page = open_page(serving.url)
        expect(page.locator("#live")).to_have_text("live")
        serving.interrupt()
        expect(page.locator("#live")).to_have_text("trouble")
        expect(page.locator("#trouble")).to_contain_text("Nothing was heard")
    page.faults.clear()
    port = serving.url.rstrip("/").rpartition(":")[2]
    with Serving("--lmdb", folder, "--port", port):
        expect(page.locator("#live")).to_have_text("live")
        expect(page.locator("#trouble")).to_be_hidden()
    page.close()
    page.faults.clear()
