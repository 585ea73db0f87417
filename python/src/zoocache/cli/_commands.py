"""The commands of `zoocache`.

Exit codes: 0, it is done; 1, no cache can be reached, nothing was found, or `doctor` found an error; 2, wrong
usage.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import get_completion_class

from zoocache import __version__
from zoocache.cli import _show
from zoocache.cli._place import Place, place_options
from zoocache.inspect._finding import bytes_text
from zoocache.inspect.doctor import examine
from zoocache.inspect.records import STATES

if TYPE_CHECKING:
    from zoocache.inspect import Branch, Inspector, Invalidation


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, prog_name="zoocache")
@click.pass_context
def commands(context: click.Context) -> None:
    """Look at the caches of running programs, and invalidate what is in them.

    A cache is named by --url, --lmdb, --redis or --pid; without any of them by ZOOCACHE_URL, then by
    REDIS_URL, then it is the only process that said configure(control=True). ZOOCACHE_SECRET is the secret
    that `get` may need.

    Exit codes: 0 done; 1 nothing can be reached or was found; 2 wrong usage.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit(1)


@commands.command()
@place_options
def stats(place: Place, as_json: bool) -> None:
    """Show sizes and counters."""
    with place.open() as inspector:
        told = inspector.stats()
    if as_json:
        _show.print_json(told)
        return
    pairs = [
        ("place", f"{told.kind}: {told.place}"),
        ("entries", str(told.entries)),
        ("bytes", "-" if told.bytes is None else bytes_text(told.bytes)),
        ("tags", str(told.tags)),
        ("latest invalidation", "-" if told.latest is None else f"{_show.ago(told.latest)} ago"),
    ]
    pairs += [(name.replace("_", " "), _fact(name, value)) for name, value in told.facts.items()]
    counters = {
        name: count for name, count in (told.counters or {}).items() if name not in {"entries", "tags"}
    }
    pairs += [(name.replace("_", " "), str(count)) for name, count in counters.items()]
    _show.print_pairs(pairs)


def _fact(name: str, value: int) -> str:
    return bytes_text(value) if name.endswith(("bytes", "memory")) else str(value)


@commands.command()
@click.argument("key_prefix", default="")
@click.option("--tag", help="Only what invalidating this tag would reach.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@place_options
def keys(
    place: Place,
    as_json: bool,
    key_prefix: str,
    tag: str | None,
    state: Any,
    limit: int,
    everything: bool,
) -> None:
    """List entries whose keys begin with KEY_PREFIX."""
    most = None if everything else limit + 1
    with place.open() as inspector:
        found = list(inspector.all_entries(prefix=key_prefix, tag=tag, state=state, limit=most))
    has_more = not everything and len(found) > limit
    found = found if everything else found[:limit]
    if as_json:
        _show.print_json({"entries": found, "more": has_more})
    elif found:
        rows = [
            (
                entry.key,
                entry.state,
                "-" if entry.bytes is None else bytes_text(entry.bytes),
                _show.ago(entry.created),
                _show.until(entry.expires),
            )
            for entry in found
        ]
        _show.print_table(("KEY", "STATE", "SIZE", "AGE", "EXPIRES IN"), rows)
        if has_more:
            click.echo(f"There are more; --limit is {limit}.", err=True)
    if not found:
        _nothing("there are no such entries", as_json)


@commands.command()
@click.argument("key")
@place_options
def get(place: Place, as_json: bool, key: str) -> None:
    """Show the value of KEY as plain data, fresh or not."""
    with place.open() as inspector:
        try:
            value = inspector.value(key)
        except KeyError:
            _nothing(f"there is no entry {_show.safe(key)!r}", as_json)
    if as_json:
        _show.print_json(value)
        return
    if value.state != "fresh":
        click.echo(f"This entry is {value.state}.", err=True)
    click.echo(json.dumps(value.value, ensure_ascii=True, indent=2))


@commands.command()
@click.argument("key")
@place_options
def explain(place: Place, as_json: bool, key: str) -> None:
    """Tell why the entry of KEY is fresh or stale."""
    with place.open() as inspector:
        told = inspector.explain(key)
    if as_json:
        _show.print_json(told)
    elif told.state != "absent":
        click.echo(f"{_show.safe(told.key)}: {told.state}")
        if told.cause is not None:
            click.echo(f"  because {_show.safe(told.cause.tag)} was invalidated")
            click.echo(f"  at {_show.at_text(told.cause.at)}, {_show.ago(told.cause.at)} ago")
            click.echo(f"  by {_show.safe(told.cause.node)}")
        click.echo(f"  stored {_show.seconds(told.age)} ago, ", nl=False)
        click.echo(
            "never expires" if told.expires_in is None else f"expires in {_show.seconds(told.expires_in)}"
        )
        for dependency in told.dependencies:
            click.echo(f"  depends on {_show.safe(dependency.tag)}{' (stale)' if dependency.stale else ''}")
    if told.state == "absent":
        _nothing(f"there is no entry {_show.safe(key)!r}", as_json)


@commands.command()
@click.argument("tag", required=False)
@click.option("--depth", type=click.IntRange(1, 16), default=1, show_default=True, help="How many levels.")
@click.option(
    "--limit", type=click.IntRange(1), default=200, show_default=True, help="How many tags at most."
)
@place_options
def tree(place: Place, as_json: bool, tag: str | None, depth: int, limit: int) -> None:
    """Show the tags below TAG, or the first ones.

    With each tag come the entries that depend on it or on what is below it, how many of them are fresh, and
    how long ago it, and something below it, was invalidated.
    """
    with place.open() as inspector:
        found = _levels(inspector, tag, depth, limit)
    if as_json:
        _show.print_json({"tag": tag, "branches": found})
    elif found:
        rows = [
            (
                branch.tag + (" (changing)" if branch.changing else ""),
                str(branch.entries),
                str(branch.fresh),
                _show.ago(branch.invalidated),
                _show.ago(branch.invalidated_below),
            )
            for branch in found
        ]
        _show.print_table(("TAG", "ENTRIES", "FRESH", "INVALIDATED", "BELOW IT"), rows)
    if not found:
        _nothing("there are no such tags", as_json)


def _levels(inspector: Inspector, tag: str | None, depth: int, limit: int) -> list[Branch]:
    found: list[Branch] = []
    for branch in inspector.tree(tag):
        if len(found) >= limit:
            break
        found.append(branch)
        if depth > 1:
            found += _levels(inspector, branch.tag, depth - 1, limit - len(found))
    return found


@commands.command()
@click.argument("tag")
@place_options
def affected(place: Place, as_json: bool, tag: str) -> None:
    """Count the entries that invalidating TAG would reach."""
    with place.open() as inspector:
        count = inspector.affected(tag)
    if as_json:
        _show.print_json({"tag": tag, "affected": count})
    else:
        click.echo(str(count))


@commands.command()
@click.argument("tags", nargs=-1, required=True, metavar="TAG...")
@click.option("--dry-run", is_flag=True, help="Only count what it would make stale.")
@place_options
def invalidate(place: Place, as_json: bool, tags: tuple[str, ...], dry_run: bool) -> None:
    """Make stale what depends on a TAG, or on what is below."""
    with place.open() as inspector:
        if dry_run:
            counts = {tag: inspector.affected(tag) for tag in tags}
            position = None
        else:
            position = inspector.invalidate(*tags)
    if as_json:
        _show.print_json(
            {"tags": tags, "affected": counts} if dry_run else {"tags": tags, "position": position}
        )
    elif dry_run:
        for tag, count in counts.items():
            click.echo(f"{_show.safe(tag)}: {count} fresh entries would go stale")
    else:
        click.echo(f"invalidated {', '.join(_show.safe(tag) for tag in tags)} at position {position}")


@commands.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@place_options
def clear(place: Place, as_json: bool, yes: bool) -> None:
    """Make every entry stale, for everybody."""
    with place.open() as inspector:
        if not yes:
            told = inspector.stats()
            click.confirm(f"Make all {told.entries} entries of {told.place} stale?", abort=True, err=True)
        inspector.clear()
    if as_json:
        _show.print_json({"cleared": True})
    else:
        click.echo("cleared")


@commands.command()
@place_options
def prune(place: Place, as_json: bool) -> None:
    """Free now what nobody will read again."""
    with place.open() as inspector:
        freed = inspector.prune()
    if as_json:
        _show.print_json({"freed": freed})
    else:
        click.echo(f"freed {freed} entries")


@commands.command()
@place_options
def nodes(place: Place, as_json: bool) -> None:
    """List the processes that use it, and how far behind."""
    with place.open() as inspector:
        found = inspector.nodes()
    if as_json:
        _show.print_json({"nodes": found})
    elif found:
        rows = [
            (
                node.name + (" (this command)" if node.is_self else ""),
                "asks" if node.behind is None else _show.seconds(node.behind),
                _show.seconds(node.age),
                _show.short(node.address, 28),
            )
            for node in found
        ]
        _show.print_table(("NODE", "BEHIND", "AGE", "WHERE"), rows)
    if not found:
        _nothing("nobody uses it", as_json)


@commands.command()
@click.option(
    "--last", type=click.IntRange(0), default=10, show_default=True, help="How many of the past first."
)
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.option("--no-follow", is_flag=True, help="Only those of the past.")
@place_options
def tail(place: Place, as_json: bool, last: int, count: int | None, no_follow: bool) -> None:
    """Show invalidations as they happen."""
    with place.open() as inspector:
        # One more than asked for: it says from where on to follow.
        past = inspector.invalidations(limit=max(last, 1))
        shown = past[-last:] if last else ()
        if count is not None:
            shown = shown[-count:]
        for told in shown:
            _tell(told, as_json)
        if no_follow or (count is not None and len(shown) >= count):
            return
        left = None if count is None else count - len(shown)
        try:
            for told in inspector.follow(past[-1].position if past else 0):
                _tell(told, as_json)
                left = None if left is None else left - 1
                if left == 0:
                    return
        except KeyboardInterrupt:
            return


def _tell(told: Invalidation, as_json: bool) -> None:
    if as_json:
        _show.print_json(told)
    else:
        by = "" if told.node is None else f"  by {_show.short(told.node, 40)}"
        click.echo(f"{_show.at_text(told.at)}{by}")
        click.echo(_show.wrapped(" ".join(told.tags), "  "))


@commands.command()
@click.option("--max-staleness", default="1s", show_default=True, help="That of the application.")
@click.option("--strict", is_flag=True, help="End with 1 for a warning, too.")
@place_options
def doctor(place: Place, as_json: bool, max_staleness: str, strict: bool) -> None:
    """Look for what is wrong, and say what mends it."""
    if place.url is None:
        # Of a process it says whether it answers.
        with place.open() as inspector:
            inspector.stats()
    findings = examine(place.url, place.prefix, max_staleness=max_staleness)
    if as_json:
        _show.print_json({"findings": findings})
    else:
        for finding in findings:
            click.echo(f"{finding.level}: {finding.code}")
            click.echo(_show.wrapped(finding.what, "  "))
            click.echo(_show.wrapped(f"to mend it: {finding.remedy}", "  "))
        if not findings:
            click.echo("nothing is wrong")
    if any(finding.level == "error" or strict for finding in findings):
        raise SystemExit(1)


@commands.command()
@click.option("--seconds", type=click.FloatRange(0.01), default=0.5, show_default=True, help="For each row.")
@place_options
def bench(place: Place, as_json: bool, seconds: float) -> None:
    """Measure hits, misses and invalidations on this machine.

    In memory, in a folder of its own (beside --lmdb PATH if that is given), and with --redis on that server,
    under a prefix of its own that is removed afterwards.
    """
    measured = importlib.import_module("zoocache.cli._bench").measure(place, seconds)
    if as_json:
        _show.print_json({"rows": measured})
        return
    rows = [(f"{row['storage']}: {row['what']}", f"{row['microseconds']:.2f}") for row in measured]
    _show.print_table(("WHAT", "MICROSECONDS"), rows)


def _monitor(place: Place) -> None:
    with place.open() as inspector:
        try:
            monitor = importlib.import_module("zoocache.cli.monitor")
        except ImportError as error:
            raise click.ClickException(
                f"zoocache cli needs textual here: {error}; to install it: pip install 'zoocache[cli]'"
            ) from None
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise click.ClickException("zoocache cli needs a terminal; see zoocache --help for what prints")
        monitor.run(inspector)


@commands.command("cli")
@place_options
def cli(place: Place, as_json: bool) -> None:  # noqa: ARG001 - every command has it
    """Open the live monitor."""
    _monitor(place)


commands.add_command(cli, "dashboard")


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8899, show_default=True, help="0 for a free one."
)
@click.option(
    "--token-file", type=click.Path(dir_okay=False), help="What actions must present [env: ZOOCACHE_TOKEN]"
)
@click.option("--actions", is_flag=True, help="Make a token for actions, and print it.")
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="A name that it is reached by; others are refused."
)
@place_options
def serve(
    place: Place,
    as_json: bool,
    host: str,
    port: int,
    token_file: str | None,
    actions: bool,
    allow_host: tuple[str, ...],
) -> None:
    """Serve the dashboard: a web page that shows it live.

    Without a token nothing can be changed there.
    """
    serving = importlib.import_module("zoocache.cli._serve")
    with place.open() as inspector:
        told, run = serving.serve(inspector, host, port, token_file, actions, allow_host)
        if not told["local"]:
            click.echo(f"Everybody who can reach {told['url']} can read all keys and values.", err=True)
        if as_json:
            _show.print_json(told)
        else:
            click.echo(f"The dashboard is at {told['url']}; Ctrl-C ends it.")
            if told["token"] is not None:
                click.echo(f"Its actions ask for this token: {told['token']}")
        run()


@commands.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what lets SHELL complete commands and options.

    For bash: zoocache completion bash > ~/.local/share/bash-completion/completions/zoocache
    """
    cls = get_completion_class(shell)
    if cls is None:
        raise click.ClickException(f"click knows no completion for {shell}")
    click.echo(cls(commands, {}, "zoocache", "_ZOOCACHE_COMPLETE").source())


def _nothing(text: str, as_json: bool) -> None:
    """End with 1, as nothing was found."""
    if not as_json:
        click.echo(text, err=True)
    raise SystemExit(1)
