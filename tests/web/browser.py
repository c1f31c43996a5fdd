"""A headless Chromium, by its DevTools protocol."""

import base64
import json
import shutil
import subprocess
import tempfile
import time

import websocket


class Browser:
    """Chromium with one page. Ends with its context."""

    def __init__(self, program="chromium"):
        self.profile = tempfile.mkdtemp(prefix="spared-web-")
        flags = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--no-first-run", "--disable-gpu",
                 "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
                 "--remote-debugging-port=0", f"--user-data-dir={self.profile}", "about:blank"]
        self.process = subprocess.Popen([program, *flags], stderr=subprocess.PIPE, text=True)
        self.number, self.events = 0, []
        self.socket = websocket.create_connection(self._address(), timeout=90, suppress_origin=True)
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(it for it in targets if it["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.page(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.profile, ignore_errors=True)

    def _address(self):
        for line in self.process.stderr:
            if line.startswith("DevTools listening on "):
                return line.split()[-1]
        raise RuntimeError("chromium has not said where it listens")

    def call(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def page(self, method, **params):
        return self.call(method, session=self.session, **params)

    def run(self, script):
        """Value of an expression in the page; a promise is awaited."""
        result = self.page("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script[:80]}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def show(self, address, width, scheme="light", height=900):
        """Opens an address at this width and in these colours."""
        self.page("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.page("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.page("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def until(self, script, seconds=10):
        end = time.monotonic() + seconds
        while not self.run(script):
            if time.monotonic() > end:
                raise AssertionError(f"not so after {seconds} s: {script}")
            time.sleep(0.05)

    def press(self, key, code):
        for kind in ("keyDown", "keyUp"):
            self.page("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, path, clip=None):
        """Writes a PNG of the whole page, or of its upper part."""
        size = self.page("Page.getLayoutMetrics")["cssContentSize"]
        height = min(size["height"], clip or size["height"])
        area = {"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1}
        data = self.page("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=area)["data"]
        path.write_bytes(base64.b64decode(data))

    def happened(self, method):
        """Parameters of the events of a kind since the page was opened."""
        self.run("0")
        return [it["params"] for it in self.events if it.get("method") == method]
