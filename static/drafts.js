/* What was typed and not sent outlives a sign-in that came in between, for the same person in the same tab. Never a
   password, a key or a text that may hold one: those are typed again. */
(() => {
  "use strict";

  const KEPT = "draft";
  const words = document.getElementById("words").dataset;
  const who = document.querySelector(".who__name")?.title;
  const isTick = (field) => field.type === "checkbox" || field.type === "radio";
  // Of a search all is in the address already.
  const fields = () => [...document.querySelectorAll("main form[method=post] :is(input:not([type=hidden], [type=password]), select)")].filter((field) => field.name);
  const nameOf = (field) => [field.form.getAttribute("action"), field.name, isTick(field) ? field.value : ""].join(" ");

  function isChanged(field) {
    if (isTick(field)) return field.checked !== field.defaultChecked;
    if (field.options) return [...field.options].some((option) => option.selected !== option.defaultSelected);
    return field.value !== field.defaultValue;
  }

  addEventListener("pagehide", () => {
    const changed = fields().filter(isChanged).map((field) => [nameOf(field), isTick(field) ? field.checked : field.value]);
    try {
      if (changed.length) sessionStorage.setItem(KEPT, JSON.stringify({ who, path: location.pathname, changed }));
      else sessionStorage.removeItem(KEPT);
    } catch { /* private window */ }
  });

  let kept = null;
  try { kept = JSON.parse(sessionStorage.getItem(KEPT)); sessionStorage.removeItem(KEPT); } catch { /* private window */ }
  // Once: a page that is loaded again still says where it was first come to from.
  const came = performance.getEntriesByType("navigation")[0]?.type === "navigate" && document.referrer.split("?")[0];
  if (!kept || kept.who !== who || kept.path !== location.pathname || came !== location.origin + words.signIn) return;
  const changed = new Map(kept.changed);
  for (const field of fields()) {
    const value = changed.get(nameOf(field));
    if (value === undefined) continue;
    if (isTick(field)) field.checked = value; else field.value = value;
    const menu = field.closest("details");
    if (menu) menu.open = true;
  }
  const said = document.getElementById("restored");
  if (said) said.hidden = false;
})();
