"""The API: posts with their comments."""

from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.decorators import method_decorator
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from blog.models import Author, Comment, Post, Tag
from zoocache.contrib.django import cache_view, cacheable_serializer


class NameField(serializers.SlugRelatedField):
    """Shows a row by its name, and adds a row for a name that is new."""

    def __init__(self, **options: Any) -> None:
        super().__init__(slug_field="name", **options)

    def to_internal_value(self, data: object) -> Author | Tag:
        """Find the row, or add it."""
        name = serializers.CharField(max_length=50).run_validation(data)
        return self.get_queryset().get_or_create(name=name)[0]


class CommentSerializer(serializers.ModelSerializer):
    """A comment below its post."""

    class Meta:
        """What is shown."""

        model = Comment
        fields = ("id", "text")


@cacheable_serializer(shared=True)
class PostSerializer(serializers.ModelSerializer):
    """A post, as everybody sees it. A list of posts is made of these, so a change costs one of them."""

    author = NameField(queryset=Author.objects.all(), required=False)
    tags = NameField(queryset=Tag.objects.all(), many=True, required=False)
    comments = CommentSerializer(many=True, read_only=True)

    class Meta:
        """What is shown."""

        model = Post
        fields = ("id", "title", "text", "author", "tags", "version", "comments")
        read_only_fields = ("version",)


cached = method_decorator(cache_view(shared=True, http=True, cluster_lock=True))


class PostViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.CreateModelMixin, GenericViewSet):
    """Posts. What they show is stale with the commit of a change, and nothing is to be done here for that."""

    queryset = Post.cached.select_related("author").prefetch_related("tags", "comments").order_by("id")
    serializer_class = PostSerializer
    lookup_value_regex = "[0-9]{1,9}"

    list = cached(mixins.ListModelMixin.list)
    retrieve = cached(mixins.RetrieveModelMixin.retrieve)

    @transaction.atomic
    def perform_create(self, serializer: PostSerializer) -> None:
        """Add a post with its tags."""
        serializer.save()

    @transaction.atomic
    def update(self, request: Request, pk: str, *, partial: bool = False) -> Response:
        """Change a post, or add it under this number."""
        # Who changes it at the same time waits here.
        Post.objects.filter(pk=pk).update(version=F("version") + 1)
        post = get_object_or_404(Post, pk=pk) if partial else Post.objects.filter(pk=pk).first()
        serializer = self.get_serializer(post, data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        serializer.save(pk=pk)
        return Response(serializer.data, status.HTTP_201_CREATED if post is None else status.HTTP_200_OK)

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change something of a post."""
        return self.update(request, pk, partial=True)

    @action(detail=True, methods=["post"])
    def comments(self, request: Request, pk: str) -> Response:
        """Write a comment."""
        serializer = CommentSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        serializer.save(post=get_object_or_404(Post, pk=pk))
        return Response(serializer.data, status.HTTP_201_CREATED)
