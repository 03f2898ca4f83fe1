import os

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def index(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "notes/index.html",
        {
            "secure": request.is_secure(),
            "host": request.get_host(),
            "release": os.environ.get("HOMEPORT_RELEASE", ""),
            "instance": os.environ.get("HOMEPORT_INSTANCE", ""),
        },
    )


def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("well\n", content_type="text/plain")
