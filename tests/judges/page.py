"""Uses the page of a server in headless Chromium, as a person does.

    page.py CHROMIUM URL REQUESTS

REQUESTS is a JSON list of objects with what is typed: `text`, and if the page must ask for them
`pair` and `key`. Prints a JSON object: `answers` with what the page shows after each request, and
what went wrong on the way. Chromium is driven over its DevTools protocol through a pipe.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import tempfile
import time

TIMEOUT = 60
WIDTHS = (320, 500, 1200)
FLAGS = """--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run
    --disable-background-networking --disable-component-update --remote-debugging-pipe""".split()

# What is seen: texts of tables by rows, and whether anything of a text became an element.
STATE = """(() => {
  const rows = id => [...document.querySelectorAll(`#${id} tr`)]
    .map(row => [...row.cells].map(cell => cell.innerText));
  const shown = id => document.getElementById(id).checkVisibility();
  return {
    title: document.getElementById('title').innerText,
    error: document.getElementById('error').innerText,
    headings: [...document.querySelectorAll('#answer h2')].map(one => one.innerText),
    notes: [...document.querySelectorAll('#answer p')].map(one => one.innerText),
    scores: rows('scores'),
    words: rows('words'),
    asks_pair: shown('pair'),
    asks_key: shown('key'),
    foreign_elements: document.querySelectorAll('img, svg, iframe, a, b, script[src]').length,
    executed: window.executed === true,
  };
})()"""

# The page's width beyond the window, and the lowest contrast of a text with the background.
LAYOUT = """(() => {
  const probe = document.createElement('div');
  document.body.append(probe);
  const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const luminance = color => {
    paint.fillStyle = color;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map(part => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const style = element => getComputedStyle(element);
  probe.style.backgroundColor = 'Canvas';
  const canvas = style(probe).backgroundColor;
  probe.remove();
  const contrast = element => {
    const own = style(element).backgroundColor;
    const back = luminance(/, 0\\)$/.test(own) ? canvas : own);
    const front = luminance(style(element).color);
    return (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
  };
  const texts = [...document.querySelectorAll('h1, h2, p, label, textarea, input, button, th, td')];
  return {
    beyond: document.documentElement.scrollWidth - window.innerWidth,
    contrast: Math.min(...texts.map(contrast)),
    background: luminance(canvas),
    unlabelled: [...document.querySelectorAll('textarea, input, meter')]
      .filter(one => !one.labels?.length && !one.ariaLabel).length,
    language: document.documentElement.lang,
  };
})()"""


class Browser:
    """A Chromium with one page."""

    def __init__(self, program, folder):
        theirs_in, self.input = map(above_ten, os.pipe())
        self.output, theirs_out = map(above_ten, os.pipe())
        quiet = os.open(os.devnull, os.O_WRONLY)
        self.process = os.posix_spawn(
            program,
            [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            os.environ | {"HOME": folder, "TMPDIR": folder},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs_in, 3),
                (os.POSIX_SPAWN_DUP2, theirs_out, 4),
                (os.POSIX_SPAWN_DUP2, quiet, 1),
                (os.POSIX_SPAWN_DUP2, quiet, 2),
            ],
            setpgroup=0,
        )
        for descriptor in (theirs_in, theirs_out, quiet):
            os.close(descriptor)
        self.buffer, self.number, self.session = b"", 0, None
        self.urls, self.console = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def message(self, until):
        """Returns the next message."""
        while b"\0" not in self.buffer:
            left = max(0, until - time.monotonic())
            if not select.select([self.output], [], [], left)[0]:
                sys.exit("error: Chromium does not answer")
            part = os.read(self.output, 1 << 16)
            if not part:
                sys.exit("error: Chromium ended")
            self.buffer += part
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        """Sends a command and returns its result. Notes what happens meanwhile."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            command["sessionId"] = self.session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self.input, data) :]
        until = time.monotonic() + TIMEOUT
        while True:
            found = self.message(until)
            if found.get("id") == self.number:
                if "error" in found:
                    sys.exit(f"error: {method}: {found['error']}")
                return found["result"]
            self.note(found)

    def note(self, event):
        parameters = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.urls.append(parameters["request"]["url"])
            case "Runtime.exceptionThrown":
                self.console.append(parameters["exceptionDetails"]["text"])
            case "Runtime.consoleAPICalled":
                self.console.append(str(parameters["args"]))
            case "Log.entryAdded":
                self.console.append(parameters["entry"]["text"])

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            sys.exit(f"error: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, condition):
        until = time.monotonic() + TIMEOUT
        while not self.evaluate(condition):
            if time.monotonic() > until:
                sys.exit(f"error: the page is not as expected: {condition}: {self.evaluate(STATE)}")
            time.sleep(0.02)

    def type(self, name, text):
        """Types a text into a field in place of its content."""
        self.evaluate(f"document.getElementById('{name}').focus()")
        self.evaluate(f"document.getElementById('{name}').select()")
        self.call("Input.insertText", text=text)

    def key(self, name, modifiers=0):
        code = {"Enter": 13, "Tab": 9}[name]
        common = {"key": name, "code": name, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="rawKeyDown", **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self):
        place = "(({x, y}) => [x + 5, y + 5])(document.querySelector('button')"
        x, y = self.evaluate(f"{place}.getBoundingClientRect().toJSON())")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def close(self):
        os.killpg(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        # Its children may still write to the folder.
        until = time.monotonic() + 2
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < until:
                os.killpg(self.process, 0)
                time.sleep(0.01)


def above_ten(descriptor):
    """Moves a descriptor out of the way of 3 and 4, which are Chromium's ends of the pipes."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return high


def answer(browser, request, by_keyboard):
    """Types a request, submits it and returns what the page then shows."""
    for name in ("pair", "key", "text"):
        if name in request:
            browser.wait(f"document.getElementById('{name}').checkVisibility()")
            browser.type(name, request[name])
    browser.evaluate("document.getElementById('answer').replaceChildren()")
    browser.evaluate("document.getElementById('error').textContent = ''")
    if by_keyboard:
        browser.key("Enter", modifiers=2)
    else:
        browser.click()
    browser.wait("document.querySelector('#answer h2, #error:not(:empty)') !== null && !isBusy")
    return browser.evaluate(STATE)


def layouts(browser):
    """Returns how the page looks in windows of several widths, light and dark."""
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.call("Emulation.setEmulatedMedia", features=[feature])
        for width in WIDTHS:
            browser.call(
                "Emulation.setDeviceMetricsOverride",
                **{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
            )
            yield {"scheme": scheme, "width": width} | browser.evaluate(LAYOUT)


def main():
    program, url, requests = sys.argv[1:]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(program, folder)
        try:
            browser.call("Page.navigate", url=url)
            browser.wait("document.readyState === 'complete' && location.protocol !== 'about:'")
            focus = browser.evaluate("document.activeElement.id")
            browser.key("Tab")
            after_tab = browser.evaluate("document.activeElement.localName")
            answers = [
                answer(browser, request, by_keyboard=at % 2 == 1)
                for at, request in enumerate(json.loads(requests))
            ]
            found = {"answers": answers, "layouts": list(layouts(browser))}
        finally:
            browser.close()
    foreign = [one for one in browser.urls if not one.startswith((url, "data:", "about:"))]
    found |= {"focus": [focus, after_tab], "console": browser.console, "foreign_urls": foreign}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
