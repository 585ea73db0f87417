"""The pages."""

from django.core.cache import cache
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from blog.models import Post, Tag
from zoocache.contrib.django import cache_view


def index(request: HttpRequest) -> HttpResponse:
    """Show all posts. The template caches what it makes of them."""
    tags = cache.get_or_set("tag-cloud", tag_cloud, timeout=None)
    return render(request, "index.html", {"posts": Post.cached.order_by("-id"), "tags": tags})


def tag_cloud() -> list[dict[str, object]]:
    """Count the posts of each tag. It runs again when a tag, or what is tagged, has changed."""
    return list(Tag.objects.annotate(count=Count("posts")).order_by("name").values("name", "count"))


@cache_view(http=True)
def me(request: HttpRequest) -> HttpResponse:
    """Show what somebody has written. Who asks is part of the key, so nobody gets another's page."""
    name = request.headers.get("Authorization")
    if name is None:
        return JsonResponse({"detail": "say who you are: Authorization: NAME"}, status=401)
    titles = Post.cached.filter(author__name=name).order_by("id").values_list("title", flat=True)
    return JsonResponse({"of": name, "posts": list(titles)})
