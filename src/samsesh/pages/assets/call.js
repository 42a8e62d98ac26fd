// In the head of Element Call's page and before its own script: our name and logo, and nobody is led to what this
// server refuses. Of upstream's page it uses addresses, keys of its texts and what screen readers hear, no more.
"use strict";
window.global ??= window; // as upstream's inline script does, which a page out of a container goes without
{
  const ours = document.currentScript.dataset;
  const UPSTREAM = "Element Call";
  const REGISTER = /\/_matrix\/client\/[^/]+\/register$/;
  const TEXTS = /\/assets\/[\w-]+-app-[\w-]+\.json$/;
  const WELL_KNOWN = "/.well-known/matrix/client";
  const LOGOS = `svg[viewBox="0 0 260 30"], svg[viewBox="0 0 300 66"], svg[aria-label="${UPSTREAM}"]`;
  const ADVICE = {
    token: "It takes an invitation: open the link in it, or ask whoever runs this server for one.",
    closed: "Ask whoever runs this server for one.",
  }[ours.registration]; // open: nobody needs one

  // --- name

  const title = Object.getOwnPropertyDescriptor(Document.prototype, "title");
  Object.defineProperty(document, "title", {
    configurable: true,
    get: () => title.get.call(document),
    set: (text) => title.set.call(document, titled(text)),
  });

  // "Element Call | ROOM" -> "ROOM · NAME"
  function titled(text) {
    if (!text.startsWith(UPSTREAM)) return text;
    const page = location.pathname === "/" ? "" : text.slice(UPSTREAM.length).replace(/^ \| /, "");
    return page ? `${page} · ${ours.brand}` : ours.brand;
  }

  // For i18next a name may hold no variable {{x}}, no $t(x) and no <tag>: a mark without width between keeps them text.
  const name = ours.brand.replace(/([{$<])(?=[{t\w/!])/g, "$1\u2060");

  function renamed(text) {
    return text.replaceAll(UPSTREAM, () => name).replaceAll("Element", () => name).replaceAll("{{brand}}", () => name);
  }

  // Upstream's texts in any language -> the same with our name, without terms that nobody agreed on here.
  function reworded(texts) {
    const named = (value) =>
      typeof value === "string"
        ? renamed(value)
        : Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, named(inner)]));
    const words = named(texts);
    for (const key of Object.keys(words)) if (key.endsWith("_ssla_caption")) words[key] = "";
    if (ADVICE) {
      words.login_auth_links_prompt = `You need an account on ${name} to take part. ${ADVICE}`;
      words.login_auth_links = ours.registration === "token" ? "<0>I have an invitation</0>" : "";
    }
    return words;
  }

  const ask = window.fetch;
  window.fetch = async (what, options) => {
    const { pathname } = new URL(what.url ?? what, location.href);
    // Upstream asks how to register even for who is logged in, and stumbles over a refusal.
    if (ADVICE && REGISTER.test(pathname)) return Response.json({ flows: [], params: {} }, { status: 401 });
    // The server's name need not be where it is: it publishes the same document beside its API.
    if (pathname === WELL_KNOWN) return ask(ours.homeserver + WELL_KNOWN, options);
    const answer = await ask(what, options);
    return answer.ok && TEXTS.test(pathname) ? Response.json(reworded(await answer.json())) : answer;
  };

  // --- who gets in

  const stored = () => {
    try {
      return Boolean(localStorage.getItem("matrix-auth-store"));
    } catch {
      return false; // no storage in this browser, so no log-in either
    }
  };
  const widget = /[?&]widgetId=/.test(location.search + location.hash); // there the client around it has logged in

  // Who is not logged in sees the log-in, which then leads to where they wanted to go; who is does not see it again.
  // React Router keeps what it knows of a page in history.state, what it was given in `usr`.
  function settle() {
    if (!ADVICE || widget) return false;
    const { pathname, search, hash } = location;
    if (stored() !== (pathname === "/login")) return false;
    const from = history.state?.usr?.from;
    const [usr, path] = stored()
      ? [null, `${from?.pathname ?? "/"}${from?.search ?? ""}${from?.hash ?? ""}`]
      : [{ from: { pathname, search, hash } }, "/login"];
    history.replaceState({ idx: 0, ...history.state, usr, key: "default" }, "", path);
    return true;
  }

  settle();
  addEventListener("popstate", settle, true);

  function leads(link) {
    return ADVICE && link?.origin === location.origin && link.pathname === "/register";
  }

  addEventListener(
    "click",
    (event) => {
      if (!leads(event.target.closest?.("a[href]"))) return;
      event.preventDefault();
      event.stopPropagation();
      location.assign(ours.register);
    },
    true,
  );

  // --- what is shown

  function logo() {
    const image = document.createElement("img");
    const text = document.createElement("span");
    const both = document.createElement("span");
    image.src = ours.logo;
    image.alt = "";
    text.textContent = ours.brand;
    both.className = "samsesh-brand";
    both.append(image, text);
    return both;
  }

  const browserLight = matchMedia("(prefers-color-scheme: light)");

  // Upstream is dark unless its address says otherwise, as that of a client around it does.
  function paint() {
    if (/[?&]theme=/.test(location.search + location.hash)) return;
    const light = ours.theme === "auto" ? browserLight.matches : ours.theme === "light";
    const names = ["cpd-theme-dark", "cpd-theme-light"];
    document.body.classList.replace(names[Number(!light)], names[Number(light)]);
  }

  function dress() {
    for (const svg of document.querySelectorAll(LOGOS)) {
      if (!svg.parentElement.querySelector(":scope > .samsesh-brand")) svg.parentElement.prepend(logo());
    }
    paint();
    // Logged out meanwhile: these links are there for who is not. Loaded anew, since what is left of the old session
    // holds the browser's databases, and the next log-in would wait for them.
    if (!stored() && document.querySelector('a[href="/login"], a[href="/register"]') && settle()) location.reload();
  }

  browserLight.addEventListener("change", paint);
  document.addEventListener("DOMContentLoaded", () => {
    new MutationObserver(dress).observe(document.documentElement, {
      attributeFilter: ["class"],
      childList: true,
      subtree: true,
    });
  });
}
