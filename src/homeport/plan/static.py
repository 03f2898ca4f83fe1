"""How nginx serves a static app: the text of its configuration, and the command line of the `web` process that it
makes. Called by plan.platform and cli (the process), and releases (the text goes into the slug).

The text holds a mark where the port goes: it is known when an instance starts, and nginx reads no variables there.
"""

from msgspec import Struct

from homeport.errors import Invalid
from homeport.plan.procfile import Procfile

CONFIGURATION = ".homeport/nginx.conf"
"""In the app's directory."""
NGINX = "/usr/sbin/nginx"
PORT = "@PORT@"
COMMAND = f'sed "s/{PORT}/$PORT/" {CONFIGURATION} >/tmp/nginx.conf && exec {NGINX} -e stderr -c /tmp/nginx.conf'

PRIVATE = ("homeport.toml", "Procfile", "config")
"""What Homeport itself reads at the top of an app: never served."""

_TYPES = {
    "text/html": "html htm",
    "text/css": "css",
    "text/javascript": "js mjs",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/calendar": "ics",
    "text/vtt": "vtt",
    "application/json": "json map",
    "application/ld+json": "jsonld",
    "application/manifest+json": "webmanifest",
    "application/xml": "xml xsl",
    "application/rss+xml": "rss",
    "application/atom+xml": "atom",
    "application/geo+json": "geojson",
    "application/wasm": "wasm",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/gzip": "gz tgz",
    "application/epub+zip": "epub",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpg jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/x-icon": "ico",
    "image/bmp": "bmp",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg oga opus",
    "audio/wav": "wav",
    "audio/mp4": "m4a",
    "video/mp4": "mp4 m4v",
    "video/webm": "webm",
    "video/ogg": "ogv",
    "model/gltf-binary": "glb",
}
_SQUEEZED = tuple(
    each
    for each in _TYPES
    if each.startswith(("text/", "application/")) and "zip" not in each and each not in ("text/html", "application/pdf")
)
"""text/html is nginx's own default, and may not be named."""

_TEXT = """\
# Made by Homeport from [static]; {port} is replaced when an instance starts.
daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr warn;

events {{
    worker_connections 4096;
}}

http {{
    client_body_temp_path /tmp/nginx-body;
    proxy_temp_path /tmp/nginx-proxy;
    fastcgi_temp_path /tmp/nginx-fastcgi;
    uwsgi_temp_path /tmp/nginx-uwsgi;
    scgi_temp_path /tmp/nginx-scgi;

    log_format short '$http_x_forwarded_for "$request" $status $body_bytes_sent $request_time';
    # health checks are nobody's request
    map $http_user_agent $told {{
        default 1;
        "~^[Hh]omeport(-health)?$" 0;
    }}
    access_log /dev/stdout short if=$told;

    types {{
{types}
    }}
    default_type application/octet-stream;
    charset utf-8;
    charset_types text/plain text/css text/javascript text/markdown text/csv text/calendar application/json
        application/xml application/rss+xml application/atom+xml application/manifest+json image/svg+xml;

    sendfile on;
    tcp_nopush on;
    server_tokens off;
    # above the balancer's, so that it is never nginx that closes a connection which is about to be used again
    keepalive_timeout 75s;

    gzip on;
    gzip_vary on;
    gzip_proxied any;
    gzip_min_length 1000;
    gzip_types
        {squeezed};

    # What carries a digest of its content in its name never changes; all else is asked for again, by ETag.
    map $uri $cache {{
        default "no-cache";
        "~^/(_next/static|_astro|_nuxt|_app/immutable)/" "{forever}";
        "~[.-](?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{{8,64}}\\.[a-z0-9.]+$" "{forever}";
        "~[.-](?=[A-Z2-7]*[2-7])(?=[A-Z2-7]*[A-Z])[A-Z2-7]{{8}}\\.(css|js|mjs)$" "{forever}";
        "~^/assets/.*-(?=[\\w-]*[0-9])(?=[\\w-]*[A-Z])(?=[\\w-]*[a-z])[\\w-]{{8}}\\.(css|js|mjs|wasm)$" "{forever}";
    }}

    server {{
        listen 0.0.0.0:{port};
        root {root};
        absolute_redirect off;
        # what nobody may read is as little there as what is missing
        error_page 403 404 =404 @missing;
        add_header Cache-Control $cache;
        add_header X-Content-Type-Options nosniff;

        location / {{
            # a directory's page is at its slash, so that what it links to beside itself is found
            if (-f $request_filename/index.html) {{
                rewrite ^(.*[^/])$ $1/ permanent;
            }}
            try_files $uri $uri/index.html {otherwise};
        }}
{more}
        location ^~ /.well-known/ {{
            try_files $uri =404;
        }}

        location ~ /\\. {{
            return 404;
        }}

        location @missing {{
            try_files /404.html @nothing;
            add_header X-Content-Type-Options nosniff;
        }}

        location @nothing {{
            default_type text/plain;
            return 404 "Not found\\n";
        }}
    }}
}}
"""

_NOT_SERVED = """
        location ~ ^/({names})(/|$) {{
            return 404;
        }}
"""

# A script or style sheet that is missing is no page of the app: as HTML it would be cached and not understood.
_NO_PAGE = """
        location ~* \\.({extensions})$ {{
            try_files $uri =404;
        }}
"""


class Static(Struct, frozen=True, kw_only=True):
    """[static]. `directory`: relative to the app, after the build; "." for all of it. `fallback`: the page for every
    path that isn't there, for apps that route in the browser."""

    directory: str = "."
    fallback: str | None = None


def with_web(declared: Procfile | None, file: str = "Procfile") -> Procfile:
    """What `declared` says, and nginx as its process type `web`. Raises `Invalid` where it has one already."""
    processes = declared.processes if declared else {}
    if "web" in processes:
        raise Invalid(
            f"[static] serves the app's pages as the process type web, which {file} has already",
            hint=f"remove [static] from homeport.toml, or the line `web:` from {file}",
        )
    return Procfile(processes={"web": COMMAND, **processes}, release=declared.release if declared else None)


def nginx_text(static: Static) -> str:
    """The whole configuration, with the mark `PORT` once where it listens."""
    more = ""
    if static.directory == ".":
        more += _NOT_SERVED.format(names="|".join(each.replace(".", "\\.") for each in PRIVATE))
    if static.fallback:
        files = (each for type_, names in _TYPES.items() if type_ != "text/html" for each in names.split())
        more += _NO_PAGE.format(extensions="|".join(files))
    return _TEXT.format(
        port=PORT,
        types="\n".join(f"        {type_} {extensions};" for type_, extensions in _TYPES.items()),
        squeezed="\n        ".join(_SQUEEZED),
        forever="public, max-age=31536000, immutable",
        root=f"/app/{static.directory}".removesuffix("/."),
        otherwise=f"/{static.fallback}" if static.fallback else "=404",
        more=more,
    )
