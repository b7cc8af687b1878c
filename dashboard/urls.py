"""Every address of the product on one screen. A name here is the name of the view, the template and the test."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, path

from dashboard.views import batch, batches, connections, health, sign_in

urlpatterns: list[URLPattern | URLResolver] = [
    # For now the list; the overview takes this address.
    path("", batches.home, name="home"),
    # /batches/
    path("batches/", batches.batches, name="batches"),
    path("batches/<int:pk>/", batch.batch, name="batch"),
    path("batches/<int:pk>/cancel/", batch.cancel, name="batch-cancel"),
    # /connections/
    path("connections/", connections.connections, name="connections"),
    path("connections/add/", connections.add, name="connection-add"),
    path("connections/<int:pk>/", connections.edit, name="connection"),
    path("connections/<int:pk>/test/", connections.test, name="connection-test"),
    path("connections/<int:pk>/pause/", connections.pause, name="connection-pause"),
    path("connections/<int:pk>/delete/", connections.delete, name="connection-delete"),
    path("connections/<int:pk>/restore/", connections.restore, name="connection-restore"),
    # People
    path("sign-in/", sign_in.SignIn.as_view(), name="login"),
    path("sign-in/first/", sign_in.first, name="first-admin"),
    path("sign-out/", sign_in.sign_out, name="logout"),
    # Machines
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("robots.txt", health.robots, name="robots"),
]

if settings.ADMIN_ENABLED:
    from django.contrib import admin

    urlpatterns.append(path("admin/", admin.site.urls))

handler400 = "dashboard.views.health.bad_request"
handler403 = "dashboard.views.health.forbidden"
handler404 = "dashboard.views.health.not_found"
handler500 = "dashboard.views.health.broken"
