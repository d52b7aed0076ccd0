"""What docs/how-to/sign-outputs.md shows is what its code does."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "sign-outputs.md").read_text(encoding="utf-8")


def test_the_code_prints_what_the_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KART_SIGNING_KEY", "")
    module = types.ModuleType("sign_outputs_page")
    monkeypatch.setitem(sys.modules, "sign_outputs_page", module)
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

    exec(compile(code, "sign-outputs.md", "exec"), vars(module))

    printed = capsys.readouterr().out.strip()
    assert f"prints `{printed}`" in PAGE
