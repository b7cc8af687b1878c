/* A screen that nobody touches, for weeks: asks for its board, ages its clocks, says so when nobody answers, and never
   leaves the page while the server is away. Complete without the desk's scripts. */
(() => {
  "use strict";

  const POLL = 5e3, SLOWEST = 10e3, HUNG = 10e3, LOST = 20e3, DARK = 300e3, SPREAD = 60e3, JUMP = 3e3;
  const body = document.body, page = body.dataset;
  const find = (id) => document.getElementById(id);
  const board = find("board"), banner = find("lost"), dark = find("dark"), words = find("words")?.dataset;
  const isLink = "link" in page;
  const slides = Number(page.slides) || 1, rotate = Number(page.rotate) * 1e3;

  // Ages by a clock that nobody can set; the time of day by the server's.
  const ticking = () => performance.now();
  let ahead = (Number(page.now) * 1e3 || Date.now()) - ticking();
  const now = () => ticking() + ahead;

  const shown = () => board?.querySelector("[data-seen]")?.dataset;
  const write = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };
  const clock = (ms, form) => {
    const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...form };
    try { return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: shown()?.zone }).format(ms); }
    catch { return new Intl.DateTimeFormat("en-GB", options).format(ms); }
  };
  // In the words of the filter `duration`: "%(h)d h %(m)02d min".
  const filled = (said, values) => said.replace(/%\((\w)\)0?(\d?)d/g, (_all, name, width) => String(values[name]).padStart(Number(width), "0"));
  const span = (ms) => {
    const s = Math.max(0, Math.floor(ms / 1e3)), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    if (s < 60) return filled(words.spanS, { s });
    if (m < 60) return filled(words.spanM, { m });
    if (h < 48) return filled(m % 60 ? words.spanHm : words.spanH, { h, m: m % 60 });
    return filled(h % 24 ? words.spanDh : words.spanD, { d, h: h % 24 });
  };

  // --- What is known of the server ----------------------------------------------------------------------------------

  let heard = ticking(), missed = 0, trouble = "", isDark = !board, slide = 0;

  function age() {
    if (isDark) return;
    for (const element of document.querySelectorAll("[data-clock]")) write(element, clock(now()));
    write(board.querySelector("[data-page]"), span(ticking() - heard));
    for (const element of board.querySelectorAll("[data-at]:not([data-seen])")) write(element, span(now() - Number(element.dataset.at) * 1e3));
    if (!trouble && ticking() - heard > LOST) cut("lost");
    if (trouble) write(banner.querySelector(".t"), clock(now()));
  }

  /** The board stays, without its colours, under a banner that says since when nobody knows better. */
  function cut(kind) {
    if (isDark || trouble === kind) return;
    trouble = kind;
    write(banner.querySelector("b"), words[kind].replace("{}", clock(heard + ahead, { second: "2-digit" })));
    const at = clock(Number(shown()?.at) * 1e3 || heard + ahead);
    write(banner.querySelector("span"), (kind === "out" ? words.signIn : words.shows).replace("{}", at));
    banner.hidden = false;
    body.classList.add("is-cut");
  }

  function good(headers) {
    heard = ticking();
    missed = 0;
    const said = Number(headers.get("X-Now"));
    if (said) ahead = said * 1e3 - heard;
    for (const pair of (headers.get("X-Synced") || "").split(",")) {
      const [id, at] = pair.split("=");
      const sign = at && board.querySelector(`[data-connection="${CSS.escape(id)}"]`);
      if (sign) sign.dataset.at = at;
    }
    trouble = "";
    banner.hidden = true;
    body.classList.remove("is-cut", "is-dark");
    dark.hidden = true;
    isDark = false;
    renew(headers.get("X-Build"));
    age();
  }

  function miss(kind) {
    missed += 1;
    if (kind) cut(kind);
    age();
  }

  function darken() {
    if (!isDark) {
      board.replaceChildren();
      dark.hidden = false;
      banner.hidden = true;
      body.classList.add("is-dark");
      document.title = dark.querySelector("h1").textContent;
    }
    isDark = true;
    missed = 0;
  }

  // --- Asking -------------------------------------------------------------------------------------------------------

  let timer = 0, asking = null;

  function plan() {
    clearTimeout(timer);
    const wait = isDark ? DARK : missed ? Math.min(SLOWEST, 1e3 * 2 ** (missed - 1)) : POLL;
    timer = setTimeout(() => ask(), wait * (missed ? 0.7 + 0.3 * Math.random() : 0.8 + 0.4 * Math.random()));
  }

  /** At once: the network is back, somebody looks again, the clock has jumped, or it is the next board's turn. */
  function wake(wanted = slide) {
    asking?.abort();
    asking = null;
    ask(wanted);
  }

  async function ask(wanted = slide) {
    if (asking) return;
    clearTimeout(timer);
    const mine = asking = new AbortController();
    const limit = setTimeout(() => mine.abort(), HUNG); // of a request that hangs nothing is to be expected
    try {
      const url = new URL(location.href);
      url.searchParams.set("seen", (wanted === slide && shown()?.seen) || "0");
      if (slides > 1) url.searchParams.set("slide", wanted);
      const answer = await fetch(url, { headers: { "HX-Request": "true" }, cache: "no-store", redirect: "manual", signal: mine.signal });
      const text = answer.status === 200 ? await answer.text() : "";
      if (asking === mine) take(answer, text, wanted);
    } catch {
      if (asking === mine) miss();
    } finally {
      clearTimeout(limit);
      if (asking === mine) { asking = null; plan(); }
    }
  }

  function take(answer, text, wanted) {
    const { status, headers } = answer;
    // What answers without a build is not the server: a gateway, or the page of a hotel's network.
    const isOurs = headers.has("X-Build");
    if (isOurs && status === 200) {
      if (!board) return location.reload(); // a dark page whose link works again, right after a good answer
      const fresh = document.createElement("template");
      fresh.innerHTML = text;
      if (!fresh.content.querySelector("[data-seen]")) return miss();
      board.replaceChildren(fresh.content);
      slide = wanted;
      return good(headers);
    }
    if (isOurs && status === 204 && board) return good(headers);
    if (isOurs && status === 404 && isLink) return darken();
    if (answer.type === "opaqueredirect" || status === 401 || status === 403) return miss("out");
    miss(isOurs && status >= 500 && ticking() - heard > LOST ? "broken" : "");
  }

  // --- A new version: once, after a good answer, not all screens at once --------------------------------------------

  let due = 0;
  const kept = (value) => { try { if (value) sessionStorage.setItem("build", value); return sessionStorage.getItem("build"); } catch { return null; } };

  function renew(build) {
    if (!build || build === page.build || kept() === build) return;
    due ||= ticking() + SPREAD * Math.random();
    if (ticking() < due) return;
    if (kept(build) === build) location.reload(); // only where it is kept that it was tried
  }

  // --- The screen ---------------------------------------------------------------------------------------------------

  const WAYS = [[0, 0], [1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]];
  let way = 0;
  function shift() {
    const step = Math.min(24, 0.015 * Math.min(innerWidth, innerHeight));
    const [x, y] = WAYS[way = (way + 1) % WAYS.length];
    document.documentElement.style.setProperty("--dx", `${x * step}px`);
    document.documentElement.style.setProperty("--dy", `${y * step}px`);
  }

  async function stayAwake() {
    try { await navigator.wakeLock?.request("screen"); } catch { /* not allowed here, or no power */ }
  }

  // Clock times are the server's until the browser has told its own zone.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const told = `zone=${encodeURIComponent(zone)}`;
  if ("follows" in page && zone && shown()?.zone !== zone && !document.cookie.split("; ").includes(told)) {
    document.cookie = `${told};path=/;max-age=31536000;samesite=lax`;
    shown().seen = "0";
    ask();
  }

  let apart = Date.now() - ticking();
  setInterval(() => {
    const jumped = Math.abs(Date.now() - ticking() - apart) > JUMP;
    apart = Date.now() - ticking();
    age();
    if (jumped) wake();
  }, 1e3);
  addEventListener("online", () => wake());
  addEventListener("pageshow", (event) => { if (event.persisted) wake(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { stayAwake(); wake(); } });
  if ("shift" in page) setInterval(shift, 60e3);
  if (slides > 1 && rotate) setInterval(() => { if (!missed && !isDark) wake((slide + 1) % slides); }, rotate);
  stayAwake();
  age();
  plan();
})();
