// Keeps a page live: server-sent events tell that something changed, the page is fetched again, and only what differs is
// put in place. Without this script every page still works.
"use strict";
(() => {
  const body = document.body;
  const live = document.getElementById("live");
  const fresh = document.getElementById("fresh");

  // --- times in the reader's zone, at the width at which the server wrote them

  const two = (n) => String(n).padStart(2, "0");
  const local = (at) =>
    `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const ago = (at) => {
    const s = Math.max(0, Math.floor((Date.now() - at) / 1000));
    if (s < 60) return `${s} s ago`;
    if (s < 3600) return `${Math.floor(s / 60)} min ago`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
    return `${Math.floor(s / 86400)} d ago`;
  };
  const localise = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const text = time.hasAttribute("data-ago") ? ago(at) : local(at);
      if (time.textContent !== text) time.textContent = text;
      if (!time.title || time.hasAttribute("data-ago")) time.title = time.dateTime;
    }
  };
  const zone = document.getElementById("zone");
  if (zone) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone || "your zone";
  localise(document);
  setInterval(() => { for (const t of document.querySelectorAll("time[data-ago]")) t.textContent = ago(new Date(t.dateTime)); }, 1000);

  // --- on a narrow screen the menu scrolls: the page that one is on stays in sight

  const showHere = () => {
    const here = document.querySelector(".top nav a[aria-current]");
    if (!here) return;
    const menu = here.parentElement;
    const [a, b] = [here.getBoundingClientRect(), menu.getBoundingClientRect()];
    menu.scrollLeft += a.left + a.width / 2 - (b.left + b.width / 2);
  };
  showHere();
  window.addEventListener("resize", showHere);

  // --- putting a newer page in place

  const keyOf = (node) => (node.nodeType === 1 ? node.getAttribute("data-key") || node.id || "" : "");
  const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
  const busy = (node) => node === document.activeElement && /^(INPUT|SELECT|TEXTAREA)$/.test(node.nodeName);

  const attributes = (old, now) => {
    for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const { name } of [...old.attributes])
      if (!now.hasAttribute(name) && !(old.nodeName === "DETAILS" && name === "open")) old.removeAttribute(name);
  };
  const touch = (node) => {
    if (!node.matches("tr[data-key], li[data-key]")) return;
    node.classList.remove("touched");
    void node.offsetWidth;
    node.classList.add("touched");
  };
  const settle = (node) => { const copy = node.cloneNode(true); for (const k of copy.querySelectorAll(".touched")) k.classList.remove("touched"); copy.classList.remove("touched"); if (!copy.className) copy.removeAttribute("class"); for (const d of copy.querySelectorAll("details[open]")) d.removeAttribute("open"); for (const f of copy.querySelectorAll("input[name=key]")) f.remove(); return copy; };
  const equal = (old, now) => old.nodeType === 1 ? settle(old).isEqualNode(settle(now)) : old.isEqualNode(now);

  function morph(old, now) {
    if (old.nodeType !== 1) { if (old.nodeValue !== now.nodeValue) old.nodeValue = now.nodeValue; return; }
    if (busy(old) || equal(old, now)) return;
    if (old.hasAttribute("data-key")) touch(old);
    if (old.nodeName === "INPUT" || old.nodeName === "SELECT") return;
    const kept = old.classList.contains("touched");
    attributes(old, now);
    if (kept) old.classList.add("touched");
    const keyed = new Map([...old.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
    let at = old.firstChild;
    for (const next of [...now.childNodes]) {
      const key = keyOf(next);
      let found = key ? keyed.get(key) : at && !keyOf(at) && same(at, next) ? at : null;
      if (found && !same(found, next)) found = null;
      if (found) {
        if (found !== at) old.insertBefore(found, at); else at = at.nextSibling;
        morph(found, next);
      } else {
        const made = document.importNode(next, true);
        old.insertBefore(made, at);
        if (made.nodeType === 1) touch(made);
      }
    }
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
  }

  // A list that is being read does not move: rows change in place, new ones wait for a click.
  function rows(old, now) {
    const have = new Map([...old.tBodies[0].rows].map((row) => [row.dataset.key, row]));
    const next = [...now.tBodies[0].rows];
    const added = next.filter((row) => !have.has(row.dataset.key)).length;
    if (fresh && added && (window.scrollY > 8 || old.contains(document.activeElement) || old.matches(":hover"))) {
      for (const row of next) { const mine = have.get(row.dataset.key); if (mine) morph(mine, row); }
      fresh.hidden = false;
      return;
    }
    if (fresh) fresh.hidden = true;
    morph(old, now);
  }

  let fetching = false, again = false, last = 0, latest = null;
  async function refresh() {
    if (document.querySelector("[data-still]")) return;
    if (document.hidden) { again = true; return; }
    if (fetching) { again = true; return; }
    const wait = last + 1000 - Date.now();
    if (wait > 0) { if (!again) { again = true; setTimeout(() => { again = false; refresh(); }, wait); } return; }
    fetching = true;
    last = Date.now();
    try {
      const url = new URL(location.href);
      url.searchParams.delete("done");
      url.searchParams.delete("retried");
      url.hash = "";
      const answer = await fetch(url, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected && new URL(answer.url).pathname === "/login") { location.reload(); return; }
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      localise(page);
      latest = page;
      place(page, false);
    } catch { /* the daemon is away; the stream says so and comes back */ } finally {
      fetching = false;
      if (again && !document.hidden) { again = false; setTimeout(refresh, 1000); }
    }
  }
  function place(page, all) {
    const [old, now] = [document.getElementById("main"), page.getElementById("main")];
    const badge = '[data-live="badge"]';
    const [b, c] = [document.querySelector(badge), page.querySelector(badge)];
    if (b && c) { b.textContent = c.textContent; b.hidden = c.hidden; }
    if (!old || !now) return;
    const notice = old.querySelector(":scope > .notice:not(.warn)");
    if (notice && !now.querySelector(":scope > .notice:not(.warn)")) now.prepend(notice.cloneNode(true));
    if (fresh) { const f = now.querySelector("#fresh"); if (f) f.hidden = fresh.hidden; }
    const [r, s] = [old.querySelector("table[data-rows]"), now.querySelector("table[data-rows]")];
    if (fresh && r && s && !all) {
      rows(r, s);
      for (const option of now.querySelectorAll("option")) {
        const mine = old.querySelector(`select[name="${option.parentNode.name}"] option[value="${CSS.escape(option.value)}"]`);
        if (mine && mine.textContent !== option.textContent) mine.textContent = option.textContent;
      }
      return;
    }
    if (fresh && all) fresh.hidden = true;
    morph(old, now);
  }
  if (fresh) fresh.addEventListener("click", () => { window.scrollTo(0, 0); if (latest) place(latest, true); });

  // --- the stream

  const say = (state, text) => {
    if (!live || live.className === `live ${state}`) return;
    live.className = `live ${state}`;
    live.lastElementChild.textContent = text;
  };
  let source = null, beaten = false;
  function listen() {
    if (source) source.close();
    const entity = body.dataset.watch;
    source = new EventSource(`/api/v1/events${entity ? `?entity=${encodeURIComponent(entity)}` : ""}`);
    source.addEventListener("hello", () => { say("on", "live"); if (beaten) refresh(); beaten = true; });
    source.addEventListener("change", refresh);
    source.addEventListener("error", () => {
      say("off", "waiting…");
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
    });
  }
  if (live && !document.hidden) listen();
  const every = Number(body.dataset.every);
  if (every > 0) setInterval(refresh, every);
  // A browser allows few connections to one place: a page that nobody sees gives its stream back.
  document.addEventListener("visibilitychange", () => {
    if (!live) return;
    if (document.hidden) { source?.close(); source = null; return; }
    again = false;
    if (!source) listen();
    refresh();
  });

  // --- forms

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const question = form.getAttribute("data-confirm");
    if (question && !window.confirm(question)) { event.preventDefault(); return; }
    if (form.method === "post") setTimeout(() => { for (const b of form.querySelectorAll("button")) b.disabled = true; });
  });
  for (const form of document.querySelectorAll("form[data-auto]"))
    for (const select of form.querySelectorAll("select")) select.addEventListener("change", () => form.requestSubmit());
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.nodeName)) {
      event.preventDefault();
      document.querySelector('main input[type="search"], .find input')?.focus();
    }
    if (event.key === "Escape") for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
  });
  // --- the mapping bench: the result follows the text

  const bench = document.querySelector("form.bench");
  if (bench) {
    const { text, sample, payload } = bench.elements;
    const who = bench.elements.for;
    const [gutter, result, diff] = [bench.querySelector(".gutter"), document.getElementById("result"), document.getElementById("diff")];
    const first = text.value;
    document.body.classList.add("js");
    const mark = () => {
      const worst = new Map();
      for (const item of result.querySelectorAll("li[data-line]"))
        if (item.dataset.line > 0 && worst.get(Number(item.dataset.line)) !== "error") worst.set(Number(item.dataset.line), item.className);
      const count = text.value.split("\n").length;
      gutter.replaceChildren(...Array.from({ length: count }, (_, at) => {
        const line = document.createElement("span");
        line.textContent = at + 1;
        const tone = worst.get(at + 1);
        if (tone) line.className = tone;
        return line;
      }));
      gutter.scrollTop = text.scrollTop;
    };
    let timer = 0, turn = 0;
    const preview = async () => {
      const mine = ++turn;
      result.classList.add("busy");
      try {
        const answer = await fetch(`${bench.getAttribute("action")}/preview`, { method: "POST", body: new URLSearchParams(new FormData(bench)), credentials: "same-origin" });
        if (mine !== turn) return;
        if (answer.redirected) { location.reload(); return; }
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        result.replaceChildren(...(answer.ok ? page.body : page.querySelector("main") || page.body).childNodes);
        mark();
      } catch { /* the daemon is away; the next key asks again */ } finally {
        if (mine === turn) result.classList.remove("busy");
      }
    };
    const soon = () => { diff.replaceChildren(); clearTimeout(timer); timer = setTimeout(preview, 350); };
    text.addEventListener("input", () => { mark(); soon(); });
    text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });
    payload.addEventListener("input", soon);
    for (const part of bench.querySelectorAll("[data-try]")) part.addEventListener("change", () => {
      bench.querySelector(".own").hidden = sample.value !== "own";
      for (const shown of bench.querySelectorAll(".bench section > details.fold")) shown.remove();
      if (sample.value === "own") payload.focus();
      soon();
    });
    who.addEventListener("change", () => {
      if (text.value !== first && !window.confirm("Leave what you have typed?")) { who.value = [...who.options].find((o) => o.defaultSelected)?.value || ""; return; }
      const url = new URL(bench.getAttribute("action"), location.href);
      if (who.value) url.searchParams.set("for", who.value);
      location.href = url;
    });
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); bench.requestSubmit(document.getElementById("diff-button")); }
    });
    bench.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-line]");
      if (!link) return;
      event.preventDefault();
      const lines = text.value.split("\n");
      const at = Number(link.dataset.line) - 1;
      const start = lines.slice(0, at).join("\n").length + (at > 0 ? 1 : 0);
      text.focus();
      text.setSelectionRange(start, start + (lines[at] || "").length);
      const height = text.scrollHeight / lines.length;
      text.scrollTop = Math.max(0, at * height - text.clientHeight / 3);
      text.scrollIntoView({ block: "nearest" });
    });
    mark();
    if (diff.firstElementChild) diff.closest("section").scrollIntoView({ block: "nearest" });
  }

  const opened = location.hash.startsWith("#c-") && document.getElementById(location.hash.slice(1));
  if (opened) opened.querySelector("details").open = true;
})();
