#!/usr/bin/env python3
"""The page of a real pair in Chromium: live.rs runs this on r1, and does what it asks for. See README.md in this folder.

live.py [--shots FOLDER] ADDRESS PASSWORD"""

import argparse
import json
import pathlib
import sys
import time

from browser import Browser

TEXT = "document.querySelector('#verdict').textContent"
STALE = "document.documentElement.classList.contains('stale')"
LIVE = "document.querySelector('#age-text').textContent.startsWith('live')"
OVER = "!document.querySelector('#over').hidden"
# Seconds within which a change must be seen, and a page be stale.
SHOWN, STALE_AFTER, PATIENCE = 2, 5, 30


class Test:
    def __init__(self, browser, password, shots):
        self.browser, self.password, self.shots, self.passed = browser, password, shots, 0

    def do(self, word):
        """Has something done to the pair. Returns what live.rs says."""
        print(f"do {word}", flush=True)
        answer = sys.stdin.readline()
        if not answer:
            raise AssertionError(f"{word}: the pair has ended")
        return answer.strip()

    def until(self, script, seconds=PATIENCE):
        """Seconds until this is so."""
        began = time.monotonic()
        self.browser.until(script, seconds)
        self.passed += 1
        return time.monotonic() - began

    def picture(self, name):
        if self.shots:
            self.browser.picture(self.shots / f"{name}.png", 900)

    def sign_in(self):
        self.until("document.querySelector('#password') !== null")
        self.browser.run(f"document.querySelector('#password').value = {json.dumps(self.password)}; "
                         "document.querySelector('form button').click()")
        self.until("document.querySelector('#view') !== null")
        self.until(LIVE)

    def signed_in(self, address):
        """Over TLS: a login, a switchover that is seen, and the end of the session with its process."""
        self.browser.page("Security.setIgnoreCertificateErrors", ignore=True)
        self.browser.show(f"https://{address}/", 1200)
        self.sign_in()
        active = self.do("tell")
        self.until(f"{TEXT}.includes('{active} is active')")
        self.browser.run("window.mark = 1")
        now = self.do("switch")
        took = self.until(f"{TEXT}.includes('{now} is active')", SHOWN)
        print(f"live: a switchover is on the page {took:.1f} s after sparectl has ended")
        self.browser.run("1" if self.browser.run("window.mark === 1") else "throw new Error('the page was loaded again')")
        self.picture("live-switched")
        self.do("kill")
        took = self.until(OVER)
        print(f"live: signed out {took:.1f} s after the process runs again")
        self.picture("live-signed-out")
        self.browser.run("document.querySelector('#over a').click()")
        self.sign_in()
        self.until(f"{TEXT}.includes('{now} is active')")

    def on_this_node(self):
        """On loopback: stale when the process stands still, and live again with the next one, without a reload."""
        self.browser.show("http://127.0.0.1:3781/", 1200)
        self.until(LIVE)
        self.browser.run("window.mark = 1")
        self.do("stop")
        took = self.until(STALE, STALE_AFTER + 3)
        print(f"live: stale {took:.1f} s after the process stands still")
        self.picture("live-stale")
        self.do("kill")
        took = self.until(f"!{STALE} && {LIVE}")
        print(f"live: live again {took:.1f} s after another one runs")
        self.browser.run("1" if self.browser.run("window.mark === 1") else "throw new Error('the page was loaded again')")


def main():
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--shots", type=pathlib.Path)
    words.add_argument("address")
    words.add_argument("password")
    words = words.parse_args()
    if words.shots:
        words.shots.mkdir(parents=True, exist_ok=True)
    with Browser() as browser:
        test = Test(browser, words.password, words.shots)
        test.signed_in(words.address)
        test.on_this_node()
        faults = browser.happened("Runtime.exceptionThrown")
    print(f"live: {test.passed} passed, {len(faults)} errors of the script {faults or ''}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
