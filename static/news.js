/* What polls brought, for who hears the page instead of seeing it: said at most every 30 s, and silence when nothing
   moved. What somebody does here is answered at once, in #said. */
(() => {
  "use strict";

  const GAP_MS = 30e3, NAMED = 3;
  const words = document.getElementById("words").dataset, region = document.getElementById("news");
  const $ = (selector) => document.querySelector(selector);
  const $$ = (selector) => [...document.querySelectorAll(selector)];
  const plain = (element) => element?.textContent.replace(/\s+/g, " ").trim() ?? "";
  const counted = (n, one, many) => (n === 1 ? one : many.replace("{}", n.toLocaleString(document.documentElement.lang)));

  /** A batch where it stands: its name, its state in words, and all else but what time alone changes. */
  function batchIn(row, link) {
    const state = row.querySelector(".c-status .status, .what") ?? row.querySelector(".status [aria-label]");
    if (!state) return null;
    const rest = [...row.querySelectorAll(".num")].map(plain).join(" ");
    return { name: link.getAttribute("aria-label") || link.title, state: state.getAttribute("aria-label") || plain(state), rest };
  }

  /** What of this page is worth a word when it moves. */
  function look() {
    const batches = new Map();
    for (const link of $$("main .rowlink")) {
      const row = link.closest("tr, li"), found = row && batchIn(row, link);
      if (found) batches.set(link.getAttribute("href"), found);
    }
    const one = $("#batch h1");
    if (one) {
      const counts = $$("#batch .counts > span:not(.push)").map(plain).join(", ");
      batches.set("this", { name: plain(one), state: plain($("#batch .title .status")), rest: counts });
    }
    return {
      batches, fresh: plain($("#fresh")), needs: plain($("#nav-attention")),
      strips: new Map($$("#strips .banner").map((strip) => [strip.id, plain(strip.querySelector("p"))])),
    };
  }

  function difference(old, now) {
    const parts = [];
    for (const [id, text] of now.strips) if (!old.strips.has(id)) parts.push(text);
    const moved = [...now.batches].filter(([id, batch]) => {
      const before = old.batches.get(id);
      return before && (before.state !== batch.state || before.rest !== batch.rest);
    });
    const turned = moved.filter(([id, batch]) => old.batches.get(id).state !== batch.state).map(([, batch]) => batch);
    const alone = now.batches.get("this");
    if (alone && moved.length) parts.push(`${alone.state}: ${alone.rest}`);
    else {
      for (const batch of turned.slice(0, NAMED)) parts.push(`${batch.name}: ${batch.state}`);
      if (moved.length > Math.min(turned.length, NAMED)) parts.push(counted(moved.length, words.changedOne, words.changedMany));
    }
    if (now.fresh && now.fresh !== old.fresh) parts.push(now.fresh);
    if (now.needs !== old.needs) parts.push(words.needs.replace("{}", now.needs));
    return parts.map((part) => (/[.!?]$/.test(part) ? part : `${part}.`)).join(" ");
  }

  let heard = look(), spoke = 0, timer = 0;

  function speak() {
    timer = 0;
    const now = look(), text = difference(heard, now);
    heard = now;
    if (!text) return;
    spoke = Date.now();
    // The same words again would not be read.
    region.replaceChildren(Object.assign(document.createElement("p"), { textContent: text }));
  }

  document.addEventListener("htmx:after:swap", (event) => {
    // Somebody asked for other rows: no news, and what was to be said of the former is over.
    if (event.target.id !== "poll") { heard = look(); return; }
    timer ||= setTimeout(speak, Math.max(0, spoke + GAP_MS - Date.now()));
  });
})();
