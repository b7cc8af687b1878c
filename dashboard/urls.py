"""Every address of the product on one screen. A name here is the name of the view, the template and the test."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path

from dashboard.views import (
    attention,
    audit,
    batch,
    batch_activity,
    batch_export,
    batch_files,
    batch_requests,
    batches,
    batches_export,
    columns,
    connections,
    error_group,
    errors,
    health,
    input_line,
    invitations,
    overview,
    people,
    saved_views,
    shared,
    shares,
    sign_in,
    suggestions,
    wall,
    you,
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("", overview.overview, name="overview"),
    path("charts/<str:name>.<str:form>", overview.chart, name="chart"),
    # /batches/
    path("batches/", batches.batches, name="batches"),
    path("batches.<str:form>", batches_export.batches_export, name="batches-export"),
    path("batches/columns/", columns.columns, name="columns"),
    path("batches/views/", saved_views.saved_views, name="saved-views"),
    path("batches/views/add/", saved_views.add, name="saved-view-add"),
    path("batches/views/<int:pk>/", saved_views.edit, name="saved-view"),
    path("batches/views/<int:pk>/delete/", saved_views.delete, name="saved-view-delete"),
    path("batches/suggestions/", suggestions.batch_suggestions, name="batch-suggestions"),
    path("batches/<int:pk>/", batch.batch, name="batch"),
    path("batches/<int:pk>/activity/", batch_activity.batch_activity, name="batch-activity"),
    path("batches/<int:pk>/raw.json", batch.raw, name="batch-raw"),
    path("batches/<int:pk>/cancel/", batch.cancel, name="batch-cancel"),
    path("batches/<int:pk>/errors.<str:form>", batch_export.errors, name="batch-errors-export"),
    path("batches/<int:pk>/requests/", batch_requests.batch_requests, name="batch-requests"),
    path("batches/<int:pk>/requests.<str:form>", batch_export.requests, name="batch-requests-export"),
    path("batches/<int:pk>/requests/<str:kind>/<int:line>/", batch_requests.batch_request, name="batch-request"),
    path("batches/<int:pk>/requests/<str:kind>/<int:line>/body/", batch_requests.body, name="batch-request-body"),
    path("batches/<int:pk>/requests/<str:kind>/<int:line>/input/", batch_requests.given, name="batch-request-input"),
    path("batches/<int:pk>/input/<int:line>/", input_line.input_line, name="input-line"),
    path("batches/<int:pk>/input/<int:line>/read/", input_line.read, name="input-line-read"),
    path("batches/<int:pk>/files/", batch_files.batch_files, name="batch-files"),
    path("batches/<int:pk>/files/<str:kind>/read/", batch_files.read, name="batch-file-read"),
    path("batches/<int:pk>/files/<str:kind>/preview/", batch_files.preview, name="batch-file-preview"),
    path("batches/<int:pk>/files/<str:kind>/download/", batch_files.download, name="batch-file-download"),
    # /attention/
    path("attention/", attention.attention, name="attention"),
    # /errors/
    path("errors/", errors.errors, name="errors"),
    path("errors/<int:pk>/", error_group.error_group, name="error-group"),
    path("errors.<str:form>", errors.export, name="errors-export"),
    # /connections/
    path("connections/", connections.connections, name="connections"),
    path("connections/add/", connections.add, name="connection-add"),
    path("connections/<int:pk>/", connections.edit, name="connection"),
    path("connections/<int:pk>/test/", connections.test, name="connection-test"),
    path("connections/<int:pk>/pause/", connections.pause, name="connection-pause"),
    path("connections/<int:pk>/delete/", connections.delete, name="connection-delete"),
    path("connections/<int:pk>/restore/", connections.restore, name="connection-restore"),
    # Screens that nobody touches
    path("wall/", wall.wall, name="wall"),
    path("wall/<str:token>/", wall.wall_by_link, name="wall-by-link"),
    # /people/
    path("people/", people.people, name="people"),
    path("people/invite/", invitations.invite, name="invite"),
    path("people/invitations/<int:pk>/renew/", invitations.renew, name="invitation-renew"),
    path("people/invitations/<int:pk>/revoke/", invitations.revoke, name="invitation-revoke"),
    path("people/<int:pk>/", people.person, name="person"),
    path("people/<int:pk>/deactivate/", people.deactivate, name="person-deactivate"),
    path("people/<int:pk>/activate/", people.activate, name="person-activate"),
    path("people/<int:pk>/sign-out/", people.sign_out, name="person-sign-out"),
    path("people/<int:pk>/reset/", invitations.reset, name="person-reset"),
    path("people/<int:pk>/second-factor/", people.second_factor, name="person-second-factor"),
    path("invitation/<str:token>/", invitations.invitation, name="invitation"),
    # /audit/
    path("audit/", audit.audit, name="audit"),
    path("audit.<str:form>", audit.export, name="audit-export"),
    # One's own
    path("sign-in/", sign_in.SignIn.as_view(), name="login"),
    path("sign-in/first/", sign_in.first, name="first-admin"),
    path("sign-out/", sign_in.sign_out, name="logout"),
    path("you/", you.you, name="you"),
    path("you/look/", you.look, name="you-look"),
    path("you/password/", you.password, name="you-password"),
    path("you/sign-out/", you.sign_out, name="you-sign-out"),
    # /shares/
    path("shares/", shares.shares, name="shares"),
    path("shares/add/", shares.add, name="share-add"),
    path("shares/<int:pk>/", shares.edit, name="share"),
    path("shares/<int:pk>/rotate/", shares.rotate, name="share-rotate"),
    path("shares/<int:pk>/revoke/", shares.revoke, name="share-revoke"),
    path("shares/<int:pk>/take-over/", shares.take_over, name="share-take-over"),
    # Links: whoever has the token, and nobody signs in
    path("s/<str:token>/", shared.shared, name="shared"),
    path("s/<str:token>/password/", shared.shared_password, name="shared-password"),
    path("wall/<str:token>/password/", shared.wall_password, name="wall-password"),
    # Machines
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("robots.txt", health.robots, name="robots"),
]

if settings.ALLAUTH:
    from allauth.account import views as account
    from allauth.socialaccount import views as socialaccount

    # Its own names, by which it finds its way; the first two are pages of ours.
    urlpatterns += [
        path("sign-in/", sign_in.SignIn.as_view(), name="account_login"),
        path("sign-out/", sign_in.sign_out, name="account_logout"),
        path("sign-in/inactive/", account.account_inactive, name="account_inactive"),
        path("sign-in/failed/", socialaccount.login_error, name="socialaccount_login_error"),
        path("sign-in/cancelled/", socialaccount.login_cancelled, name="socialaccount_login_cancelled"),
        path("you/again/", account.reauthenticate, name="account_reauthenticate"),
        path("you/sign-on/", socialaccount.connections, name="socialaccount_connections"),
        path("you/second-factor/", include("allauth.mfa.urls")),
    ]
if settings.OIDC_URL:
    from dashboard import sign_on

    urlpatterns += [
        path("sign-in/<str:provider_id>/login/", sign_on.begin, name="openid_connect_login"),
        path("sign-in/<str:provider_id>/login/callback/", sign_on.back, name="openid_connect_callback"),
    ]

if settings.ADMIN_ENABLED:
    from django.contrib import admin

    urlpatterns.append(path("admin/", admin.site.urls))

handler400 = "dashboard.views.health.bad_request"
handler403 = "dashboard.views.health.forbidden"
handler404 = "dashboard.views.health.not_found"
handler500 = "dashboard.views.health.broken"
