"""What the shop sells: a small SQLite file made from the list below, in the app's own directory.

The directory of an instance is private and ephemeral: whatever is written there is gone with the instance. That is
right for a catalogue that comes with the code; orders would go to a database.
"""

import sqlite3
from pathlib import Path

ARTICLES = [
    ("lamp", "Harbour lamp", "Brass, for oil or a bulb. Seen from two miles off.", 8900),
    ("rope", "Mooring line", "Twelve metres of laid hemp with an eye at one end.", 3450),
    ("bell", "Ship's bell", "Eight inches, cast in one piece, with a lanyard.", 12900),
    ("chart", "Chart of the bay", "Soundings in metres, printed on cotton paper.", 2200),
    ("fender", "Rope fender", "Knotted by hand; saves your paint and your neighbour's.", 1975),
    ("compass", "Pocket compass", "Damped needle, luminous rose, in a leather case.", 4800),
]


def create(path: Path) -> int:
    """The number of articles in a fresh catalogue at `path`; one that was there is replaced."""
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("create table article (id text primary key, name text, words text, cents integer)")
        database.executemany("insert into article values (?, ?, ?, ?)", ARTICLES)
    database.close()
    return len(ARTICLES)


def read(path: Path) -> list[dict[str, str | int]]:
    database = sqlite3.connect(path)
    try:
        rows = database.execute("select id, name, words, cents from article order by rowid").fetchall()
    finally:
        database.close()
    return [dict(zip(("id", "name", "words", "cents"), row, strict=True)) for row in rows]


if __name__ == "__main__":
    # The release task: it runs once per deployment, before the new release gets traffic. A real app would migrate
    # its database here; this one makes sure that its catalogue can be made at all.
    print(f"release task: the catalogue has {create(Path('/tmp/catalogue.db'))} articles", flush=True)
