"""The package's names, tags, and what a manager does to its model."""

import uuid

import pytest
from django.db import models
from django.test.utils import isolate_apps
from django_shop.models import Author, Book, Classic, Shop, Tag, Token, Word
from helpers import program
from hypothesis import given
from hypothesis import strategies as st

import zoocache
from zoocache.contrib import django as package
from zoocache.contrib.django import ZooCacheManager, ZooCacheQuerySet, instance_tag, model_tag


def test_names_are_there_before_the_applications_are():
    names = program("""
        from zoocache.contrib.django import ZooCacheManager, ZooCacheQuerySet, instance_tag, model_tag
        import sys
        print("rest_framework" in sys.modules)
    """)
    assert names == "False\n"


def test_without_rest_framework_only_the_serializers_are_missing():
    said = program("""
        import sys
        sys.modules["rest_framework"] = None
        from django.conf import settings
        settings.configure()
        import django
        django.setup()
        from zoocache.contrib import django as package
        print(package.ZooCacheManager.__name__)
        try:
            package.cacheable_serializer
        except ImportError as error:
            print(error)
    """)
    assert said.startswith("ZooCacheManager\n")
    assert "pip install djangorestframework" in said


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        package.nonsense  # noqa: B018 - it raises
    assert {"ZooCacheManager", "CacheBackend"} <= set(dir(package))


def test_tags():
    assert model_tag(Book) == model_tag(Book()) == model_tag(Classic) == "django_shop.book"
    assert instance_tag(Classic(pk=3)) == instance_tag(Book(pk="3")) == "django_shop.book:3"
    assert instance_tag(Shop(pk=4)) == "django_shop.shop:4"
    token = uuid.UUID(int=1)
    assert instance_tag(Token(pk=token)) == instance_tag(Token(pk=token.hex)) == f"django_shop.token:{token}"
    assert instance_tag(Word(pk="a.b@c.de")) == "django_shop.word:a.b@c.de"
    assert instance_tag(Word(pk="a:*")) == "django_shop.word:a%3A%2A"


@given(st.text(max_size=400), st.text(max_size=400))
def test_tags_of_texts_are_valid_and_their_own(one, other):
    tags = [instance_tag(Word(pk=text)) for text in (one, other)]
    zoocache.invalidate(*tags)
    assert (tags[0] == tags[1]) == (one == other)
    assert all(tag.count(":") == 1 and len(tag) <= 256 for tag in tags)


@pytest.mark.parametrize(
    ("function", "argument", "error"),
    [
        (model_tag, "book", TypeError),
        (
            model_tag,
            type(
                "Abstract",
                (models.Model,),
                {"__module__": "django_shop", "Meta": type("Meta", (), {"abstract": True})},
            ),
            TypeError,
        ),
        (instance_tag, Book, TypeError),
        (instance_tag, Book(), ValueError),
    ],
)
def test_what_has_no_tag(function, argument, error):
    with pytest.raises(error, match=r"model|instance|abstract|save it first"):
        function(argument)


def test_a_plain_manager_stands_beside():
    assert type(Author.objects) is models.Manager
    assert Author._default_manager.name == "objects"
    assert type(Author._base_manager) is models.Manager
    assert isinstance(Author.cached, ZooCacheManager)
    assert isinstance(Author.cached.all(), ZooCacheQuerySet)


def made(name, **attributes):
    meta = type("Meta", (), {"app_label": "django_shop", **attributes.pop("meta", {})})
    return type(name, (models.Model,), {"__module__": __name__, "Meta": meta, **attributes})


@isolate_apps("django_shop")
def test_managers_that_are_there_are_left_alone():
    class Own(models.Manager):
        pass

    both = made("WithBoth", cached=ZooCacheManager(), objects=Own())
    assert type(both.objects) is Own
    other = made("WithOther", published=Own(), cached=ZooCacheManager())
    assert not hasattr(other, "objects")
    assert not hasattr(made("WithNone", cached=ZooCacheManager(ensure_objects_manager=False)), "objects")
    base = made("WithAbstract", cached=ZooCacheManager(ttl=5), meta={"abstract": True})
    child = type(
        "OfAbstract",
        (base,),
        {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "django_shop"})},
    )
    assert type(child.objects) is models.Manager
    assert child.cached.all().query.zoocache.ttl == 5


@isolate_apps("django_shop")
def test_it_is_no_base_manager():
    model = made("Based", cached=ZooCacheManager(), meta={"base_manager_name": "cached"})
    assert [error.id for error in model.check() if error.id.startswith("zoocache")] == ["zoocache.E001"]
    assert [error for error in Author.check() if error.id.startswith("zoocache")] == []


@pytest.mark.parametrize("wrong", [{"ttl": -1}, {"ttl": "soon"}, {"prefix": 7}])
def test_wrong_options(wrong):
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        ZooCacheManager(**wrong)


def test_a_queryset_class_that_does_not_cache():
    with pytest.raises(TypeError, match="must derive from ZooCacheQuerySet"):
        ZooCacheManager.from_queryset(models.QuerySet)


def test_as_manager(db, sql):
    manager = ZooCacheQuerySet.as_manager()
    manager.model = Tag
    assert manager.count() == 0
    assert sql(manager.count) == (0, 0)
