/* The list alone: what the search box offers, and which rows are selected. */

// The server reads the query; this shows its options and takes one.
(() => {
  "use strict";

  const box = document.getElementById("q"), list = document.getElementById("options");
  if (!box || !list) return;
  const WAIT_MS = 120;
  let timer = 0, asked = 0;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const active = () => list.querySelector("[aria-selected=true]");

  function close() {
    clearTimeout(timer);
    asked += 1; // an answer that is still under way comes too late
    list.hidden = true;
    list.replaceChildren();
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  }

  function point(at) {
    for (const option of options()) option.setAttribute("aria-selected", String(option === at));
    if (at) { box.setAttribute("aria-activedescendant", at.id); at.scrollIntoView({ block: "nearest" }); }
    else box.removeAttribute("aria-activedescendant");
  }

  async function ask() {
    const mine = (asked += 1);
    const url = new URL(box.dataset.options, location.href);
    url.searchParams.set("q", box.value);
    // In characters, as the server counts: JavaScript counts some as two.
    url.searchParams.set("at", [...box.value.slice(0, box.selectionStart)].length);
    let text;
    try {
      const answer = await fetch(url, { headers: { "HX-Request": "true", "X-Language": document.documentElement.lang }, signal: AbortSignal.timeout(5e3) });
      if (!answer.ok) return;
      text = await answer.text();
    } catch { return; } // no suggestions is no trouble
    if (mine !== asked || document.activeElement !== box) return;
    const found = new DOMParser().parseFromString(text, "text/html").querySelectorAll("[role=option]");
    const kept = active()?.dataset.text;
    list.replaceChildren(...found);
    list.hidden = !found.length;
    box.setAttribute("aria-expanded", String(Boolean(found.length)));
    // Whoever has pointed at one already means that one.
    point(kept && options().find((option) => option.dataset.text === kept));
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT_MS);
  }

  function take(option) {
    const at = [...option.dataset.text].slice(0, Number(option.dataset.at)).join("").length;
    box.value = option.dataset.text;
    box.setSelectionRange(at, at);
    close();
    box.dispatchEvent(new Event("input", { bubbles: true })); // the list follows, and the next options
  }

  box.addEventListener("input", soon);
  box.addEventListener("click", soon);
  box.addEventListener("blur", close);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !list.hidden) { event.stopPropagation(); event.preventDefault(); close(); return; }
    if (event.key === "ArrowDown" && list.hidden) { event.preventDefault(); ask(); return; }
    if (list.hidden) return;
    const all = options(), here = all.indexOf(active());
    if (event.key === "ArrowDown") { event.preventDefault(); point(all[(here + 1) % all.length]); }
    if (event.key === "ArrowUp") { event.preventDefault(); point(all[(here < 0 ? all.length : here) - 1]); }
    if (event.key === "Enter") { if (here >= 0) { event.preventDefault(); take(all[here]); } else close(); }
    if (event.key === "Tab" && here >= 0) { event.preventDefault(); take(all[here]); }
  });
  // Before the box loses the focus, which would close the list under the pointer.
  list.addEventListener("pointerdown", (event) => {
    const option = event.target.closest("[role=option]");
    event.preventDefault();
    if (option) take(option);
  });
})();

// The selection is by id and kept outside of the rows: a poll, another order or another page does not touch it. It
// belongs to what is filtered by, and ends with it.
(() => {
  "use strict";

  const bar = document.getElementById("selection");
  if (!bar) return;
  const KEPT = "selection", FILTERS = ["q", "status", "connection"];
  const count = bar.querySelector(".bulk__count"), copy = document.getElementById("copy-ids");
  const boxes = () => [...document.querySelectorAll("tbody .c-check input")];
  const boxOf = (element) => element?.closest?.("tbody tr")?.querySelector(".c-check input");
  let filter = "", chosen = new Map(), last = ""; // chosen: a row's number to the vendor's id

  const filterNow = () => {
    const asked = new URLSearchParams(location.search);
    return JSON.stringify(FILTERS.map((name) => (asked.get(name) || "").trim()));
  };

  function recall() {
    filter = filterNow();
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEPT));
      chosen = new Map(kept?.filter === filter ? kept.chosen : []);
    } catch { chosen = new Map(); }
  }
  function keep() {
    try { sessionStorage.setItem(KEPT, JSON.stringify({ filter, chosen: [...chosen] })); } catch { /* private window */ }
  }

  function show() {
    const here = boxes();
    for (const box of here) box.checked = chosen.has(box.value);
    const ticked = here.filter((box) => box.checked).length, away = chosen.size - ticked;
    const page = document.getElementById("select-page");
    if (page) { page.checked = ticked > 0 && ticked === here.length; page.indeterminate = ticked > 0 && ticked < here.length; }
    const number = (n) => n.toLocaleString(document.documentElement.lang);
    const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
    const { one, many, away: elsewhere } = count.dataset;
    write(count.querySelector("b"), chosen.size === 1 ? one : many.replace("{}", number(chosen.size)));
    write(count.querySelector(".why"), away ? elsewhere.replace("{}", number(away)) : "");
    bar.classList.toggle("is-on", chosen.size > 0);
    copy.dataset.copyText = [...chosen.values()].join("\n");
    const shown = new Set(here.map((box) => box.value));
    bar.elements.more.value = [...chosen.keys()].filter((pk) => !shown.has(pk)).join(",");
  }

  function choose(some, on) {
    for (const box of some) { if (on) chosen.set(box.value, box.dataset.id); else chosen.delete(box.value); }
    keep();
    show();
  }
  /** The box, or with Shift all from the last one to this. */
  function toggle(box, on, isRange) {
    const all = boxes(), from = all.findIndex((one) => one.value === last), to = all.indexOf(box);
    choose(isRange && from >= 0 ? all.slice(Math.min(from, to), Math.max(from, to) + 1) : [box], on);
    last = box.value;
  }

  document.addEventListener("click", (event) => {
    const box = event.target;
    if (box.id === "select-page") choose(boxes(), box.checked);
    else if (box.matches?.("tbody .c-check input")) toggle(box, box.checked, event.shiftKey);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "x" || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const box = boxOf(document.activeElement);
    if (!box) return;
    event.preventDefault();
    toggle(box, event.shiftKey || !box.checked, event.shiftKey);
  });
  bar.addEventListener("reset", (event) => {
    event.preventDefault();
    chosen.clear();
    choose([], false);
  });
  document.addEventListener("htmx:after:swap", () => {
    if (filterNow() !== filter) { recall(); keep(); }
    show();
  });
  addEventListener("pageshow", () => { recall(); show(); }); // also when the browser brings a page back as it was
  recall();
  show();
})();

// The filter of the moment: typing changes the address and neither the tabs nor the forms of the menus.
(() => {
  "use strict";

  const KEPT = ["q", "status", "connection", "sort"];
  const kept = (search) => {
    const asked = new URLSearchParams(search);
    return JSON.stringify(KEPT.map((name) => (asked.get(name) || "").trim()).map((value) => (value === "newest" ? "" : value)));
  };
  function mark() {
    const now = kept(location.search);
    for (const nav of document.querySelectorAll(".viewtabs, .views")) {
      const links = [...nav.querySelectorAll("a:not(.viewtabs__edit)")];
      const current = links.find((link) => kept(link.search) === now);
      for (const link of links) {
        if (link === current) link.setAttribute("aria-current", nav.matches(".views") ? "true" : "page");
        else link.removeAttribute("aria-current");
      }
    }
    for (const field of document.querySelectorAll(".menu input[name=back]")) field.value = location.search;
    for (const link of document.querySelectorAll("a[data-filtered]")) link.search = location.search;
  }
  document.addEventListener("htmx:after:swap", mark);
})();

// A menu closes as people expect one to: by Escape, and by a click beside it.
(() => {
  "use strict";

  const open = () => document.querySelectorAll(".menu[open]");
  document.addEventListener("click", (event) => {
    for (const menu of open()) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of open()) {
      if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
      menu.open = false;
    }
  });
})();
