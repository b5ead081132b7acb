"""What tests read off a page, and how they have it do something."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path


def data_of(page: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def state_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'data-(\w+)="([^"]*)"', re.search(r"<html[^>]*>", page)[0]))


def with_script(path: Path, script: str) -> Path:
    """The page with one more script, which its policy allows, run once the page is ready."""
    script = f"""const wait = setInterval(() => {{
      if (document.documentElement.dataset.state !== "ready") return;
      clearInterval(wait);
      {script}
    }}, 50);"""
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = path.read_text(encoding="utf-8")
    page = page.replace("script-src ", f"script-src 'sha256-{allowed}' ", 1)
    page = page.replace("</body>", f"<script>{script}</script></body>")
    path.write_text(page, encoding="utf-8", newline="\n")
    return path
