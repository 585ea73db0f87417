"""Authors, and their posts with tags and comments."""

from django.db import models

from zoocache.contrib.django import ZooCacheManager


class Author(models.Model):
    """Who writes."""

    name = models.CharField(max_length=50, unique=True)

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    """What posts are about."""

    name = models.CharField(max_length=50, unique=True)

    def __str__(self) -> str:
        return self.name


class Post(models.Model):
    """What somebody has written; `version` counts the changes."""

    author = models.ForeignKey(Author, models.SET_NULL, null=True, related_name="posts")
    title = models.CharField(max_length=100)
    text = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=1)
    tags = models.ManyToManyField(Tag, related_name="posts")

    #: Beside `objects`, which reads from the database.
    cached = ZooCacheManager()

    def __str__(self) -> str:
        return self.title


class Comment(models.Model):
    """What somebody says to it."""

    post = models.ForeignKey(Post, models.CASCADE, related_name="comments")
    text = models.TextField()

    def __str__(self) -> str:
        return self.text
