"""The pages that the balancer itself answers with: short, and without a word about what runs behind it."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body{{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:20vh auto;padding:0 1em;color:#222;background:#fff}}
@media(prefers-color-scheme:dark){{body{{color:#ddd;background:#1b1b1b}}}}
</style></head><body><h1>{title}</h1><p>{text}</p></body></html>
"""


def _page(title: str, text: str) -> str:
    return _PAGE.format(title=title, text=text)


PAGES = {
    "404": _page("Not found", "There is nothing at this address."),
    "502": _page("Bad gateway", "The server ended the connection without an answer. Please try again."),
    "503": _page("Unavailable for the moment", "No server can answer just now. Please try again in a few seconds."),
    "504": _page("No answer in time", "The server took too long to answer. Please try again later."),
}

MAINTENANCE_PAGE = _page("Back soon", "This site is being worked on. Please come back in a few minutes.")
"""For an environment, or an app, that has no page of its own."""

UNRELEASED_PAGE = _page("Nothing is released here yet", "This place is being set up. Please try again later.")
