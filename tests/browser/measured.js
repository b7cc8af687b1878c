(least) => {
  const u = Math.min(innerHeight / 100, innerWidth * 1.15 / 100), found = [], page = document.scrollingElement;
  const ink = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => { ink.clearRect(0, 0, 1, 1); ink.fillStyle = colour; ink.fillRect(0, 0, 1, 1); return [...ink.getImageData(0, 0, 1, 1).data]; };
  const light = (colour) => { const [r, g, b] = colour.map((c) => { c /= 255; return c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (one) => { for (; one; one = one.parentElement) { const colour = rgb(getComputedStyle(one).backgroundColor); if (colour[3] === 255) return colour; } return [255, 255, 255, 255]; };
  if (page.scrollWidth > innerWidth || page.scrollHeight > innerHeight) found.push(`scrolls: ${page.scrollWidth}x${page.scrollHeight}`);
  let words = 0, largest = 0;
  for (const one of document.querySelectorAll("body *")) {
    if (!one.checkVisibility() || one.closest("template, defs")) continue;
    if (![...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
    words += 1;
    const box = one.getBoundingClientRect(), style = getComputedStyle(one), size = parseFloat(style.fontSize);
    const say = (what) => found.push(`${what}: ${one.className?.baseVal ?? one.className} "${one.textContent.trim().slice(0, 40)}"`);
    largest = Math.max(largest, size / u);
    if (box.left < -1 || box.top < -1 || box.right > innerWidth + 1 || box.bottom > innerHeight + 1) say("outside");
    if (size < 2.2 * u - .01) say(`${(size / u).toFixed(2)} vh`);
    if (one.closest(".nm, .pc, .by") && size < 3 * u - .01) say(`row of ${(size / u).toFixed(2)} vh`);
    if (one instanceof HTMLElement && style.display !== "inline" && !one.closest(".mid, .what, bdi") && one.scrollWidth > one.clientWidth + 1) say("cut");
    const [fore, back] = [light(rgb(one instanceof SVGElement ? style.fill : style.color)), light(behind(one))];
    const contrast = (Math.max(fore, back) + .05) / (Math.min(fore, back) + .05);
    if (contrast < least) say(`contrast ${contrast.toFixed(1)}`);
  }
  // Lines that push others over the edge of what they stand in.
  for (const one of document.querySelectorAll(".wrow, .f, .clear, .hero__main, .five, .mass__attn, .mass__grid, .mass__sum, .wall__top, .wall__foot, .legend")) {
    const inner = one.getBoundingClientRect(), outer = one.parentElement.getBoundingClientRect();
    if (inner.bottom > outer.bottom + 2 || inner.right > outer.right + 2) found.push(`past its box: ${one.className} ${Math.round(inner.bottom - outer.bottom)}`);
    if (one.scrollHeight > one.clientHeight + 4 && !one.matches(".wall__top, .hero__main")) found.push(`overfull: ${one.className} ${one.scrollHeight - one.clientHeight}`);
  }
  if (words < 8) found.push(`only ${words} words`);
  if (largest < 12) found.push(`the largest has ${largest.toFixed(1)} vh`);
  return [...new Set(found)];
}
