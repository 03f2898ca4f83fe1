"""Makes the site: `python3 build.py` writes `out/`. Each page gets the layout; what it links to from `assets` gets a
digest of its content into its name, so that browsers may keep it for ever."""

import hashlib
import html
import re
import shutil
from pathlib import Path

HERE = Path(__file__).parent
OUT = HERE / "out"

shutil.rmtree(OUT, ignore_errors=True)
(OUT / "assets").mkdir(parents=True)

renamed = {}
for source in sorted((HERE / "assets").iterdir()):
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:10]
    renamed[f"/assets/{source.name}"] = f"/assets/{source.stem}.{digest}{source.suffix}"
    shutil.copy(source, f"{OUT}{renamed[f'/assets/{source.name}']}")

layout = (HERE / "layout.html").read_text()
for source in sorted((HERE / "pages").glob("*.html")):
    body = source.read_text()
    heading = re.search(r"<h1>(.*?)</h1>", body)
    page = layout.replace("{title}", html.escape(heading[1] if heading else source.stem)).replace("{body}", body)
    for name, new in renamed.items():
        page = page.replace(f'"{name}"', f'"{new}"')
    # about.html is served as /about/, but the page for what isn't there must be called 404.html
    whole = source.stem in ("index", "404")
    target = OUT / source.name if whole else OUT / source.stem / "index.html"
    target.parent.mkdir(exist_ok=True)
    target.write_text(page)

print(f"{len(list(OUT.rglob('*.html')))} pages in {OUT.name}")
