# ruff: noqa: PT012 - blocks that are rolled back have several statements
"""Representations are those of a plain serializer, each user's own, and fresh after a write."""

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.db import transaction
from django.test import RequestFactory
from django.utils import timezone, translation
from django_shop.models import Author, Book, Review, Shop, Tag
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

import zoocache
from zoocache.contrib.django import (
    BaseCacheableSerializerMixin,
    CacheableListSerializerMixin,
    CacheableSerializerMixin,
    cacheable_serializer,
    instance_tag,
)


class ReviewSerializer(serializers.ModelSerializer):
    class Meta:
        model = Review
        fields = ("text", "stars")


class AuthorSerializer(serializers.ModelSerializer):
    class Meta:
        model = Author
        fields = ("id", "name")


class BookSerializer(serializers.ModelSerializer):
    author = AuthorSerializer()
    reviews = ReviewSerializer(many=True)
    tags = serializers.StringRelatedField(many=True)
    rating = serializers.SerializerMethodField()
    asked_by = serializers.SerializerMethodField()

    class Meta:
        model = Book
        fields = (
            "id",
            "title",
            "author",
            "reviews",
            "tags",
            "price",
            "seen",
            "data",
            "uid",
            "rating",
            "asked_by",
        )

    def get_rating(self, book):
        return sum(review.stars for review in Review.objects.using(book._state.db).filter(book=book))

    def get_asked_by(self, _book):
        request = self.context.get("request")
        return request and str(request.user)


decorated = cacheable_serializer(type("Decorated", (BookSerializer,), {"__module__": __name__}))


class Mixed(CacheableSerializerMixin, BookSerializer):
    pass


class Listed(CacheableListSerializerMixin, serializers.ListSerializer):
    pass


class Based(BaseCacheableSerializerMixin, BookSerializer):
    class Meta(BookSerializer.Meta):
        list_serializer_class = Listed


KINDS = {"decorator": decorated, "mixin": Mixed, "base": Based}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def cached(request):
    return request.param


@pytest.fixture
def books(on):
    with transaction.atomic(on):
        ann = Author.objects.using(on).create(name="ann")
        red = Tag.objects.using(on).create(word="red")
        for number in range(3):
            book = Book.objects.using(on).create(
                title=f"book {number}", author=ann, seen=timezone.now(), data={"n": [1]}
            )
            book.tags.add(red)
            Review.objects.using(on).create(book=book, stars=number)
    return on


LOADED = {
    "plain": lambda books: books,
    "loaded": lambda books: books.select_related("author").prefetch_related("reviews", "tags"),
    "cached": lambda books: Book.cached.using(books.db).select_related("author"),
}


@pytest.mark.parametrize("load", LOADED.values(), ids=LOADED)
def test_representations_are_those_of_a_plain_serializer(load, cached, books, sql):
    def load_books():
        return load(Book.objects.using(books))

    plain = BookSerializer(load_books(), many=True).data
    for _ in range(2):
        data = cached(load_books(), many=True).data
        assert (data, type(data)) == (plain, type(plain))
        assert [type(item) for item in data] == [type(item) for item in plain]
        one = cached(load_books()[0]).data
        assert (one, type(one)) == (
            BookSerializer(load_books()[0]).data,
            type(BookSerializer(load_books()[0]).data),
        )
    loaded = list(load_books())
    assert sql(lambda: cached(loaded, many=True).data, using=books) == (0, plain)
    data[0]["data"]["n"].append("changed")
    assert cached(loaded, many=True).data == plain


WRITES = {
    "itself": lambda alias: Book.objects.using(alias).update(title="new"),
    "nested": lambda alias: Author.objects.using(alias).update(name="new"),
    "nested list": lambda alias: Review.objects.using(alias).first().delete(),
    "many to many": lambda alias: Book.objects.using(alias).first().tags.clear(),
    "related by text": lambda alias: Tag.objects.using(alias).get().delete(),
    "method": lambda alias: Review.objects.using(alias).update(stars=9),
}


@pytest.mark.parametrize("load", LOADED.values(), ids=LOADED)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_representations_are_fresh_after_a_write(write, load, books):
    def is_fresh():
        found = load(Book.objects.using(books))
        return decorated(found.all(), many=True).data == BookSerializer(found.all(), many=True).data

    assert is_fresh()
    with pytest.raises(ZeroDivisionError), transaction.atomic(books):
        write(books)
        assert is_fresh()
        raise ZeroDivisionError
    assert is_fresh()
    write(books)
    assert is_fresh()


def test_what_was_loaded_before_a_write_does_not_stay(books):
    """The serializer is called after the invalidation with what was read before it."""
    old = Book.objects.using(books).select_related("author").first()
    Author.objects.using(books).update(name="new")
    assert decorated(old).data["author"]["name"] == "ann"
    new = Book.objects.using(books).select_related("author").get(pk=old.pk)
    assert decorated(new).data["author"]["name"] == "new"


def test_what_is_not_saved_is_nobody_elses(books):
    book = Book.objects.using(books).first()
    book.title = "draft"
    assert decorated(book).data["title"] == "draft"
    assert decorated(Book.objects.using(books).first()).data["title"] == "book 0"
    unsaved = Book(title="unsaved", author=book.author)
    with zoocache.context.DepsTracker():
        assert AuthorSerializer(unsaved.author).data["name"] == "ann"
    assert cacheable_serializer(type("S", (ReviewSerializer,), {}))(Review(text="x")).data == {
        "text": "x",
        "stars": 3,
    }


def test_an_instance_tag_invalidates(books, sql):
    book = Book.objects.using(books).select_related("author").prefetch_related("reviews", "tags").first()
    assert decorated(book).data["title"] == "book 0"
    assert sql(lambda: decorated(book).data, using=books)[0] == 0
    zoocache.invalidate(instance_tag(book))
    assert sql(lambda: decorated(book).data, using=books)[0] > 0


def request_of(user, url="/"):
    request = Request(APIRequestFactory().get(url))
    request.user = user
    return request


def test_users_have_representations_of_their_own(cached, books):
    users = [User(pk=1, username="ann"), User(pk=2, username="bob"), AnonymousUser()]
    book = Book.objects.using(books).first()
    for user in users * 2:
        context = {"request": request_of(user)}
        assert cached(book, context=context).data["asked_by"] == str(user)
        assert cached([book], many=True, context=context).data[0]["asked_by"] == str(user)


class Noted(serializers.ModelSerializer):
    seen = 0
    note = serializers.SerializerMethodField()

    class Meta:
        model = Author
        fields = ("name", "note")

    def __init__(self, *args, only=None, **kwargs):
        super().__init__(*args, **kwargs)
        if only:
            self.fields.pop(only)

    def get_note(self, _author):
        type(self).seen += 1
        return str(timezone.now())


def computed(serializer, *calls):
    """Return how many representations were computed."""
    before = serializer.seen
    for call in calls:
        call()
    return serializer.seen - before


@pytest.fixture
def author(db):
    return Author.objects.create(name="ann")


def noted(**options):
    return cacheable_serializer(**options)(type("Note", (Noted,), {"__module__": __name__}))


def test_what_the_key_is_made_of(author):
    cls = noted()

    def call(url="/", user=None, **context):
        request = request_of(user or AnonymousUser(), url)
        return lambda: cls(author, context={"request": request, **context}).data

    assert computed(cls, call(), call()) == 1
    assert computed(cls, call("/?a=1"), call("/?a=2"), call("/?a=1")) == 2
    assert computed(cls, call(currency="EUR"), call(currency="USD"), call(currency="EUR")) == 2
    assert computed(cls, call(what=object()), call(what=object())) == 2
    with translation.override("de"):
        assert computed(cls, call(), call()) == 1
    with timezone.override("Asia/Tokyo"):
        assert computed(cls, call(), call()) == 1
    assert set(cls(author, only="name").data) == {"note"}
    assert set(cls(author).data) == {"name", "note"}


def test_options(author):
    users = [User(pk=1), User(pk=2)]
    context = [
        {"request": request_of(user, f"/?page={user.pk}&fields=a"), "what": object()} for user in users
    ]
    for options, count in (
        ({"shared": True, "context": (), "query_params": ("fields",)}, 1),
        ({"context": (), "query_params": ("fields",)}, 2),
        ({"shared": True, "context": ()}, 2),
        ({"shared": True, "query_params": ()}, 4),
    ):
        cls = noted(**options)
        calls = [lambda each=each, cls=cls: cls(author, context=each).data for each in context]
        assert computed(cls, *calls, *calls) == count


def test_a_user_whose_groups_change_is_asked_anew(author):
    cls = noted()
    user = User(pk=5, username="ann")

    def call():
        return cls(author, context={"request": request_of(user)}).data

    assert computed(cls, call, call) == 1
    zoocache.invalidate("auth.user:5")
    assert computed(cls, call) == 1


def test_a_list_is_one_round_trip(author):
    cls = noted()
    Author.objects.create(name="bob")
    assert computed(cls, lambda: cls(Author.objects.all(), many=True).data) == 2
    assert computed(cls, lambda: cls(Author.objects.all(), many=True).data) == 0


def test_nested_serializers_are_cached_by_themselves(books):
    inner = cacheable_serializer(type("Inner", (ReviewSerializer,), {"__module__": __name__}))
    outer = cacheable_serializer(
        type("Outer", (BookSerializer,), {"__module__": __name__, "reviews": inner(many=True)})
    )
    for _ in range(2):
        found = Book.objects.using(books)
        assert outer(found, many=True).data == BookSerializer(found, many=True).data
    Review.objects.using(books).update(text="new")
    assert outer(found.all(), many=True).data == BookSerializer(found.all(), many=True).data


def test_a_class_that_names_itself_and_one_that_adds_to_it(author):
    @cacheable_serializer
    class Own(serializers.ModelSerializer):
        class Meta:
            model = Author
            fields = ("name",)

        def to_representation(self, instance):
            return {**super(Own, self).to_representation(instance), "kind": "author"}  # noqa: UP008

    class More(Own):
        def to_representation(self, instance):
            return {**super().to_representation(instance), "more": True}

    for _ in range(2):
        assert Own([author], many=True).data == [{"name": "ann", "kind": "author"}]
        assert More([author], many=True).data == [{"name": "ann", "kind": "author", "more": True}]
        assert More(author).data == {"name": "ann", "kind": "author", "more": True}


def test_multi_table_inheritance(db):
    cls = cacheable_serializer(
        type(
            "ShopSerializer",
            (serializers.ModelSerializer,),
            {"__module__": __name__, "Meta": type("Meta", (), {"model": Shop, "fields": ("name", "rooms")})},
        )
    )
    shop = Shop.objects.create(name="corner")
    assert cls(shop).data == {"name": "corner", "rooms": 1}
    shop.place_ptr.name = "new"
    shop.place_ptr.save()
    assert cls(Shop.objects.get()).data == {"name": "new", "rooms": 1}


def test_a_list_in_a_validated_serializer_is_not_touched(author):
    cls = noted()
    serializer = cls(data=[{"name": "x"}], many=True)
    assert serializer.is_valid()
    assert serializer.data[0]["name"] == "x"


@pytest.mark.parametrize("wrong", [{"ttl": -1}, {"context": "request"}, {"query_params": "page"}])
def test_wrong_options(wrong):
    with pytest.raises((ValueError, TypeError), match=r"ttl|context|query_params"):
        cacheable_serializer(**wrong)


@pytest.mark.parametrize("wrong", [Author, serializers.ListSerializer, 7])
def test_what_is_no_serializer(wrong):
    with pytest.raises(TypeError, match="serializer class"):
        cacheable_serializer(wrong)


def test_what_visitors_have_in_their_sessions(books):
    @cacheable_serializer
    class WithBasket(serializers.ModelSerializer):
        chosen = serializers.SerializerMethodField()

        def get_chosen(self, book):
            return book.pk in self.context["request"].session.get("basket", [])

        class Meta:
            model = Book
            fields = ("chosen",)

    book = Book.objects.using(books).first()

    def chosen(*basket):
        request = RequestFactory().get("/")
        request.user, request.session = AnonymousUser(), SessionStore()
        if basket:
            request.session["basket"] = list(basket)
        return WithBasket(book, context={"request": request}).data["chosen"]

    assert [chosen(book.pk), chosen(), chosen(book.pk), chosen(0)] == [True, False, True, False]
