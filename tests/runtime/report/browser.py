"""A page in a headless Chromium without a network, driven over its debugging protocol: clicks, keys, and questions."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tornado.websocket import websocket_connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_KEYS = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowRight": 39, "ArrowLeft": 37, "ArrowDown": 40, "ArrowUp": 38}


class Browser:
    """One Chromium, for several pages after each other."""

    def __init__(self) -> None:
        assert CHROMIUM is not None
        self._folder = tempfile.mkdtemp(prefix="kart-chromium-")
        # Every name and address leads nowhere: the page could not call out if its policy let it.
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0",
                   "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-dev-shm-usage", "--force-prefers-reduced-motion",
                   f"--user-data-dir={self._folder}", "about:blank"]  # fmt: skip
        self._process = subprocess.Popen([CHROMIUM, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._loop = asyncio.new_event_loop()
        self._number = 0
        self.messages: list[str] = []
        self._socket = self._loop.run_until_complete(self._connected())
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    async def _connected(self) -> Any:
        port_file = Path(self._folder) / "DevToolsActivePort"
        until = time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        port, path = port_file.read_text().splitlines()[:2]
        socket = await websocket_connect(f"ws://127.0.0.1:{port}{path}", max_message_size=1 << 28)
        targets = await self._ask(socket, "Target.getTargets", {}, None)
        target = next(each["targetId"] for each in targets["targetInfos"] if each["type"] == "page")
        attached = await self._ask(socket, "Target.attachToTarget", {"targetId": target, "flatten": True}, None)
        self._session = attached["sessionId"]
        return socket

    async def _ask(self, socket: Any, method: str, params: dict[str, Any], session: str | None) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        await socket.write_message(json.dumps(message))
        while True:
            answer = json.loads(await asyncio.wait_for(socket.read_message(), 60))
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            if answer.get("method") == "Runtime.exceptionThrown":
                self.messages.append(answer["params"]["exceptionDetails"]["exception"].get("description", "?"))
            if answer.get("method") == "Log.entryAdded":
                self.messages.append(answer["params"]["entry"]["text"])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._loop.run_until_complete(self._ask(self._socket, method, params, self._session))

    def open(
        self,
        path: Path,
        fragment: str = "",
        *,
        width: int = 1300,
        height: int = 900,
        dark: bool = False,
        script: bool = True,
    ) -> Self:
        """Open a file, and wait until its script is ready."""
        self.messages.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=f"{path.as_uri()}{fragment}")
        self.wait(
            "document.documentElement?.dataset.ready"
            if script
            else "location.protocol === 'file:' && document.readyState === 'complete'"
        )
        return self

    def ask(self, expression: str) -> Any:
        """Return the value of an expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 60.0) -> Any:
        """Wait until an expression is true, and return its value."""
        until = time.monotonic() + seconds
        while not (value := self.ask(expression)):
            assert time.monotonic() < until, (expression, self.messages)
            time.sleep(0.02)
        return value

    def press(self, *keys: str) -> None:
        """Press keys, one after another."""
        for key in keys:
            code = {"windowsVirtualKeyCode": _KEYS[key]} if key in _KEYS else {}
            text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **code, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    def click(self, selector: str) -> None:
        """Click into the middle of an element."""
        found = f"const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
        middle = "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2];"
        x, y = self.ask(f"(() => {{ {found} {middle} }})()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Save a picture of the page."""
        import base64

        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        with suppress(Exception):
            self.call("Browser.close")
        self._process.terminate()
        self._process.wait(30)
        self._loop.close()
        shutil.rmtree(self._folder, ignore_errors=True)
