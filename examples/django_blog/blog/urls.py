"""Where everything is."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from blog.api import PostViewSet
from blog.pages import index, me

api = SimpleRouter(trailing_slash=False)
api.register("posts", PostViewSet)

urlpatterns = [path("", index), path("me", me), path("api/", include(api.urls))]
