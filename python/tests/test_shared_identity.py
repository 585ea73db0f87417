"""Which functions of two processes are the same, and which are not."""

import pathlib
import subprocess
import sys
import textwrap

import pytest

from zoocache import cacheable, configure

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


TAGS = """
    import sys
    from zoocache import invalidate

    def make(table):
        @cacheable
        def read():
            return f"{{table}} {mark}"
        return read

    functions = {{table: make(table) for table in {tables!r}}}
    if {invalidates}:
        invalidate(functions["users"].tag)
    print(*(functions[table]() for table in ("users", "orders")))
    """


def test_the_tag_of_a_closure_means_the_same_in_all_processes(tmp_path, folder):
    program = tmp_path / "program.py"
    first = TAGS.format(mark="first", tables=["users", "orders"], invalidates=False)
    assert run(program, first, folder)[0] == ["users", "first", "orders", "first"]
    again = TAGS.format(mark="first", tables=["orders", "users"], invalidates=True).replace(
        "return f", "print('computed'); return f"
    )
    # Its code is another one; so is its tag.
    assert run(program, again, folder)[0] == ["computed", "computed", "users", "first", "orders", "first"]
    assert run(program, again, folder)[0] == ["computed", "users", "first", "orders", "first"]


KEYWORD_DEFAULTS = """
def load(*, a="one", b="two"):
    return a
if {0!r} == "two":
    load.__kwdefaults__ = {{"b": "one", "a": "two"}}
"""
CAPTURED = {
    "functions of two programs": (
        "CONSTANT = {0!r}\ndef load(): return CONSTANT",
        "load",
        ["captured()", "captured()"],
    ),
    "functions of an exec": (
        "scope = {{'constant': {0!r}, '__name__': 'made'}}\nexec('def load(): return constant', scope)",
        "scope['load']",
        ["captured()", "captured()"],
    ),
    "classes of one name": ("Row = type('Row', (), {{'text': {0!r}}})", "Row", ["captured.text"] * 2),
    "keyword defaults": (
        KEYWORD_DEFAULTS,
        "load",
        ["captured()", "captured()"],
    ),
}


@pytest.mark.parametrize("what", CAPTURED)
def test_closures_over_what_looks_the_same_are_not_the_same(tmp_path, folder, what):
    made, captured, (expression, _) = CAPTURED[what]
    (tmp_path / "library.py").write_text(
        textwrap.dedent(
            f"""
            from zoocache import cacheable

            def cached(captured):
                @cacheable
                def read():
                    return {expression}
                return read
            """
        )
    )
    printed = []
    for name, other in (("one", "two"), ("two", "one")):
        source = f"import library\n{made.format(name, other)}\nprint(library.cached({captured})())"
        printed += run(tmp_path / f"{name}.py", textwrap.indent(source, " " * 8), folder)[0]
    assert printed == ["one", "two"]


def test_two_classes_of_one_name_in_one_process(folder):
    configure(storage_url=f"lmdb://{folder}")

    def cached(cls):
        @cacheable
        def text():
            return cls.text

        return text

    functions = []
    for number in range(2):
        module = sys.modules[__name__]
        module.Row = type("Row", (), {"text": number, "__module__": __name__})
        functions.append(cached(module.Row))
    assert [function() for function in functions] == [0, 1]


def test_a_decorator_of_another_module_leaves_a_function_shared(tmp_path, folder):
    (tmp_path / "deco.py").write_text(
        textwrap.dedent(
            """
            import functools

            def timed(function):
                @functools.wraps(function)
                def wrapper(*args):
                    return function(*args)
                return wrapper
            """
        )
    )
    source = """
        from deco import timed

        @cacheable
        @timed
        def function():
            print("computed")
            return "value"

        print(function())
        """
    assert run(tmp_path / "program.py", source, folder) == (["computed", "value"], "")
    assert run(tmp_path / "program.py", source, folder) == (["value"], "")


def test_a_spawned_child_shares_with_its_parent(tmp_path, folder):
    source = """
        import multiprocessing

        @cacheable
        def function(x):
            return multiprocessing.current_process().name

        def child():
            print(function(1), function.tag, stats()["hits"], flush=True)

        if __name__ == "__main__":
            print(function(1), function.tag)
            process = multiprocessing.get_context("spawn").Process(target=child)
            process.start()
            process.join()
        """
    printed, _ = run(tmp_path / "program.py", source, folder)
    assert printed == ["MainProcess", printed[1], "MainProcess", printed[1], "1"]


def test_functions_called_underscore_are_told_apart(tmp_path, folder):
    function = "@cacheable\ndef _(x): return {0!r}\nprint(_(1))\n"
    one, two = function.format("one"), function.format("two")
    assert run(tmp_path / "program.py", textwrap.indent(one, " " * 8), folder)[0] == ["one"]
    assert run(tmp_path / "program.py", textwrap.indent(two + one, " " * 8), folder)[0] == ["two", "one"]
