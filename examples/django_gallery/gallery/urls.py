"""URLs of the gallery."""

from django.conf import settings
from django.urls import path
from django.views.static import serve

from gallery import views

urlpatterns = [
    path("", views.gallery, name="gallery"),
    path("async/", views.gallery_async, name="gallery-async"),
    path("later/", views.gallery_later, name="gallery-later"),
    path("webhook/", views.receiver.django_view, name="webhook"),
    path("images/<path:path>", serve, {"document_root": settings.MEDIA_ROOT}, name="image"),
]
