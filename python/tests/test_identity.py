"""Which function and which parameters a key names, however a call is written."""

import functools
import gc

import pytest
from helpers import Counted

from zoocache import ConfigError, cacheable, invalidate


def test_one_call_has_one_entry_however_it_is_written():
    f = Counted("x, y=2, *, z=3")
    assert (
        f.entries(
            lambda f: f(1),
            lambda f: f(x=1),
            lambda f: f(1, 2),
            lambda f: f(1, y=2),
            lambda f: f(y=2, x=1),
            lambda f: f(1, z=3),
            lambda f: f(z=3, y=2, x=1),
            lambda f: f(*[1], z=3),
            lambda f: functools.partial(f, 1)(z=3),
        )
        == 1
    )


def test_keyword_order_does_not_matter():
    f = Counted("**kwargs")
    assert f.entries(lambda f: f(a=1, b=2), lambda f: f(b=2, a=1)) == 1
    assert f.entries(lambda f: f(a=2, b=1)) == 1


def test_extra_arguments_are_not_taken_for_named_ones():
    f = Counted("a=0, *args, b=0, **kwargs")
    assert (
        f.entries(
            lambda f: f(),
            lambda f: f(0, 0),
            lambda f: f(0, 0, 0),
            lambda f: f(c=0),
            lambda f: f(0, 0, c=0),
            lambda f: f(0, (0, 0)),
            lambda f: f(0, [0, 0]),
            lambda f: f(d=0),
            lambda f: f(c={"d": 0}),
            lambda f: f(c=0, d=0),
        )
        == 10
    )


def test_extra_keywords_can_be_any_text():
    f = Counted("**kwargs")
    names = ["a", "a'", "a=1,'b", "'", "\\", "", "\ud800", "\0", "a\\'", "é"]
    assert f.entries(*(lambda f, n=n: f(**{n: 1}) for n in names)) == len(names)


def test_positional_only_and_keyword_only():
    f = Counted("a, /, b, *, c, **kwargs")
    assert f.entries(lambda f: f(1, 2, c=3), lambda f: f(1, b=2, c=3)) == 1
    assert f.entries(lambda f: f(1, 2, c=3, a=4)) == 1
    assert f.entries(lambda f: f(4, 2, c=3, a=1)) == 1
    with pytest.raises(TypeError):
        f.f(b=2, c=3, a=1)


def test_a_default_that_changes_is_part_of_the_key():
    default = [1]
    calls = []

    @cacheable
    def f(x, more=default):
        calls.append(x)
        return (x, list(more))

    assert f(1) == (1, [1])
    default.append(2)
    assert f(1) == f(1) == (1, [1, 2])
    assert f(1, [1]) == (1, [1])
    assert len(calls) == 2


def test_ignored_parameters_take_no_part_in_the_key():
    f = Counted("x, session=None, *, log=None", ignore=("session", "log"))
    assert (
        f.entries(
            lambda f: f(1), lambda f: f(1, object()), lambda f: f(1, session=5, log=print), lambda f: f(x=1)
        )
        == 1
    )
    assert f.entries(lambda f: f(2, object())) == 1


def test_ignore_refuses_what_is_not_there():
    with pytest.raises(ValueError, match="'nothing'"):
        cacheable(ignore=("nothing",))(lambda x: x)
    with pytest.raises(TypeError, match=r"ignore=\('x',\)"):
        cacheable(ignore="x")(lambda x: x)


def make_adder(n):
    @cacheable
    def add(x):
        return x + n

    return add


def test_closures_of_one_factory_are_different_functions():
    one, two = make_adder(1), make_adder(2)
    assert (one(1), two(1), one(1), two(1)) == (2, 3, 2, 3)
    assert one.tag != two.tag
    assert one.key(1) != two.key(1)
    invalidate(one.tag)
    assert (one.stats()["entries"], two.stats()["entries"]) == (0, 1)


def test_lambdas_of_one_line_are_different_functions():
    first, second = cacheable(lambda x: x), cacheable(lambda x: -x)
    assert (first(1), second(1)) == (1, -1)


def test_functions_of_the_same_code_in_other_globals_are_different_functions():
    source = "def f(x): return x + n"
    results = []
    for number in range(20):
        scope = {"__name__": "module", "n": number}
        exec(source, scope)  # noqa: S102
        results.append(cacheable(scope["f"])(1))
        del scope
        gc.collect()
    assert results == [1 + number for number in range(20)]


def test_bound_methods_of_different_objects_are_different_functions():
    class Adder:
        def __init__(self, n):
            self.n = n

        def add(self, x):
            return x + self.n

    one, two = cacheable(Adder(1).add), cacheable(Adder(2).add)
    assert (one(1), two(1)) == (2, 3)


def test_defaults_tell_functions_apart_even_if_they_are_equal():
    def make(default):
        @cacheable(ignore=("default",), copy="share")
        def f(x, default=default):
            return default

        return f

    results = [make(default)(1) for default in (1, True, 1.0)]
    assert [type(result) for result in results] == [int, bool, float]


def test_the_same_function_decorated_anew_keeps_its_entries():
    def f(x):
        return object()

    assert cacheable(f)(1) is cacheable(f)(1)
    # Other options make another function.
    assert cacheable(f)(1) is not cacheable(ttl=5)(f)(1)


def test_a_namespace_tells_functions_apart_and_says_that_they_are_the_same():
    def f(x):
        return object()

    blue, red = cacheable(namespace="blue")(f), cacheable(namespace="red")(f)
    assert blue(1) is not red(1)
    assert blue(1) is cacheable(namespace="blue")(f)(1)
    assert blue.tag != red.tag
    assert make_named(1)(1) is make_named(2)(1)


def make_named(n):
    @cacheable(namespace="shared", copy="share")
    def f(x):
        return [n]

    return f


@pytest.mark.parametrize("namespace", ["", "a:b", "a b", "é|", "*", "x(", ".", "..", "x" * 1000, "'"])
def test_any_namespace_gives_a_tag(namespace):
    f = cacheable(namespace=namespace)(lambda x: object())
    first = f(1)
    assert f(1) is first
    invalidate(f.tag)
    assert f(1) is not first


@pytest.mark.parametrize("namespace", [5, b"x", "\ud800"])
def test_a_senseless_namespace_is_refused(namespace):
    with pytest.raises(ValueError, match="namespace"):
        cacheable(namespace=namespace)(lambda: None)


def test_functions_of_long_names_have_tags_of_their_own():
    tags = set()
    for number in range(3):

        def f():
            pass

        f.__qualname__ = "very." * 100 + f"name{number}"
        tags.add(cacheable(f).tag)
    assert len(tags) == 3


@pytest.mark.parametrize("namespace", [None, "blue"])
def test_a_version_makes_earlier_results_unreachable(namespace):
    def f(x):
        return object()

    results = []
    for version in (1, 2, "2", "beta", 0):
        cached = cacheable(version=version, namespace=namespace)(f)
        results.append(cached(1))
        assert cached(1) is results[-1]
        # Decorated anew, as by the next process: the same version has the same results.
        assert cacheable(version=version, namespace=namespace)(f)(1) is results[-1]
    assert len(set(results)) == 5


def test_the_first_version_is_no_part_of_the_key():
    def f(x):
        return x

    assert cacheable(f).key(1) == cacheable(version=1)(f).key(1)
    assert cacheable(namespace="a")(f).key(1) == cacheable(namespace="a", version=1)(f).key(1)
    assert cacheable(version=2)(f).tag != cacheable(f).tag


@pytest.mark.parametrize("version", [None, 1.5, True, b"2", -1, 2**63, "", "x" * 101, "\ud800", (1,)])
def test_a_senseless_version_is_refused(version):
    with pytest.raises(ConfigError, match="version"):
        cacheable(version=version)(lambda: None)


def test_names_namespaces_and_versions_are_never_taken_for_one_another():
    keys, tags = {}, {}
    parts = ["f", "f@a", "f~2", "f#2", "f@", "f~'2'", "f%40a", "f@a~2"]
    for name in parts:
        for namespace in (None, "", "a", "a~2", "@a", "2", "a#2"):
            for version in (1, 2, "1", "2", "2'@a", "2~2", "2%27@a"):

                def f():
                    pass

                f.__qualname__ = name
                cached = cacheable(namespace=namespace, version=version)(f)
                call = (name, namespace, version)
                assert keys.setdefault(cached.key(), call) == call
                assert tags.setdefault(cached.tag, call) == call
    assert len(keys) == len(tags) == len(parts) * 7 * 7
