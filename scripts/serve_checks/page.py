# SPDX-License-Identifier: Apache-2.0
"""The page in headless Chromium, on a phone and a desktop, light and dark: send, stream, stop, the cache's map, the keyboard alone, axe-core."""

import base64
import os
import sys
import time

from .common import Server

WIDTHS = {390: 844, 1440: 900}
QUESTION = "Tell me about the sea, the harbour and the old ships."


class Page:
    def __init__(self, url, width, dark):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for a in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
            options.add_argument(a)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        # A window can't be as narrow as a phone: the viewport is said to be.
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                    {"width": width, "height": WIDTHS[width], "deviceScaleFactor": 1, "mobile": width < 600})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        self.driver.get(url)

    def text(self, id):
        return self.driver.execute_script("return document.getElementById(arguments[0]).textContent", id)

    def on(self, id):
        return self.driver.execute_script("return !document.getElementById(arguments[0]).disabled", id)

    def focused(self):
        return self.driver.execute_script("return document.activeElement.id")

    def keys(self, *what):
        self.driver.switch_to.active_element.send_keys(*what)

    def until(self, what, seconds=30):
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def map_widths(self):
        return self.driver.execute_script("return [...document.querySelectorAll('#map rect')].map(r => r.getAttribute('width')).join()")


def tab_to(page, id, most=20):
    from selenium.webdriver.common.keys import Keys

    for _ in range(most):
        if page.focused() == id:
            return True
        page.keys(Keys.TAB)
    return False


def drive(page, check, shot):
    from axe_selenium_python import Axe
    from selenium.webdriver.common.keys import Keys

    check("figures come", page.until(lambda: " of " in page.text("memory-note")))
    shot("empty")
    page.keys(Keys.TAB)
    check("first stop of the keyboard skips to the message", page.driver.execute_script("return document.activeElement.className") == "skip")
    page.keys(Keys.ENTER)
    check("the link leads there", page.until(lambda: page.focused() == "prompt" or tab_to(page, "prompt"), 2))
    before, map_before = len(page.text("log")), page.map_widths()
    page.keys(QUESTION, Keys.ENTER)
    check("the answer begins", page.until(lambda: len(page.text("log")) > before + len(QUESTION) + 20))
    check("Stop is on", page.on("stop") and not page.on("send"))
    some = len(page.text("log"))
    check("the answer streams", page.until(lambda: len(page.text("log")) > some, 5))
    check("the map moves", page.until(lambda: page.map_widths() != map_before, 5))
    shot("streaming")
    check("Stop is reached by Tab", tab_to(page, "stop"))
    page.keys(Keys.ENTER)
    check("Stop stops", page.until(lambda: page.on("send"), 5))
    stopped = page.text("log")
    time.sleep(1)
    check("and nothing comes after it", page.text("log") == stopped)
    check("tokens a second are said", "tokens/s" in page.text("figures"))
    check("focus is back at the message", page.focused() == "prompt")
    check("the server has let go of it", page.until(lambda: page.driver.execute_script(
        "return document.querySelector('#tenants tbody td:nth-child(4)').textContent") == "0", 5))
    page.driver.execute_script("document.getElementById('tokens').value = 12")
    page.keys("And the lighthouse?", Keys.ENTER)
    check("a second turn ends by itself", page.until(lambda: page.on("send")) and page.text("log").count("lighthouse") >= 1)
    check("its beginning was cached", "of them cached" in page.text("figures") and " 0 of them" not in page.text("figures"))
    check("nothing sticks out", page.driver.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0)
    shot("answered")
    axe = Axe(page.driver)
    axe.inject()
    found = axe.run()["violations"]
    check("axe-core: " + ", ".join(f"{v['id']} ({v['impact']})" for v in found), not any(v["impact"] in ("serious", "critical") for v in found))
    check("New chat is reached by Tab", tab_to(page, "clear"))
    page.keys(Keys.ENTER)
    check("and clears", page.text("log") == "")
    wrong = [e["message"] for e in page.driver.get_log("browser") if e["level"] in ("WARNING", "SEVERE") and "axe" not in e["message"]]
    check("console: " + "; ".join(wrong), not wrong)


def run(o, text, state):
    server = Server(o, state, ["--kv-budget", str(o.budget)])
    done = []
    for width in WIDTHS:
        for dark in (False, True):
            where = f"{width}{'-dark' if dark else ''}"

            def check(name, ok, where=where):
                done.append((f"{where}: {name}", bool(ok)))
                print(f"{'ok    ' if ok else 'FAILED'} {where}: {name}", file=sys.stderr)

            page = Page(f"http://127.0.0.1:{server.port}/", width, dark)

            def shot(name, where=where, page=page):
                if o.out:
                    os.makedirs(o.out, exist_ok=True)
                    whole = page.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})["data"]
                    with open(os.path.join(o.out, f"page-{where}-{name}.png"), "wb") as f:
                        f.write(base64.b64decode(whole))

            try:
                drive(page, check, shot)
            finally:
                page.driver.quit()
    server.stop()
    failed = [n for n, ok in done if not ok]
    return {"check": "page", "passed": len(done) - len(failed), "failed": failed}, not failed
