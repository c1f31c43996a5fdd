#!/usr/bin/env python3
"""Tests of the page in Chromium: `make test-web`. See README.md in this folder.

run.py PAGES AXE [--pictures FOLDER] [--shots FOLDER] [--only PAGE]"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

from browser import Browser
from server import Server

WIDTHS = (360, 768, 1440)
SCHEMES = ("light", "dark")
# Name of a picture for the documents: page, width, colours, height at most.
PICTURES = {
    "web": ("night", 1200, "light", 722),
    "web-dark": ("warn", 1200, "dark", 1000),
    "web-alone": ("alone", 1200, "light", 865),
    "web-groups": ("twenty", 1200, "light", 1150),
    "web-phone": ("warn", 360, "light", 1150),
}
PICTURE_BYTES = 150_000
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Tests:
    def __init__(self, browser, server, pages, axe, shots, only):
        self.browser, self.server, self.pages, self.axe, self.shots, self.only = browser, server, pages, axe, shots, only
        self.passed, self.faults = 0, []

    def check(self, is_so, fault):
        if is_so:
            self.passed += 1
        else:
            self.faults.append(fault)
            print(f"failed: {fault}")

    def show(self, name, width=1200, scheme="light"):
        self.browser.show(f"{self.server.address}/{name}", width, scheme)

    def all_pages(self):
        for page in sorted(self.pages.glob("*.html")):
            if page.stem.endswith(".fragment") or self.only not in (None, page.stem):
                continue
            for width in WIDTHS:
                for scheme in SCHEMES:
                    self.one_page(page.stem, width, scheme)

    def one_page(self, name, width, scheme):
        place = f"{name} at {width} px, {scheme}"
        self.show(name, width, scheme)
        if self.shots:
            self.browser.picture(self.shots / f"{name}-{width}-{scheme}.png")
        wide = self.browser.run("document.documentElement.scrollWidth")
        self.check(wide <= width, f"{place}: {wide} px wide")
        outside = self.browser.run(OUTSIDE)
        self.check(not outside, f"{place}: outside of the page: {outside}")
        asked = [it["request"]["url"] for it in self.browser.happened("Network.requestWillBeSent")]
        strangers = [it for it in asked if not it.startswith(self.server.address)]
        self.check(not strangers, f"{place}: asks others: {strangers}")
        errors = self.browser.happened("Log.entryAdded") + self.browser.happened("Runtime.exceptionThrown")
        errors = [it for it in errors if it.get("entry", {}).get("level") not in ("verbose", "info")]
        self.check(not errors, f"{place}: errors: {errors}")
        if self.axe:
            self.accessible(place)

    def accessible(self, place):
        self.browser.run(self.axe)
        options = json.dumps({"runOnly": {"type": "tag", "values": AXE_TAGS}})
        found = self.browser.run(f"axe.run(document, {options}).then(it => it.violations)")
        lines = [f"{it['id']}: {it['nodes'][0]['html'][:160]} {it['nodes'][0]['failureSummary'][:200]}" for it in found]
        self.check(not lines, f"{place}: axe-core: {lines}")

    def fragment(self, name):
        return (self.pages / f"{name}.fragment.html").read_text()

    def live(self):
        """Focus, selection and place survive what comes from the server."""
        self.show("warn")
        self.browser.until("document.documentElement.classList.contains('live')")
        self.stream_is_open()
        self.browser.run("document.querySelector('#commands button.copy').focus()")
        self.browser.run("""getSelection().selectAllChildren(document.querySelector('#commands dt'));
            scrollTo(0, 300); window.before = document.querySelector('#commands')""")
        selected = self.browser.run("getSelection().toString()")
        self.server.send(self.fragment("ok"))
        self.browser.until("document.querySelector('h1').textContent === 'OK'")
        self.check(self.browser.run("document.title").startswith("OK"), "live: the title is the old one")
        self.check(self.browser.run("document.activeElement.matches('#commands button.copy')"), "live: the focus is lost")
        self.check(self.browser.run("getSelection().toString()") == selected != "", "live: the selection is lost")
        self.check(self.browser.run("window.before === document.querySelector('#commands')"), "live: all was replaced")
        self.check(self.browser.run("scrollY") > 0, "live: the place is lost")
        said = self.browser.run("document.querySelector('#news').textContent")
        self.check(said.startswith("OK"), f"live: said to screen readers: {said!r}")
        for name in ("twenty", "alone", "hostile", "silent", "night", "warn", "ok"):
            self.server.send(self.fragment(name))
            self.browser.until(SAME % json.dumps(self.fragment(name)))
            self.passed += 1

    def stream_is_open(self):
        end = time.monotonic() + 10
        while not self.server.streams and time.monotonic() < end:
            time.sleep(0.05)

    def stale(self):
        """The page says that it is stale, and that it is not any more."""
        self.show("ok")
        self.stream_is_open()
        for _ in range(7):
            self.server.send_alive()
            time.sleep(1)
        is_stale = "document.documentElement.classList.contains('stale')"
        self.check(not self.browser.run(is_stale), "stale: though the server is alive")
        self.browser.until(is_stale, 8)
        self.check("stale" in self.browser.run("document.querySelector('#age').textContent"), "stale: no word says it")
        if self.shots:
            self.browser.picture(self.shots / "stale.png", 900)
        self.server.send_alive()
        self.browser.until(f"!{is_stale}")
        self.passed += 1

    def signed_out(self):
        """The page says that the session has ended, with a link, and goes on by itself after a login elsewhere."""
        self.show("ok")
        self.stream_is_open()
        hidden = "document.querySelector('#over').hidden"
        self.check(self.browser.run(hidden), "signed out: though nobody is")
        self.server.sign_out()
        self.browser.until(f"!{hidden}", 15)
        link = self.browser.run("document.querySelector('#over a').href")
        self.check(link == f"{self.server.address}/login", f"signed out: the link is {link}")
        said = self.browser.run("document.querySelector('#news').textContent")
        self.check("signed out" in said, f"signed out: said to screen readers: {said!r}")
        for width in WIDTHS:
            self.browser.page("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            self.check(self.browser.run("document.documentElement.scrollWidth") <= width, f"signed out: too wide at {width} px")
            if self.axe:
                self.accessible(f"signed out at {width} px")
            if self.shots:
                self.browser.picture(self.shots / f"signed-out-{width}.png", 900)
        self.server.is_signed_in = True
        self.stream_is_open()
        self.server.send(self.fragment("warn"))
        self.browser.until(hidden, 15)
        self.check(self.browser.run("document.querySelector('h1').textContent") == "WARN", "signed out: not live again")

    def keyboard(self):
        """Each stop of the keyboard is visible, and the first leads to the state."""
        self.show("warn")
        stops = self.browser.run("[...document.querySelectorAll('a[href], button, input')].filter(it => it.checkVisibility()).length")
        seen = []
        for _ in range(stops):
            self.browser.press("Tab", 9)
            seen.append(self.browser.run(FOCUSED))
        self.check(seen[0]["words"].startswith("Skip"), f"keyboard: the first stop is {seen[0]}")
        hidden = [it for it in seen if not it["outlined"]]
        self.check(not hidden, f"keyboard: not visible: {hidden}")
        self.check(len({it["at"] for it in seen}) == stops, "keyboard: some are not reached")

    def without_script(self):
        """The facts are there without the script, and nothing that needs it."""
        self.browser.page("Emulation.setScriptExecutionDisabled", value=True)
        self.show("warn")
        text = self.browser.run("document.body.innerText")
        for word in ("WARN", "made at", "finding", "History", "Why", "quality"):
            self.check(word in text, f"without a script: {word} is lacking")
        buttons = self.browser.run("[...document.querySelectorAll('.copy')].filter(it => it.offsetWidth).length")
        self.check(buttons == 0, "without a script: a button that does nothing")
        self.browser.page("Emulation.setScriptExecutionDisabled", value=False)

    def pictures(self, folder):
        for name, (page, width, scheme, height) in PICTURES.items():
            self.show(page, width, scheme)
            self.browser.run("document.querySelector('#age-text').textContent = 'live, 0 s old'")
            path = folder / f"{name}.png"
            self.browser.picture(path, height)
            subprocess.run(["pngquant", "--force", "--skip-if-larger", "--speed=1", "--strip", "--output", path, "64", path], check=False)
            size = path.stat().st_size
            self.check(size <= PICTURE_BYTES, f"{path} has {size} bytes")


# Elements with text that stick out of the page.
OUTSIDE = """[...document.querySelectorAll('#view *, header *, footer *')].filter(it => {
  const box = it.getBoundingClientRect();
  return it.closest('.quiet, .sheet, svg') === null && box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
}).slice(0, 3).map(it => it.outerHTML.slice(0, 120))"""

# True if the page is what the server sent.
SAME = """new DOMParser().parseFromString(%s, 'text/html').querySelector('#view').isEqualNode(document.querySelector('#view'))"""

FOCUSED = """(() => {
  const it = document.activeElement;
  const style = getComputedStyle(it);
  return {
    words: it.textContent || it.getAttribute('aria-label') || it.id,
    outlined: it.matches(':focus-visible') && style.outlineStyle !== 'none',
    at: [...document.querySelectorAll('*')].indexOf(it),
  };
})()"""


def main():
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("pages", type=pathlib.Path)
    words.add_argument("axe", type=pathlib.Path)
    words.add_argument("--shots", type=pathlib.Path)
    words.add_argument("--only", help="name of a page, whose looks alone are tested")
    words.add_argument("--pictures", type=pathlib.Path)
    words = words.parse_args()
    if words.shots:
        words.shots.mkdir(parents=True, exist_ok=True)
    server = Server(words.pages)
    axe = words.axe.read_text() if words.axe.is_file() else None
    if axe is None:
        print(f"skipped: accessibility: {words.axe} is not there")
    with Browser() as browser:
        tests = Tests(browser, server, words.pages, axe, words.shots, words.only)
        if words.pictures:
            tests.pictures(words.pictures)
        else:
            tests.all_pages()
            if not words.only:
                tests.live()
                tests.stale()
                tests.signed_out()
                tests.keyboard()
                tests.without_script()
    server.close()
    print(f"{tests.passed} passed, {len(tests.faults)} failed")
    return 1 if tests.faults else 0


if __name__ == "__main__":
    sys.exit(main())
