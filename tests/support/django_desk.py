"""A django-helpdesk server for acceptance tests, in one file: ``python django_desk.py HOST:PORT``.

``DESK_DIR`` is where its database and files lie. Users: agent/agent-pass (superuser), hub/hub-pass (staff).
"""

import os
import sys
from pathlib import Path

from django.conf import settings

HERE = Path(os.environ.get("DESK_DIR", "."))
DJANGO = "django.contrib."

settings.configure(
    SECRET_KEY="test-only",
    DEBUG=False,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    SITE_ID=1,
    INSTALLED_APPS=[
        f"{DJANGO}admin",
        f"{DJANGO}auth",
        f"{DJANGO}contenttypes",
        f"{DJANGO}sessions",
        f"{DJANGO}messages",
        f"{DJANGO}sites",
        f"{DJANGO}humanize",
        f"{DJANGO}staticfiles",
        "rest_framework",
        "django_cleanup.apps.CleanupConfig",
        "helpdesk",
    ],
    MIDDLEWARE=[
        f"{DJANGO}sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        f"{DJANGO}auth.middleware.AuthenticationMiddleware",
        f"{DJANGO}messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    f"{DJANGO}auth.context_processors.auth",
                    f"{DJANGO}messages.context_processors.messages",
                ]
            },
        }
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(HERE / "desk.sqlite3"),
            "OPTIONS": {"timeout": 20},
        }
    },
    STATIC_URL="/static/",
    MEDIA_URL="/media/",
    MEDIA_ROOT=str(HERE / "media"),
    USE_TZ=True,
    TIME_ZONE="UTC",
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend",
    LOGIN_URL="/login/",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    HELPDESK_TEAMS_MODE_ENABLED=False,
    HELPDESK_PUBLIC_TICKET_QUEUE="hub",
)

import django

django.setup()

from django.contrib.auth import get_user_model
from django.core.management import execute_from_command_line
from django.urls import include, path, re_path
from django.views.static import serve
from helpdesk.models import Queue

urlpatterns = [
    re_path(r"^media/(?P<path>.*)$", serve, {"document_root": settings.MEDIA_ROOT}),
    path("", include("helpdesk.urls", namespace="helpdesk")),
]


def seed() -> None:
    users = get_user_model().objects
    if not users.filter(username="agent").exists():
        users.create_superuser("agent", "agent@desk.example", "agent-pass")
        users.create_user("hub", "hub@desk.example", "hub-pass", is_staff=True)
        Queue.objects.create(slug="hub", title="Hub", allow_public_submission=True)


if __name__ == "__main__":
    execute_from_command_line(["desk", "migrate", "-v", "0"])
    seed()
    execute_from_command_line(["desk", "runserver", sys.argv[1], "--noreload"])
