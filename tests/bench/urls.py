"""The product's addresses, and the least that a server with the same middleware can answer."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import path

from dashboard import urls
from dashboard.urls import handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


@login_not_required
def empty(_request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [*urls.urlpatterns, path("bench/empty/", empty, name="bench-empty")]
