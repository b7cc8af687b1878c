/* What attributes cannot say: when to poll, how old everything is, what to do when the server is gone, keys, dialogs.
   The server renders; this file only ages clocks and asks. No framework, no eval, nothing from another host. */
(() => {
  "use strict";

  const $ = (selector) => document.querySelector(selector);
  const $$ = (selector) => [...document.querySelectorAll(selector)];
  const words = $("#words").dataset;
  const poller = () => $("#poll"); // with data-poll it asks by itself, without it only when told to
  const REST_MS = 10 * 60e3; // without a hand on mouse or keyboard: ask four times less often
  const GONE_MS = 45e3;
  const OLD_MS = 300e3; // longer than the slowest poll: nobody asked meanwhile
  const RETRY_S = [5, 60];

  document.documentElement.classList.add("js");

  // --- What is remembered -------------------------------------------------------------------------------------------

  const cookie = (name, value) => { document.cookie = `${name}=${encodeURIComponent(value)};path=/;max-age=31536000;samesite=lax`; };
  const hasCookie = (name, value) => document.cookie.split("; ").includes(`${name}=${encodeURIComponent(value)}`);

  // The server writes clock times in the person's own zone.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !hasCookie("zone", zone)) {
    cookie("zone", zone);
    // Once, and only where the cookie is kept: else this would never end.
    if (hasCookie("zone", zone) && sessionStorage.getItem("zoned") !== zone) {
      sessionStorage.setItem("zoned", zone);
      location.reload();
    }
  }

  // --- Clocks -------------------------------------------------------------------------------------------------------

  let heard = Date.now(); // when the server last answered
  let ahead = Number(document.body.dataset.now) * 1e3 - heard || 0; // its clock against ours
  const serverNow = () => Date.now() + ahead;

  // As the filter `duration`, in the words that it has: "%(h)d h %(m)02d min".
  const filled = (words, values) => words.replace(/%\((\w)\)0?(\d?)d/g, (_all, name, width) => String(values[name]).padStart(Number(width), "0"));
  const span = (ms) => {
    const s = Math.max(0, Math.floor(ms / 1e3)), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    if (s < 60) return filled(words.spanS, { s });
    if (m < 60) return filled(words.spanM, { m });
    if (h < 48) return filled(m % 60 ? words.spanHm : words.spanH, { h, m: m % 60 });
    return filled(h % 24 ? words.spanDh : words.spanD, { d, h: h % 24 });
  };
  const ago = (at, over) => {
    const past = serverNow() - at;
    if (over && past >= 0) return over;
    return past >= 0 ? words.ago.replace("{}", span(past)) : words.in.replace("{}", span(-past));
  };
  const write = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };
  const time = (ms, form) => new Date(ms).toLocaleTimeString(document.documentElement.lang, { hour12: false, timeZone: document.body.dataset.zone, ...form });

  function age() {
    for (const element of $$("time[data-ago]")) write(element, ago(Date.parse(element.dateTime), element.dataset.over));
    write($("#page-age"), (choice?.value === "0" && poller() ? words.paused : words.page).replace("{}", words.ago.replace("{}", span(Date.now() - heard))));
    // A connection turns amber and red by the clock alone: a dead sync cannot say that it is dead. A hidden page does not
    // ask, so what it has not heard says nothing.
    for (const sign of $$("[data-sign][data-at]")) {
      const past = (document.hidden ? heard + ahead : serverNow()) / 1e3 - Number(sign.dataset.at);
      const state = past > Number(sign.dataset.lost) ? "failed" : past > Number(sign.dataset.stale) ? "stale" : "";
      if ((sign.dataset.state || "") === state) continue;
      if (state) sign.dataset.state = state; else delete sign.dataset.state;
    }
    if (missed > 1 && Date.now() - heard >= GONE_MS) lose();
    if (gone) {
      write($("#gone [data-age]"), words.ago.replace("{}", span(Date.now() - heard)));
      write($("#gone [data-next]"), span(due - Date.now() + 999)); // 0 s is said only when it is over
    }
    tell();
  }

  /** `isAnswer`: the page is as of now. A fault tells the time and nothing else that is new. */
  function hear(headers, isAnswer) {
    if (isAnswer) heard = Date.now();
    const now = Number(headers.get("X-Now"));
    if (now) ahead = now * 1e3 - Date.now();
    for (const pair of (headers.get("X-Synced") || "").split(",")) {
      const [id, at] = pair.split("=");
      const sign = at && $(`[data-sign="${CSS.escape(id)}"][data-at]`);
      if (!sign || sign.dataset.at === at) continue;
      sign.dataset.at = at;
      const text = sign.querySelector("time");
      if (text) text.dateTime = new Date(at * 1e3).toISOString();
    }
    const build = headers.get("X-Build");
    if (build && build !== document.body.dataset.build) $("#build").hidden = false;
    age();
  }

  // --- When to poll -------------------------------------------------------------------------------------------------

  const choice = $("#cadence");
  choice?.addEventListener("change", () => plan()); // kept with the person, by its own hx-post
  /** Seconds between polls; 0 is paused. */
  function cadence() {
    const page = poller();
    if (!page?.dataset.poll) return 0;
    const own = Number(page.dataset.poll) || 15;
    const chosen = choice && choice.value !== choice.dataset.default ? Number(choice.value) : own;
    return chosen && "slow" in page.dataset ? Math.max(own, chosen) : chosen;
  }

  let timer = 0, due = 0, missed = 0, touched = Date.now(), busy = false;
  for (const kind of ["pointermove", "keydown", "scroll", "touchstart"]) {
    addEventListener(kind, () => {
      const rested = Date.now() - touched > REST_MS;
      touched = Date.now();
      if (rested) plan(); // back from a rest: the next poll may be a minute away
    }, { passive: true });
  }

  function plan(soon) {
    clearTimeout(timer);
    if (document.hidden || (!cadence() && !missed)) return;
    let seconds = cadence() * (Date.now() - touched > REST_MS ? 4 : 1);
    if (missed) seconds = Math.min(RETRY_S[1], Math.max(RETRY_S[0], Math.min(seconds || 15, 15)) * 2 ** Math.max(0, missed - 2));
    seconds *= 0.8 + 0.4 * Math.random(); // so that a hundred pages do not ask at once
    due = Date.now() + (soon ? 0 : seconds * 1e3);
    timer = setTimeout(poll, due - Date.now());
  }

  function poll() {
    if (gone || !poller()?.dataset.poll) return refresh();
    poller().dispatchEvent(new Event("poll"));
    plan();
  }

  /** Everything that lives on this page, whether or not it moved. */
  function refresh() {
    const page = poller();
    if (!page || busy) return;
    busy = true;
    const url = new URL(page.getAttribute("hx-get"), location.href);
    for (const name of ["ids", "top", "drained"]) url.searchParams.delete(name);
    url.searchParams.set("seen", "0");
    htmx.ajax("GET", url.pathname + url.search, { source: page, swap: "none" }).catch(() => {}).finally(() => { busy = false; plan(); });
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (cadence()) { age(); plan(true); }
  });

  // --- When the server is gone --------------------------------------------------------------------------------------

  let gone = false;

  function miss() {
    missed += 1;
    plan();
    age();
  }

  function lose() {
    if (gone) return;
    gone = true;
    write($("#gone [data-since]"), time(heard));
    show("gone", true);
    document.body.classList.add("is-gone");
    acting(false);
  }

  /** `isAll`: the answer was the whole page, so nothing of it is old any more. */
  function back(isAll) {
    missed = 0;
    if (!gone) return;
    gone = false;
    show("gone", false);
    document.body.classList.remove("is-gone");
    acting(true);
    show("back", true);
    setTimeout(() => show("back", false), 8e3);
    if (!isAll) refresh();
    tell();
  }

  /** Buttons that act wait until there is somebody to act on. */
  function acting(can) {
    for (const button of $$("[data-act]")) {
      if (can) button.removeAttribute("aria-disabled"); else button.setAttribute("aria-disabled", "true");
    }
  }

  const show = (id, on) => { const banner = document.getElementById(id); if (banner) banner.hidden = !on; };
  function fault(text) {
    write($("#fault p"), text);
    show("fault", true);
  }

  // A gateway that answers for a dead server is no sign of life.
  const isDead = (status) => status === 502 || status === 503 || status === 504;

  document.addEventListener("htmx:after:request", (event) => {
    const { status, headers } = event.detail.ctx.response;
    if (isDead(status)) return miss();
    // What a link showed is taken away with the link: the page that says so takes its place.
    if ("shared" in document.body.dataset && (status === 404 || status === 429)) return location.reload();
    const isPoll = event.target === poller();
    hear(headers, status < 400);
    if (status < 500) back(isPoll); // a server that only breaks has not come back
    if (status < 400) { if (isPoll) show("fault", false); return; }
    if (status === 401) return; // HX-Redirect leads to the sign-in page
    const reason = headers.get("X-Reason");
    let text = words.fault;
    try { if (reason) text = decodeURIComponent(reason); } catch { /* not ours */ }
    event.target.closest?.("dialog")?.close();
    fault(text);
  });
  document.addEventListener("htmx:error", (event) => {
    // No answer at all: refused, cut, or longer than the time-out. Errors of a swap have an answer.
    if (!event.detail.ctx?.response) {
      if (event.target !== poller()) fault(words.fault);
      event.target.closest?.("dialog")?.close();
      miss();
    }
  });

  // --- Trouble, told from another tab -------------------------------------------------------------------------------

  const title = document.title, sign = $("link[rel=icon]"), calm = sign.href;
  new Image().src = words.markGone; // when it is needed nobody is there to ask for it

  /** How many need attention, what is stale and whether anybody answers, in the title and in the page's icon. */
  function tell() {
    const needs = $("#nav-attention[data-some]")?.textContent;
    const isStale = $("#pulse [data-sign][data-state], #strips .banner--down");
    const isOld = Date.now() - heard > OLD_MS;
    const parts = gone ? [words.gone] : [needs, isStale && words.stale, isOld && words.asOf.replace("{}", time(heard, { timeStyle: "short" }))].filter(Boolean);
    const full = parts.length ? `(${parts.join(", ")}) ${title}` : title;
    if (document.title !== full) document.title = full;
    const mark = gone ? words.markGone : isStale || isOld ? words.markStale : needs ? words.markNeeds : calm;
    if (sign.getAttribute("href") !== mark) sign.setAttribute("href", mark);
  }

  // --- A swap -------------------------------------------------------------------------------------------------------
  // htmx turns any tree into any other, and for each piece it tells a dozen events and has the whole page laid out anew.
  // Nearly all that a poll brings has the shape of what is there: then its words and attributes are written, no more.

  const isKept = (name) => htmx.config.morphIgnore.some((start) => name.startsWith(start));
  const isWired = (name) => name.startsWith("hx-") && name !== "hx-get"; // htmx has read it; hx-get it reads when asked
  /** Nobody points at anything in it, types in it or refers to it. */
  const isPlain = (element) => !element.querySelector("[id], [tabindex], a, button, details, form, input, select, template, textarea");

  /** Adds to `steps` what makes `old` into `now`; false where only htmx can. */
  function compare(old, now, steps) {
    if (old.isEqualNode(now)) return true;
    if (old.nodeName !== now.nodeName || old.id !== now.id) return false;
    if (old.nodeType !== Node.ELEMENT_NODE) { steps.push(() => { old.nodeValue = now.nodeValue; }); return true; }
    if (old.matches("input, select, template, textarea")) return false; // what somebody typed is not in its attributes
    if (old.matches(".rowlink") && old.pathname !== now.pathname) return false; // who was at this batch goes with it
    for (const name of new Set([...old.getAttributeNames(), ...now.getAttributeNames()])) {
      const value = now.getAttribute(name);
      if (isKept(name) || value === old.getAttribute(name)) continue;
      if (isWired(name)) return false;
      steps.push(() => { if (value === null) old.removeAttribute(name); else old.setAttribute(name, value); });
    }
    const here = [...old.childNodes], there = [...now.childNodes], sure = steps.length;
    if (here.length === there.length && here.every((node, i) => compare(node, there[i], steps))) return true;
    steps.length = sure;
    steps.push(() => old.replaceChildren(...there));
    return isPlain(old) && isPlain(now);
  }

  document.addEventListener("htmx:before:swap", (event) => {
    const { tasks } = event.detail;
    for (const task of [...tasks]) {
      if (task.type !== "partial" || !task.target || task.swapSpec.style !== "outerMorph") continue;
      // The white space around a piece would be put beside it, with every poll some more.
      for (const node of [...task.fragment.childNodes]) if (node.nodeType !== Node.ELEMENT_NODE) node.remove();
      const steps = [];
      if (task.fragment.childElementCount !== 1 || !compare(task.target, task.fragment.firstElementChild, steps)) continue;
      for (const step of steps) step();
      tasks.splice(tasks.indexOf(task), 1);
    }
  });

  document.addEventListener("htmx:after:swap", (event) => {
    const { ctx } = event.detail;
    if (ctx.response?.status !== 200) return;
    age();
    if (gone) acting(false);
    const source = event.target;
    if (source.matches?.("#filters")) {
      const url = new URL(ctx.request.action, location.href);
      for (const [name, value] of [...url.searchParams]) if (!value) url.searchParams.delete(name);
      history.replaceState(null, "", url.pathname + url.search);
      say(`${$("h1")?.textContent.trim()}`);
    }
    if (source.dataset?.opens) document.getElementById(source.dataset.opens)?.showModal();
    if ("closes" in (source.dataset || {})) source.closest("dialog")?.close();
  });

  const say = (text) => write($("#said"), text);

  // --- Clicks -------------------------------------------------------------------------------------------------------

  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest?.(selector);
    const act = at("[aria-disabled=true]");
    if (act) { event.preventDefault(); event.stopPropagation(); return; }
    if (at("#refresh") && poller()) { event.preventDefault(); refresh(); }
    if (at("[data-refresh]") && !event.ctrlKey && !event.metaKey) { event.preventDefault(); refresh(); scrollTo({ top: 0 }); }
    if (at("[data-retry]")) refresh();
    const close = at("[data-close]");
    if (close) {
      const around = close.closest("dialog, .toast, .banner");
      if (around?.tagName === "DIALOG") { event.preventDefault(); around.close(); }
      else if (around?.matches(".toast")) around.remove();
      else if (around) around.hidden = true;
    }
    const opener = at("[data-dialog]");
    if (opener) document.getElementById(opener.dataset.dialog).showModal();
    const copy = at("[data-copy], [data-copy-text]");
    if (copy) {
      const text = copy.dataset.copyText ?? $(copy.dataset.copy).textContent;
      navigator.clipboard?.writeText(text).then(() => {
        say(words.copied);
        copy.classList.add("is-done");
        setTimeout(() => copy.classList.remove("is-done"), 1500);
      });
    }
  }, true);

  // The answer to a form that may not be sent again has an address of its own.
  const settled = $("[data-settled]");
  if (settled) history.replaceState(null, "", settled.dataset.settled);

  const theme = $("#theme"); // kept with the person, by its own hx-post; in a cookie for pages that know nobody
  if (theme && !hasCookie("theme", theme.value)) cookie("theme", theme.value);
  theme?.addEventListener("change", () => {
    cookie("theme", theme.value);
    if (theme.value) document.documentElement.dataset.theme = theme.value;
    else delete document.documentElement.dataset.theme;
  });

  // --- Charts: arrow keys walk the columns, as the pointer does -----------------------------------------------------

  document.addEventListener("keydown", (event) => {
    const plot = event.target.closest?.("[data-columns]");
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!plot || !step) return;
    event.preventDefault();
    const columns = [...plot.querySelectorAll(".column")];
    const here = columns.findIndex((column) => column.classList.contains("is-on"));
    const next = columns[here < 0 ? (step > 0 ? 0 : columns.length - 1) : Math.max(0, Math.min(columns.length - 1, here + step))];
    if (!next) return;
    chosen = columns.indexOf(next);
    for (const column of columns) column.classList.toggle("is-on", column === next);
    say(next.getAttribute("aria-label"));
  });
  let chosen = -1; // a poll draws the columns anew, and the one in hand stays in hand
  document.addEventListener("htmx:after:swap", () => {
    const plot = document.activeElement?.closest?.("[data-columns]");
    if (plot && chosen >= 0) plot.querySelectorAll(".column")[chosen]?.classList.add("is-on");
  });
  document.addEventListener("focusout", (event) => {
    chosen = -1;
    for (const column of event.target.closest?.("[data-columns]")?.querySelectorAll(".is-on") ?? []) column.classList.remove("is-on");
  });

  // --- Keys ---------------------------------------------------------------------------------------------------------

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
    if (event.target.matches("input:not([type=checkbox]), textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const links = $$(".rowlink");
    const here = links.findIndex((link) => link.closest("tr, li")?.contains(document.activeElement));
    const move = (to) => links[Math.max(0, Math.min(links.length - 1, to))]?.focus();
    const keys = {
      "/": () => { const box = $("#q"); if (box) { box.focus(); box.select(); } },
      j: () => move(here + 1),
      k: () => move(here < 0 ? 0 : here - 1),
      ...(here >= 0 && { o: () => links[here].click() }),
      r: refresh,
      "?": () => $("#keys").showModal(),
    };
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });

  setInterval(age, 1e3);
  age();
  plan();
})();
