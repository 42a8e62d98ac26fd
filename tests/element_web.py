"""A stand-in for Element Web: a release of its shape, small and honest, since the real one cannot be had everywhere.

It does what the real one needs of its surroundings: it reads config.json as the real one does, shows what that says, asks
the homeserver, compiles WebAssembly, starts workers, shows the Element Call that it brings in a frame.
"""

import base64
from pathlib import Path

from artifacts.releases import tar
from samsesh.artifacts.element_web import VERSION

FILE = f"element-v{VERSION}.tar.gz"
RELEASE = f"/element-hq/element-web/releases/download/v{VERSION}/{FILE}"
HASH = "5f4cf380371795f36e31"
# The policy and tags that upstream's page has (its docs and CSP are what this is to prove right).
INDEX = f"""<!doctype html>
<html lang="en" style="height: 100%;">
<head>
<meta charset="utf-8">
<title>Element</title>
<link rel="apple-touch-icon" sizes="120x120" href="vector-icons/120.0f2fb3a.png">
<link rel="manifest" href="manifest.json">
<meta name="referrer" content="no-referrer">
<link rel="icon" type="image/png" sizes="24x24" href="vector-icons/24.0f2fb3a.png">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="apple-mobile-web-app-title" content="Element">
<meta name="application-name" content="Element">
<meta property="og:image" content="https://app.element.io/themes/element/img/logos/opengraph.png" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self' 'unsafe-inline';
 script-src 'self' 'wasm-unsafe-eval'; img-src * blob: data:; connect-src * blob: data:; font-src 'self' data:;
 media-src * blob: data:; child-src * blob: data:; worker-src 'self' blob:; frame-src * blob: data:;
 form-action 'self'; manifest-src 'self'">
<link rel="stylesheet" href="bundles/{HASH}/bundle.css">
</head>
<body style="height: 100%; margin: 0;">
<div id="matrixchat" style="height: 100%;" class="notranslate"></div>
<script src="bundles/{HASH}/bundle.js"></script>
</body>
</html>
"""
# What is in the accent colour, or on it, in Element Web: by the tokens that it takes on start, log-in, room, settings.
PARTS = """
<p class="mx_HomePage_default"><span class="mx_HomePage_default_buttons">
<button class="mx_AccessibleButton">Explore</button></span></p>
<form><button class="primary">Sign in</button><button class="primary hovered">Hovered</button>
<button class="primary pressed">Pressed</button><a class="link">Forgot it?</a></form>
<p class="mx_EventTile"><span class="mx_EventTile_searchHighlight">what was looked for</span>, <a class="link">a link</a>,
<span class="raised"><a class="link">one in code</a></span>,
<span class="pill">@anna</span>, <span class="badge">Trusted</span></p>
<nav><a class="tab active">Account</a><a class="tab">Sessions</a></nav>
<p class="switch">On</p><p class="switch hovered">Over</p><p class="switch pressed">Down</p>
<p class="selected">A room</p>
"""
STYLE = """
@layer compound-tokens, app-web;
@layer app-web {
  body { font: 15px sans-serif; background: var(--cpd-color-bg-canvas-default); color: var(--cpd-color-text-primary); }
  #matrixchat > * { background: var(--cpd-color-bg-canvas-default); } /* cards, on the picture */
  button { border: 0; font: inherit; }
  a[href], .link { color: var(--cpd-color-text-action-accent); }
  .primary, .pill { background: var(--cpd-color-bg-action-primary-rest); color: var(--cpd-color-text-on-solid-primary); }
  .primary.hovered { background: var(--cpd-color-bg-action-primary-hovered); }
  .primary.pressed { background: var(--cpd-color-bg-action-primary-pressed); }
  .switch { background: var(--cpd-color-bg-accent-rest); color: var(--cpd-color-text-on-solid-primary); }
  .switch.hovered { background: var(--cpd-color-bg-accent-hovered); }
  .switch.pressed { background: var(--cpd-color-bg-accent-pressed); }
  .selected { background: var(--cpd-color-bg-accent-selected); color: var(--cpd-color-text-primary); }
  .badge { background: var(--cpd-color-bg-badge-accent); color: var(--cpd-color-text-badge-accent); }
  .raised { background: var(--cpd-color-bg-subtle-primary); }
  .tab.active { background: var(--cpd-color-bg-subtle-secondary); color: var(--cpd-color-text-action-accent); }
  .mx_HomePage_default_buttons .mx_AccessibleButton, .mx_EventTile_searchHighlight {
    background: var(--cpd-color-text-action-accent); color: #fff;
  }
}
"""
SCRIPT = r"""
"use strict";
const PARTS = `%s`;
const make = (tag, told, ...inner) => {
  const made = Object.assign(document.createElement(tag), told);
  made.append(...inner);
  return made;
};
async function json(url) {
  const answer = await fetch(`${url}?cachebuster=${Date.now()}`, { cache: "no-store" });
  return answer.ok ? answer.json() : null;
}
function theme(config) {
  const kept = JSON.parse(localStorage.getItem("mx_local_settings") ?? "{}");
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const name = (kept.use_system_theme ?? true) ? system : (config.default_theme ?? "light");
  document.body.classList.add(`cpd-theme-${name}`);
  document.body.dataset.theme = name;
}
async function translated(page, config) {
  const texts = { "action|sign_in": { en: "Sign in" }, "action|create_account": { en: "Create account" } };
  if (config.custom_translations_url) Object.assign(texts, await (await fetch(config.custom_translations_url)).json());
  const language = navigator.language.slice(0, 2);
  return page.replace(/_t\('([^']+)'\)/g, (_, key) => texts[key][language] ?? texts[key].en);
}
// As after single sign-on: a token at its address, and the homeserver that gave it in the browser's storage.
async function arrive(root) {
  const token = new URLSearchParams(location.search).get("loginToken");
  if (!token) return;
  const answer = await fetch(`${localStorage.getItem("mx_sso_hs_url")}/_matrix/client/v3/login`, {
    method: "POST",
    body: JSON.stringify({ type: "m.login.token", token }),
  });
  history.replaceState(null, "", location.pathname + location.hash);
  root.append(make("p", { id: "me" }, (await answer.json()).user_id));
}
async function start() {
  const phone = /iPad|iPhone|iPod|Android/.test(navigator.userAgent);
  if (phone && !location.hash && !document.cookie.includes("element_mobile_redirect_to_guide=false")) {
    location.href = "mobile_guide/";
    return;
  }
  const config = (await json(`config.${location.hostname}.json`)) ?? (await json("config.json"));
  document.title = config.brand;
  theme(config);
  const { branding, embedded_pages, default_server_config, setting_defaults } = config;
  const server = default_server_config["m.homeserver"];
  const welcome = make("div", { id: "welcome" });
  welcome.innerHTML = await translated(await (await fetch(embedded_pages.welcome_url)).text(), config);
  const root = document.getElementById("matrixchat");
  root.style.background = `center/cover fixed url(${branding.welcome_background_url})`;
  root.append(
    make("a", { href: branding.logo_link_url }, make("img", { id: "logo", src: branding.auth_header_logo_url, alt: "" })),
    welcome,
    make("p", { id: "server" }, server.server_name),
    make("footer", {}, ...branding.auth_footer_links.map(({ text, url }) => make("a", { href: url }, text))),
  );
  const open = setting_defaults["UIFeature.registration"];
  if (open) root.append(make("a", { id: "register", href: "#/register" }, "Create"));
  root.append(make("div", { id: "parts", innerHTML: PARTS }));
  await arrive(root);
  await fetch(`https://${server.server_name}/.well-known/matrix/client`).catch(() => {}); // of whoever is logged in
  const jitsi = config.jitsi?.preferred_domain;
  const versions = await (await fetch(`${server.base_url}/_matrix/client/versions`)).json();
  await WebAssembly.instantiate(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
  await new Promise((done, failed) => {
    const worker = new Worker(URL.createObjectURL(new Blob(["postMessage(1)"], { type: "text/javascript" })));
    worker.onmessage = done;
    worker.onerror = failed;
  });
  await navigator.serviceWorker.register("sw.js");
  await fetch(URL.createObjectURL(new Blob(["x"])));
  if (config.element_call.use_exclusively) {
    const frame = make("iframe", { src: "widgets/element-call/index.html#?roomId=x", allow: "camera; microphone" });
    root.append(frame);
  }
  root.append(make("p", { id: "ready" }, `${versions.versions.length > 0} ${jitsi}`));
}
start();
""".replace("%s", PARTS)
CALL_INDEX = (
    '<!doctype html><html lang="en"><head><title>Element Call</title><script>window.global = window;</script>'
    '<script type="module" crossorigin src="./assets/index-Bz16m3ir.js"></script></head><body>'
    '<div id="root"></div></body></html>'
)
CALL_SCRIPT = """
const config = await (await fetch("config.json")).json();
document.getElementById("root").textContent = `${typeof global} ${config.livekit.livekit_service_url}`;
await fetch(config.livekit.livekit_service_url + "/sfu/get", { method: "POST", body: "{}" });
"""
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CONFIG_SAMPLE = '{"brand": "Element", "jitsi": {"preferred_domain": "meet.element.io"}}'
FILES: dict[str, str | bytes] = {
    "index.html": INDEX,
    "version": VERSION + "\n",
    "config.sample.json": CONFIG_SAMPLE,
    "manifest.json": '{"name": "Element"}',
    f"bundles/{HASH}/bundle.js": SCRIPT,
    f"bundles/{HASH}/bundle.js.map": "{}",
    f"bundles/{HASH}/bundle.css": STYLE,
    "mobile_guide/index.html": "<p>Download Element</p>",
    "sw.js": 'addEventListener("fetch", () => {});',
    "i18n/languages.json": "{}",
    "vector-icons/24.0f2fb3a.png": PIXEL,
    "vector-icons/120.0f2fb3a.png": PIXEL,
    "widgets/element-call/index.html": CALL_INDEX,
    "widgets/element-call/config.json": "{}",
    "widgets/element-call/assets/index-Bz16m3ir.js": CALL_SCRIPT,
}


def files(**changed: "str | bytes | None") -> dict[str, bytes]:
    """The release's files, some changed or left out (None); `index_html` and the like are names."""
    names = {name.replace("/", "_").replace(".", "_").replace("-", "_"): name for name in FILES}
    found: dict[str, str | bytes] = {
        **FILES,
        **{names[name]: content for name, content in changed.items() if content is not None},
    }
    gone = {names[name] for name, content in changed.items() if content is None}
    return {
        name: content.encode() if isinstance(content, str) else content
        for name, content in found.items()
        if name not in gone
    }


def release(**changed: "str | bytes | None") -> bytes:
    """The tarball, with its one folder at the top."""
    return tar(*((f"element-v{VERSION}/{name}", content) for name, content in files(**changed).items()))


def write(folder: Path) -> Path:
    """The unpacked release."""
    for name, content in files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
