"""Which address shows what."""

from django.conf import settings
from django.urls import path
from django.views.static import serve

from gallery import views

urlpatterns = [
    path("", views.gallery, name="gallery"),
    path("async/", views.gallery_async, name="gallery-async"),
    path("later/", views.gallery_later, name="gallery-later"),
    path("webhook/", views.receiver.django_view, name="webhook"),
    path("pictures/<path:path>", serve, {"document_root": settings.MEDIA_ROOT}, name="picture"),
]
