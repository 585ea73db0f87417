# ruff: noqa: DJ008 - nobody reads their names
"""Models of each kind, each with a manager that caches."""

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from zoocache.contrib.django import ZooCacheManager, ZooCacheQuerySet


class Author(models.Model):
    name = models.CharField(max_length=50)
    cached = ZooCacheManager()

    class Meta:
        ordering = ("name",)

    def __str__(self):
        return self.name


class Profile(models.Model):
    author = models.OneToOneField(Author, models.CASCADE, primary_key=True)
    bio = models.TextField(default="")
    cached = ZooCacheManager()


class Tag(models.Model):
    word = models.CharField(max_length=20)
    cached = ZooCacheManager()

    class Meta:
        ordering = ("word",)


class BookQuerySet(ZooCacheQuerySet):
    def cheap(self):
        return self.filter(price__lt=5)


class Book(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    co_author = models.ForeignKey(Author, models.SET_NULL, null=True, related_name="co_books")
    tags = models.ManyToManyField(Tag, related_name="books")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=1)
    ratio = models.FloatField(default=0.5)
    published = models.DateField(null=True)
    seen = models.DateTimeField(null=True)
    at = models.TimeField(null=True)
    took = models.DurationField(null=True)
    uid = models.UUIDField(default=uuid.uuid4)
    data = models.JSONField(default=dict)
    blob = models.BinaryField(default=b"")
    is_new = models.BooleanField(default=True)
    notes = GenericRelation("django_shop.Note")

    cached = ZooCacheManager.from_queryset(BookQuerySet)()

    class Meta:
        ordering = ("id",)

    def __str__(self):
        return self.title


class Review(models.Model):
    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    text = models.TextField(default="")
    stars = models.IntegerField(default=3)
    cached = ZooCacheManager()

    class Meta:
        ordering = ("id",)


class Note(models.Model):
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveIntegerField()
    about = GenericForeignKey()
    text = models.TextField()
    cached = ZooCacheManager()


class Classic(Book):
    class Meta:
        proxy = True


class Place(models.Model):
    name = models.CharField(max_length=50)
    cached = ZooCacheManager()


class Shop(Place):
    rooms = models.IntegerField(default=1)
    cached = ZooCacheManager()


class Category(models.Model):
    name = models.CharField(max_length=50)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")
    cached = ZooCacheManager()


class Token(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    text = models.TextField(default="")
    cached = ZooCacheManager()


class Word(models.Model):
    text = models.CharField(max_length=300, primary_key=True)
    count = models.IntegerField(default=0)
    cached = ZooCacheManager(ttl=60, prefix="words")
