"""The terminal monitor on a cache of this process, used by its keys."""

import itertools
import os
import threading
import time
from dataclasses import replace

import pytest
from helpers import DEADLINE
from monitor_pilot import repeated, use
from textual.widgets import Button, TabbedContent, Tree

import zoocache
from zoocache import StorageError, cacheable, invalidate
from zoocache.cli.monitor._tags import Tags
from zoocache.inspect import inspect
from zoocache.inspect._local import LocalInspector
from zoocache.inspect.records import Branch, FunctionActivity, Invalidation, Node, utc

pytestmark = pytest.mark.memory_only("other storages are looked at from outside, elsewhere")

#: What a terminal and the markup of textual would obey.
HOSTILE = "[bold]x[/bold][@click=app.quit]y[/]\x1b[31m\nnext\u202e"
#: The same, shown literally.
LITERAL = "[bold]x[/bold][@click=app.quit]y[/]\\x1b[31m\\nnext\\u202e"


@pytest.fixture
def inspector():
    with inspect() as inspector:
        yield inspector


@pytest.fixture
def shop():
    """Products, each with a tag of its own, all of them read."""

    @cacheable(namespace="shop", deps=lambda number: [f"shop:1:product:{number}"])
    def product(number):
        return {"number": number, "name": "chair"}

    for number in range(20):
        product(number)
    return product


def test_numbers_move_while_the_cache_is_used(inspector, shop):
    async def scenario(monitor):
        turns = itertools.count()
        with repeated(lambda: (shop(next(turns) % 20), shop(3), invalidate("shop:1:product:3"))):
            sample = await monitor.until(
                lambda: next(
                    (one for one in monitor.app.seen.samples if one.hits and one.invalidations), None
                )
            )
            assert sample.processes == 1
            await monitor.until("hits/s")
            await monitor.until(lambda: "entries 20" in " ".join(monitor.shown.split()))
            await monitor.until("█")
            assert "1 min ago" in monitor.shown
            await monitor.press("s")
            await monitor.until("2 min ago")

    use(inspector, scenario)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 12)])
def test_every_tab_shows_at_every_size(inspector, shop, size):
    async def scenario(monitor):
        for number, shown in enumerate(("hit", "FUNC", "all tags", "KEY", "TIME", "NODE"), 1):
            await monitor.go(number)
            await monitor.until(shown)

    use(inspector, scenario, size)


def test_functions_are_sorted_and_searched(inspector, shop):
    @cacheable(namespace="sluggish")
    def sluggish(number):
        time.sleep(0.02)

    async def scenario(monitor):
        await monitor.go(2)
        await monitor.until("hottest first")
        with repeated(lambda: (shop(1), shop(2), shop(3))):
            # Computations are measured since somebody watches.
            sluggish(next(numbers))
            rows = await monitor.until(lambda: lines(monitor, "product", ".sluggish"))
            assert "product" in rows[0]
            await monitor.press("s")
            await monitor.until("slowest first")
            await monitor.until(
                lambda: sluggish(next(numbers)) or ".sluggish" in lines(monitor, "product", ".sluggish")[0]
            )
        await monitor.press("slash")
        await monitor.type("sluggish")
        await monitor.until(lambda: len(lines(monitor, "product", ".sluggish")) == 1)
        await monitor.press("escape")
        await monitor.until(lambda: len(lines(monitor, "product", ".sluggish")) == 2)
        await monitor.press("s")
        await monitor.until("worst hit ratio first")

    numbers = itertools.count()
    use(inspector, scenario)


def lines(monitor, *texts):
    """The lines that have one of the texts."""
    return [line for line in monitor.shown.splitlines() if any(text in line for text in texts)]


async def open_products(monitor):
    """Go to the tags below `shop:1:product`, by opening one level after the other."""
    await monitor.go(3)
    for tag, level in (("shop", "1"), ("shop:1", "product"), ("shop:1:product", "10")):
        await monitor.until(tag.rpartition(":")[2] + "  20/20 fresh")
        await monitor.press("down", "enter")
        await monitor.until(lambda level=level: lines(monitor, f" {level}  "))


def test_a_tag_is_opened_and_shows_its_entries(inspector, shop):
    async def scenario(monitor):
        await open_products(monitor)
        await monitor.until("20 entries with shop:1:product")
        await monitor.press("down", "down", "enter")
        await monitor.until("1 entry with shop:1:product:1")
        await monitor.until("shop(1)")

    use(inspector, scenario)


def test_a_tag_is_gone_to(inspector, shop):
    async def scenario(monitor):
        await monitor.go(3)
        await monitor.press("slash")
        await monitor.type("shop:1:product:7")
        await monitor.press("enter")
        await monitor.until("1 entry with shop:1:product:7")
        await monitor.press("slash")
        await monitor.type("::")
        await monitor.press("enter")
        await monitor.until("Tag cannot")
        await monitor.press("escape")
        await monitor.until("all tags")
        await monitor.until(lambda: "Tag cannot" not in monitor.shown)

    use(inspector, scenario)


def test_invalidating_asks_first_and_makes_stale(inspector, shop):
    key = shop.key(7)

    async def scenario(monitor):
        await monitor.go(3)
        await monitor.press("i")
        await monitor.until("Choose a tag first")
        await monitor.press("slash")
        await monitor.type("shop:1:product:7")
        await monitor.press("enter")
        await monitor.until("1 entry with")
        for no in ("n", "escape", "enter"):
            await monitor.press("i")
            await monitor.until("1 fresh entry goes stale, for everybody")
            await monitor.press(no)
            await monitor.until("1 entry with")
        assert inspector.explain(key).state == "fresh"
        await monitor.press("i")
        await monitor.until("1 fresh entry goes stale")
        await monitor.press("y")
        await monitor.until("Invalidated shop:1:product:7")
        await monitor.until(lambda: inspector.explain(key).state != "fresh")
        assert inspector.explain(shop.key(8)).state == "fresh"

    use(inspector, scenario)


def test_nothing_is_invalidated_before_its_reach_is_known(shop):
    counting, go_on = threading.Event(), threading.Event()

    class Slow(LocalInspector):
        def affected(self, tag):
            counting.set()
            assert go_on.wait(DEADLINE)
            return super().affected(tag)

    async def scenario(monitor):
        await monitor.go(3)
        await monitor.until("shop  20/20 fresh")
        await monitor.press("down", "i")
        await monitor.until(counting.is_set)
        await monitor.press("y")
        await monitor.until("counting what that would make stale")
        go_on.set()
        await monitor.until("20 fresh entries go stale")
        await monitor.press("escape")
        await monitor.until("all tags")
        assert inspector.affected("shop") == 20

    with Slow(zoocache._cache.DEFAULT) as inspector:
        use(inspector, scenario)


async def dialogs(monitor):
    """Ask whether to invalidate all products, again and again; gives how many steps to wait with a key."""
    await monitor.go(3)
    await monitor.until("shop  20/20 fresh")
    await monitor.press("down")
    for steps in range(12):
        await monitor.press("i")
        await monitor.until("20 fresh entries go stale")
        yield steps
        await monitor.go(3)


@pytest.mark.parametrize("closing", ["n", "escape", "enter"])
def test_a_key_right_after_closing_a_dialog_is_heard(inspector, shop, closing):
    async def scenario(monitor):
        async for steps in dialogs(monitor):
            await monitor.press_soon(closing)
            await monitor.press_soon("4", steps)
            await monitor.until("20 entries")
            await monitor.until(lambda: monitor.app.query_one(TabbedContent).active == "entries")
        assert inspector.affected("shop") == 20

    use(inspector, scenario)


@pytest.mark.parametrize("closing", ["a click", "enter"])
def test_closing_a_dialog_twice_does_no_harm(inspector, shop, closing):
    async def scenario(monitor):
        async for steps in dialogs(monitor):
            if closing == "a click":
                monitor.app.screen.query_one("#no", Button).press()
            else:
                await monitor.press_soon(closing)
            await monitor.press_soon("n", steps)
            await monitor.until(lambda: len(monitor.app.screen_stack) == 1)
            await monitor.go(4)

    use(inspector, scenario)


def test_entries_are_searched_by_key_and_state_and_explained(inspector):
    @cacheable(namespace="kept", deps=lambda number: [f"kept:{number}"], stale_if_error=("1h", "any"))
    def kept(number):
        return {"number": number}

    for number in range(150):
        kept(number)
    invalidate("kept:42")

    async def scenario(monitor):
        await monitor.go(4)
        await monitor.until("100 entries (m for more)")
        await monitor.press("m")
        await monitor.until("150 entries")
        await monitor.press("slash")
        await monitor.type(kept.key(42)[:-1])
        await monitor.press("enter")
        await monitor.until("1 entry, beginning with")
        await monitor.press("e")
        await monitor.until("because kept:")
        await monitor.until("stored ")
        await monitor.until('"number": 42')
        assert "stale" in monitor.shown
        assert f"by pid:{os.getpid()}" in monitor.shown
        await monitor.press("escape")
        await monitor.press("s")
        await monitor.until("0 entries, fresh")
        await monitor.press("s")
        await monitor.until("1 entry, stale")

    use(inspector, scenario)


def test_the_log_goes_on_stands_still_and_is_filtered(inspector):
    invalidate("first:1")

    async def scenario(monitor):
        await monitor.go(5)
        invalidate("second:2")
        await monitor.until("second:2")
        await monitor.press("p")
        await monitor.until("paused")
        seen = len(monitor.app.seen.samples)
        invalidate("third:3")
        await monitor.until(lambda: len(monitor.app.seen.samples) > seen + 3)
        assert "third:3" not in monitor.shown
        await monitor.press("p")
        await monitor.until("third:3")
        await monitor.press("slash")
        await monitor.type("ond:2")
        await monitor.until(lambda: "third:3" not in monitor.shown)
        assert "second:2" in monitor.shown

    use(inspector, scenario)


def test_nodes_names_this_process(inspector):
    async def scenario(monitor):
        await monitor.go(6)
        await monitor.until("(this)")

    use(inspector, scenario)


class Hostile(LocalInspector):
    """What may be in a storage that others write to."""

    def stats(self):
        return replace(super().stats(), place=HOSTILE)

    def tree(self, tag=None):
        return (Branch(HOSTILE, 1, 1, None, None, changing=False),) if tag is None else ()

    def entries(self, **sought):
        return super().entries()

    def affected(self, tag):
        raise StorageError(HOSTILE)

    def invalidations(self, after=None, limit=100):
        return (Invalidation(1, utc(1), (HOSTILE,), HOSTILE),) if after is None else ()

    def nodes(self):
        return (Node(HOSTILE, 0.0, 1.0, HOSTILE, is_self=False),)

    def activity(self):
        (own,) = super().activity()
        return (replace(own, functions=(FunctionActivity(HOSTILE, 1, 0, 0, 0, 0, 0, 0.0),)),)


def test_what_others_choose_is_shown_literally():
    zoocache.set(HOSTILE, {HOSTILE: HOSTILE})

    async def scenario(monitor):
        async def sees():
            await monitor.until(LITERAL)
            assert not {letter for letter in monitor.shown if not letter.isprintable()} - {"\n"}

        await monitor.until(f"zoocache  memory: {LITERAL}")
        await monitor.go(2)
        await sees()
        await monitor.go(3)
        await monitor.until(f"{LITERAL}  1/1 fresh")
        await monitor.press("down", "enter")
        await monitor.until(f"1 entry with {LITERAL}")
        await monitor.press("i")
        await monitor.until(f"{LITERAL}?")
        # Why it could not be counted.
        await monitor.until(f"│  {LITERAL}  ")
        await monitor.press("escape")
        await monitor.until(lambda: f"{LITERAL}?" not in monitor.shown)
        for number in (4, 5, 6):
            await monitor.go(number)
            await sees()
        await monitor.go(4)
        await monitor.until("1 entry")
        await monitor.press("enter")
        await monitor.until("stored")
        await sees()
        await monitor.until('"[bold]x[/bold][@click=app.quit]y[/]')
        await monitor.press("escape")

    with Hostile(zoocache._cache.DEFAULT) as inspector:
        use(inspector, scenario, size=(200, 40))


def test_trouble_is_told_and_goes_away(shop):
    class Failing(LocalInspector):
        why = None

        def invalidations(self, after=None, limit=100):
            if self.why is not None:
                raise self.why
            return super().invalidations(after, limit)

        def tree(self, tag=None):
            if self.why is not None:
                raise self.why
            return super().tree(tag)

    async def scenario(monitor):
        await monitor.go(3)
        await monitor.until("shop  20/20 fresh")
        # Also what no storage should raise.
        for why in (StorageError("[red]away[/red]"), ZeroDivisionError("[red]away[/red]")):
            inspector.why = why
            await monitor.until("[red]away[/red]")
            await monitor.press("r")
            inspector.why = None
            await monitor.press("r")
            await monitor.until(lambda: "away" not in monitor.shown)

    with Failing(zoocache._cache.DEFAULT) as inspector:
        use(inspector, scenario)


def test_a_storage_that_does_not_answer_blocks_nothing(monkeypatch):
    go_on = threading.Event()

    class Dead(LocalInspector):
        def activity(self):
            assert go_on.wait(DEADLINE)
            return ()

        tree = lambda self, tag=None: self.activity()  # noqa: E731

    monkeypatch.setattr("zoocache.cli.monitor._app._LATE", 0.2)
    monkeypatch.setattr("zoocache.cli.monitor._questions._PATIENCE", 0.1)

    async def scenario(monitor):
        await monitor.go(3)
        await monitor.until("no answer for")
        await monitor.press("question_mark")
        await monitor.until("quit")
        await monitor.press("escape")

    with Dead(zoocache._cache.DEFAULT) as inspector:
        try:
            use(inspector, scenario)
        finally:
            go_on.set()


def test_help_themes_and_quitting(inspector):
    async def scenario(monitor):
        await monitor.press("question_mark")
        await monitor.until("invalidate the chosen tag")
        await monitor.press("escape")
        await monitor.until("Overview")
        seen = set()
        for _ in range(4):
            seen.add(monitor.app.theme)
            await monitor.press("t")
            await monitor.until("Overview")
        assert len(seen) >= 3
        await monitor.go(4)
        # Also where something is typed.
        await monitor.press("slash", "q")
        assert monitor.app.is_running
        await monitor.press("ctrl+c")
        await monitor.until(lambda: monitor.app._exit)
        assert monitor.app.return_code == 0

    use(inspector, scenario)


def test_the_theme_fits_the_terminal(inspector, monkeypatch):
    from zoocache.cli.monitor import Monitor  # noqa: PLC0415

    monkeypatch.delenv("TEXTUAL_THEME", raising=False)
    for background, theme in (("15;0", "textual-dark"), ("0;15", "textual-light"), ("", "textual-dark")):
        monkeypatch.setenv("COLORFGBG", background)
        assert Monitor(inspector).theme == theme


def test_a_big_tree_is_shown_in_part(inspector):
    for number in range(600):
        zoocache.set(str(number), number, deps=[f"many:{number:04}"])

    async def scenario(monitor):
        await monitor.go(3)
        await monitor.until("many  600/600 fresh")
        await monitor.press("down", "enter", "end")
        await monitor.until("100 more: / goes to one")
        assert len(monitor.app.query_one(Tree).cursor_node.parent.children) == 501

    use(inspector, scenario)


def test_an_answer_for_a_tree_that_was_begun_anew_meanwhile_is_dropped(inspector, shop):
    async def scenario(monitor):
        await open_products(monitor)
        tags = monitor.app.query_one(Tags)
        old = tags.branches.root.children[0]
        assert (old.data, len(old.children)) == ("shop", 1)
        await monitor.press("slash")
        await monitor.type("shop:1")
        await monitor.press("enter")
        await monitor.until(
            lambda: [child.data for child in tags.branches.root.children] == ["shop:1:product"]
        )
        zoocache.set("k", 1, deps=["shop:2"])
        # Comes after the tree was begun anew; its children have the places of others by now.
        tags._show(old, inspector.tree("shop"))
        await monitor.press("down", "enter")
        await monitor.until("20 entries with shop:1:product")
        await monitor.until("─ ▶ 1  1/1 fresh")

    use(inspector, scenario)


def test_very_long_texts_hide_nothing(inspector):
    key = "k" * 100_000
    zoocache.set(key, ["v" * 5000] * 1000, deps=[f"tag:{number}" for number in range(1000)])
    tag = ":".join(["t" * 50] * 5)
    zoocache.set("deep", 1, deps=[tag])

    async def scenario(monitor):
        await monitor.go(4)
        await monitor.until("2 entries")
        await monitor.press("slash")
        await monitor.type("kkk")
        await monitor.press("enter")
        await monitor.until("1 entry, beginning with")
        await monitor.press("e")
        await monitor.until("depends on")
        await monitor.until(lambda: "value" in whole(monitor, "#explained-value"))
        assert "and 800 more" in whole(monitor, "#explained")
        assert "and more lines" in whole(monitor, "#explained-value")
        await monitor.press("escape")
        await monitor.go(3)
        await monitor.press("slash")
        await monitor.type(tag)
        await monitor.press("enter")
        await monitor.until("1 entry with")
        await monitor.press("i")
        await monitor.until("1 fresh entry goes stale")
        assert "Yes (y)" in monitor.shown

    use(inspector, scenario)


def whole(monitor, name):
    """The text of a part of the screen on top, also what is not to be seen."""
    return str(monitor.app.screen.query_one(name).content)


def test_many_rows_become_few_and_many_again(inspector):
    for number in range(300):
        zoocache.set(f"many {number:03}", number)
    zoocache.set("one", 1)

    async def scenario(monitor):
        await monitor.go(4)
        for shown in ("100", "200", "300", "301"):
            await monitor.until(f"{shown} entries")
            await monitor.press("m")
        await monitor.press("end", "slash")
        await monitor.type("one")
        await monitor.press("enter")
        await monitor.until("1 entry, beginning")
        assert len(lines(monitor, " never")) == 1
        await monitor.press("e")
        await monitor.until("depends on")
        await monitor.press("escape", "escape")
        await monitor.press("r")
        await monitor.until("100 entries")
        assert lines(monitor, "many 000")

    use(inspector, scenario)
