"""The page on which an agent answers: works without scripts, on a phone, and shows text as text."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import tzinfo
from html import escape
from urllib.parse import quote

from hub.channel import Response
from hub.destination import Line, PostFile

__all__ = ["file_answer", "message_page", "page"]

_STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1c1c1e; --dim: #5c5c63; --line: #d0d0d6;
  --paper: #f4f4f6; --card: #fff; --ours: #d8f5d0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #ececf0; --dim: #a0a0a8; --line: #3a3a40;
    --paper: #161618; --card: #242428; --ours: #1f3d22;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 44rem; padding: 1rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, "PingFang SC", "Microsoft YaHei", sans-serif;
}
h1 { font-size: 1.15rem; margin: .25rem 0 1rem; overflow-wrap: anywhere; }
main { display: flex; flex-direction: column; height: calc(100vh - 2rem); height: calc(100dvh - 2rem); }
.talk { flex: 1; min-height: 10rem; overflow-y: auto; display: flex; flex-direction: column-reverse; }
ol { list-style: none; margin: 0 0 auto; padding: 0; display: flex; flex-direction: column; gap: .5rem; }
li {
  max-width: 85%; padding: .5rem .75rem; border-radius: .75rem; overflow-wrap: anywhere;
  background: var(--card); align-self: flex-start;
}
li.ours { align-self: flex-end; background: var(--ours); }
li p { margin: 0; white-space: pre-wrap; }
small { color: var(--dim); }
form { margin-top: 1rem; display: flex; flex-direction: column; gap: .75rem; }
textarea, input[type=text] {
  width: 100%; font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: .5rem; padding: .6rem;
}
button {
  font: inherit; font-weight: 600; padding: .75rem; border: 0; border-radius: .5rem;
  background: #0b6e2e; color: #fff; cursor: pointer;
}
label { display: flex; gap: .5rem; align-items: center; }
.told {
  margin: 0 0 1rem; padding: .75rem; border-radius: .5rem; background: var(--card);
  border-left: .3rem solid #0b6e2e;
}
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow, noarchive",
}
_MARKS = {
    "failed": "✗ 未送达 not delivered",
    "held": "⏸ 等待 waiting",
    "unknown": "? 不确定 unknown",
}


def page(
    lines: Sequence[Line], query: str, once: str, zone: tzinfo, *, told: str = "", draft: str = ""
) -> Response:
    """The conversation, its end in sight, and a form. *query* leads to this page; *told* is said above."""
    shown = "".join(_line(one, query, zone) for one in lines)
    above = f'<p class="told" role="status">{escape(told)}</p>' if told else ""
    body = f"""<h1>{escape(_customer(lines))}</h1>{above}<div class="talk" tabindex="0"><ol>{shown}</ol></div>
<form method="post" action="?{escape(query)}" accept-charset="utf-8">
<input type="hidden" name="once" value="{escape(once)}">
<label for="text">回复 Reply</label>
<textarea id="text" name="text" rows="4" maxlength="10000" required>{escape(draft)}</textarea>
<input type="text" name="name" maxlength="40" autocomplete="name"
 placeholder="您的名字 Your name" aria-label="您的名字 Your name">
<label><input type="checkbox" name="close" value="1"> 回复后结束会话 Close the conversation</label>
<button type="submit">发送 Send</button>
</form>"""
    return Response(200, _whole(body), HEADERS)


def message_page(status: int, text: str) -> Response:
    """A page that says one thing."""
    return Response(status, _whole(f'<p class="told">{escape(text)}</p>'), HEADERS)


def file_answer(file: PostFile) -> Response:
    """A file as a download that no browser runs."""
    name = quote(file.filename, safe="")
    headers = HEADERS | {
        "content-type": "application/octet-stream",
        "content-disposition": f"attachment; filename*=UTF-8''{name}",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    return Response(200, file.content, headers)


def _customer(lines: Sequence[Line]) -> str:
    return next((one.who for one in lines if not one.is_ours and one.who), "会话 Conversation")


def _line(line: Line, query: str, zone: tzinfo) -> str:
    at = line.at.astimezone(zone)
    facts = " · ".join(filter(None, (line.who, f"{at:%m-%d %H:%M}", _MARKS.get(line.status or ""))))
    files = "".join(
        f'<p><a href="?{escape(query)}&amp;file={quote(key, safe="")}">↓ {escape(name)}</a></p>'
        for key, name in line.files
    )
    side = ' class="ours"' if line.is_ours else ""
    text = f"<p>{escape(line.text)}</p>" if line.text else ""
    return f"<li{side}>{text}{files}<small>{escape(facts)}</small></li>"


def _whole(body: str) -> bytes:
    return (
        '<!doctype html><html lang="zh"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>回复 Reply</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>"
    ).encode()
