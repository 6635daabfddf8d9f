"""Django in one file: http://127.0.0.1:5000/. A project of ``startproject`` mounts its ``wsgi.py`` the same way."""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    DEBUG=True,
    SECRET_KEY="only for this example",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
)
django.setup()


def index(request):
    return HttpResponse(f"Hello from Django {django.get_version()}")


def numbers(request):
    return StreamingHttpResponse((f"{number}\n" for number in range(10)), content_type="text/plain")


urlpatterns = [path("", index), path("numbers", numbers)]
app = get_wsgi_application()

if __name__ == "__main__":
    import skitai

    skitai.mount("/", app)
    skitai.run()
