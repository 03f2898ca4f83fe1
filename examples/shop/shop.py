"""A small shop: one page, a basket in a signed cookie, a health path."""

import os
from pathlib import Path

from flask import Flask, redirect, render_template, request, session

import catalogue

app = Flask(__name__)
# Every instance must accept the cookies of every other one, so the key comes from config, not from chance:
# homeport config set --secret SECRET_KEY=…
app.secret_key = os.environ.get("SECRET_KEY", "for the example only")

DATABASE = Path(f"catalogue-{os.getpid()}.db")
catalogue.create(DATABASE)


@app.template_filter("money")
def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d} {os.environ.get('SHOP_CURRENCY', '€')}"


@app.get("/")
def index():
    articles = catalogue.read(DATABASE)
    basket = session.get("basket", {})
    lines = [{**each, "count": basket[each["id"]]} for each in articles if each["id"] in basket]
    return render_template(
        "index.html",
        name=os.environ.get("SHOP_NAME", "Shop"),
        articles=articles,
        lines=lines,
        total=sum(each["cents"] * each["count"] for each in lines),
        release=os.environ.get("HOMEPORT_RELEASE", "none"),
        instance=os.environ.get("HOMEPORT_INSTANCE", "none"),
        zone=os.environ.get("HOMEPORT_ZONE", "none"),
    )


@app.post("/basket")
def add():
    article = request.form.get("article", "")
    if article not in {each["id"] for each in catalogue.read(DATABASE)}:
        return f"There is no article {article!r} here.\n", 404
    basket = dict(session.get("basket", {}))
    basket[article] = basket.get(article, 0) + 1
    session["basket"] = basket
    return redirect("/", 303)


@app.post("/basket/empty")
def empty():
    session.pop("basket", None)
    return redirect("/", 303)


@app.get("/healthz")
def healthz():
    return {"articles": len(catalogue.read(DATABASE))}
