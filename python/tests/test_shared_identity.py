"""Which functions of two processes are the same, and which are not."""

import pathlib
import subprocess
import sys
import textwrap

import pytest

from zoocache import cacheable, configure, explain, reset

HERE = pathlib.Path(__file__).parent


def run(path, source, folder, *options):
    """Run a program that uses the folder, and return what it printed, and what it logged."""
    start = f"""
        from zoocache import cacheable, configure, stats
        configure(storage_url="lmdb://{folder}")
        """
    path.write_text(textwrap.dedent(start) + textwrap.dedent(source))
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, *options, str(path)] if not options else [sys.executable, *options],
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


PROGRAM = """
    @cacheable
    def function():
        return {result!r}

    print(function())
    """


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def test_a_program_finds_what_it_computed_when_it_ran_before(tmp_path, folder):
    program = tmp_path / "program.py"
    assert run(program, PROGRAM.format(result="first"), folder)[0] == ["first"]
    assert run(program, PROGRAM.format(result="second"), folder)[0] == ["first"]
    # Run by its module's name it is another program: nobody knows that it is the same.
    assert run(program, PROGRAM.format(result="third"), folder, "-m", "program")[0] == ["third"]
    assert run(program, PROGRAM.format(result="fourth"), folder, "-m", "program")[0] == ["third"]


def test_two_programs_have_functions_of_the_same_name_apart(tmp_path, folder):
    assert run(tmp_path / "one.py", PROGRAM.format(result="one"), folder)[0] == ["one"]
    assert run(tmp_path / "two.py", PROGRAM.format(result="two"), folder)[0] == ["two"]


def test_a_program_that_has_no_file_shares_nothing(tmp_path, folder):
    source = (
        f"from zoocache import *; configure(storage_url='lmdb://{folder}'); f = cacheable(lambda: RESULT)"
    )
    results = []
    for result in ("'one'", "'two'"):
        code = f"{source.replace('RESULT', result)}; print(f(), f(), stats()['hits'])"
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        results += done.stdout.split()
        assert "not shared with other processes" in done.stderr
    assert results == ["one", "one", "1", "two", "two", "1"]


CLOSURES = """
    def make(table, source):
        @cacheable
        def read(key):
            print("computed")
            return f"{{table}} {{key}}"
        return read

    class Source:
        pass

    for table in {tables!r}:
        print(make(table, Source())(1))
    """


def test_closures_are_told_apart_by_what_they_captured(tmp_path, folder):
    program = tmp_path / "program.py"
    first, _ = run(program, CLOSURES.format(tables=["users", "orders"]), folder)
    assert first == ["computed", "users", "1", "computed", "orders", "1"]
    # In another order, as another process may make them.
    second, _ = run(program, CLOSURES.format(tables=["orders", "users"]), folder)
    assert second == ["orders", "1", "users", "1"]


def test_closures_over_objects_share_nothing_and_say_so(tmp_path, folder):
    program = tmp_path / "program.py"
    source = CLOSURES.replace("return f", "source; return f")
    for tables in (["users", "orders"], ["orders", "users"]):
        printed, logged = run(program, source.format(tables=tables), folder)
        assert printed == [part for table in tables for part in ("computed", table, "1")]
        assert logged.count("not shared with other processes") == 2
        assert 'namespace="..."' in logged


def test_a_namespace_says_that_they_are_the_same(tmp_path, folder):
    program = tmp_path / "program.py"
    source = CLOSURES.replace("return f", "source; return f").replace(
        "@cacheable", "@cacheable(namespace=table)"
    )
    run(program, source.format(tables=["users", "orders"]), folder)
    printed, logged = run(program, source.format(tables=["orders", "users"]), folder)
    assert printed == ["orders", "1", "users", "1"]
    assert logged == ""


def test_lambdas_are_told_apart_by_their_code(tmp_path, folder):
    program = tmp_path / "program.py"
    one, two = "cacheable(lambda x: ('one', x))", "cacheable(lambda x: ('two', x))"
    assert run(program, f"print(*{one}(1), *{two}(1))", folder)[0] == ["one", "1", "two", "1"]
    assert run(program, f"print(*{two}(1), *{one}(1))", folder)[0] == ["two", "1", "one", "1"]


def test_children_of_a_fork_have_closures_of_their_own(tmp_path, folder):
    source = """
        import os

        def make(captured):
            @cacheable
            def read():
                return captured.value
            return read

        class Captured:
            def __init__(self, value):
                self.value = value

        before = make(Captured("before"))
        before()
        children = []
        for number in range(2):
            pid = os.fork()
            if pid == 0:
                print(before(), make(Captured(number))(), stats()["hits"], flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
        """
    printed, _ = run(tmp_path / "program.py", source, folder)
    assert printed == ["before", "0", "1", "before", "1", "1"]


def test_decorated_functions_of_a_module_are_shared(folder):
    """A wrapper captures the function that it wraps, which says what it does."""
    configure(storage_url=f"lmdb://{folder}")
    keys = []
    for _ in range(2):
        scope = {"__name__": __name__, "__file__": __file__, "cacheable": cacheable}
        source = """
            import functools

            def twice(function):
                @functools.wraps(function)
                def wrapper(*args):
                    return 2 * function(*args)
                return wrapper

            @cacheable
            @twice
            def number(x):
                return x
            """
        exec(textwrap.dedent(source), scope)  # noqa: S102 - a module that is imported twice
        assert scope["number"](4) == 8
        keys.append(scope["number"].key(4))
    assert keys[0] == keys[1]
    assert explain(keys[0]).state == "fresh"
    reset()
    configure(storage_url=f"lmdb://{folder}")
    assert explain(keys[0]).state == "fresh"
