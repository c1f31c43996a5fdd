// Keeps the page as new as the daemon: /events sends the part that changes, and it is changed where it differs, so that
// focus, place and selection stay. Without this script the page is what it was when it was made.
"use strict";

(() => {
  const STALE_MS = 5000;
  const AGAIN_MS = 5000;
  const byId = (id) => document.getElementById(id);
  const age = byId("age");
  const words = byId("age-text");
  const news = byId("news");
  const over = byId("over");
  let heard = Date.now();
  let source;

  document.documentElement.classList.add("live");

  function connect() {
    source = new EventSource("/events" + location.search);
    source.addEventListener("message", (event) => {
      note();
      show(event.data);
    });
    source.addEventListener("alive", note);
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) ask();
    });
  }

  // A stream that is refused does not say why: this does.
  async function ask() {
    try {
      const { status } = await fetch(source.url, { method: "HEAD" });
      if (status === 401) end(true);
    } catch {
      // nobody is there
    }
    setTimeout(connect, AGAIN_MS);
  }

  function end(isOver) {
    if (over.hidden === !isOver) return;
    over.hidden = !isOver;
    if (isOver) say("You are signed out: sign in again.");
  }

  function note() {
    heard = Date.now();
    end(false);
    tick();
  }

  function tick() {
    const silent = Date.now() - heard;
    const isStale = silent > STALE_MS;
    const seconds = Math.round(silent / 1000);
    if (isStale !== document.documentElement.classList.contains("stale")) {
      document.documentElement.classList.toggle("stale", isStale);
      if (isStale) say("The page is stale: nothing new comes from the router.");
    }
    words.textContent = isStale ? `stale: nothing new for ${duration(seconds)}` : `live, ${seconds} s old`;
  }

  function duration(seconds) {
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  }

  function say(text) {
    news.textContent = text;
  }

  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("view");
    const view = byId("view");
    if (!fresh || !view) return;
    const said = headline();
    const focused = place();
    change(view, fresh);
    document.title = view.dataset.title;
    const tab = byId("tab");
    if (tab.getAttribute("href") !== view.dataset.icon) tab.setAttribute("href", view.dataset.icon);
    if (focused && document.activeElement === document.body) view.querySelector(focused)?.focus();
    if (headline() !== said) say(headline());
  }

  function headline() {
    return byId("verdict")?.textContent ?? "";
  }

  // Selector of the focused part of the view.
  function place() {
    const { activeElement } = document;
    if (!byId("view").contains(activeElement)) return null;
    const { id, dataset } = activeElement;
    if (id) return "#" + CSS.escape(id);
    return dataset.copy ? `[data-copy="${CSS.escape(dataset.copy)}"]` : null;
  }

  function change(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
      old.replaceWith(fresh);
    } else if (old.nodeType === Node.ELEMENT_NODE) {
      changeAttributes(old, fresh);
      changeChildren(old, fresh);
    } else {
      old.data = fresh.data;
    }
  }

  function changeAttributes(old, fresh) {
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
  }

  // Children with an id are found by it, others by their place.
  function changeChildren(old, fresh) {
    const ids = new Set([...fresh.children].map((it) => it.id));
    for (const it of [...old.children]) {
      if (it.id && !ids.has(it.id)) it.remove();
    }
    let own = old.firstChild;
    for (const it of [...fresh.childNodes]) {
      if (!own || (it.id && it.id !== own.id)) {
        old.insertBefore(it, own);
        continue;
      }
      const after = own.nextSibling;
      change(own, it);
      own = after;
    }
    while (own) {
      const after = own.nextSibling;
      own.remove();
      own = after;
    }
  }

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      // without TLS a page may only copy what is selected
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.classList.add("done");
    say("Copied: " + button.dataset.copy);
    setTimeout(() => button.classList.remove("done"), 1500);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (button) copy(button);
  });
  // a page that was left and is shown again
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  if (age && byId("view")) {
    connect();
    setInterval(tick, 1000);
    tick();
  }
})();
