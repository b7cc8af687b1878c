/* The list alone: what the search box offers. The server reads the query; this shows its options and takes one. */
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
      const answer = await fetch(url, { headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(5e3) });
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
