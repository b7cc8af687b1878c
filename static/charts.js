/* The large charts over time, drawn by uPlot from numbers that the server sums up. They follow the page's polls by
   asking again for their numbers, and keep their zoom. A gap is a time that nobody looked at: no line crosses it. */
(() => {
  "use strict";

  const words = document.getElementById("plot-words")?.dataset;
  const plots = [...document.querySelectorAll("[data-plot]")];
  if (!words || !plots.length || !window.uPlot) return;
  const language = document.documentElement.lang;
  const HEIGHT = 172, ASK_MS = 30e3;
  const number = new Intl.NumberFormat(language);
  const short = new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 1 });
  const timeZone = document.body.dataset.zone; // of the profile; without one the browser's own
  // As the pages write a date: 21 Nov.
  const clock = (options) => new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { hourCycle: "h23", timeZone, ...options });
  const times = { hour: clock({ hour: "2-digit", minute: "2-digit" }), day: clock({ day: "numeric", month: "short" }),
    full: clock({ weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }) };
  const write = (time, at) => times[time].format(new Date(at * 1e3));
  const inZone = (at) => (timeZone ? uPlot.tzDate(new Date(at * 1e3), timeZone) : new Date(at * 1e3));

  /** A colour of the stylesheet as canvas understands it: only an element knows whether it is light or dark. */
  function resolved(colour) {
    const probe = document.createElement("i");
    probe.className = "vh";
    probe.style.color = colour;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  }
  const INKS = { completed: "--bar-done", failed: "--bar-failed", in_flight: "--bar-live" };

  function draw(figure) {
    const box = figure.querySelector(".plot__box"), said = figure.querySelector("[data-value]");
    const url = figure.dataset.plot, isColumns = figure.dataset.kind === "requests";
    let plot = null, numbers = null, asked = 0;

    /** What is drawn: columns stand on each other, so the last layer is drawn first and reaches over all of them. */
    const heights = () => {
      const layers = numbers.layers.map((layer) => layer.values);
      if (!isColumns) return layers;
      return layers.map((_values, i) => numbers.at.map((_at, j) => layers.slice(0, i + 1).reduce((sum, layer) => (layer[j] === null ? null : sum + layer[j]), 0))).reverse();
    };
    /** With the end of the last step, which would have no width otherwise: a column ends there, a line goes on to it. */
    const end = () => numbers.at.at(-1) + numbers.step;
    const drawn = () => [[...numbers.at, end()], ...heights().map((values) => [...values, isColumns ? null : values.at(-1)])];
    const layersDrawn = () => (isColumns ? [...numbers.layers].reverse() : numbers.layers);

    function value(i) {
      if (i === null || i === undefined || !(i in numbers.at)) return "";
      const from = numbers.at[i];
      const span = numbers.step < 86400 ? `${write("full", from)}–${write("hour", from + numbers.step)}` : write("full", from);
      const known = numbers.layers[0].values[i] !== null;
      const parts = known ? numbers.layers.map((layer) => `${number.format(layer.values[i])} ${layer.name}`) : [words.gap];
      if (known && numbers.unseen[i]) parts.push(words.unseen.replace("{}", numbers.unseen[i]));
      return `${span}: ${parts.join(", ")}`;
    }
    const latest = () => numbers.layers[0].values.findLastIndex((one) => one !== null);
    // Where nothing is pointed at, the latest is said; and how to come back from a zoom.
    const say = (i) => { const text = value(i in numbers.at ? i : latest()) + (plot && zoomed() ? ` · ${words.reset}` : ""); if (said.textContent !== text) said.textContent = text; };

    function make() {
      const ink = resolved("var(--ink-3)"), line = resolved("var(--line)");
      const scale = plot && zoomed() ? { min: plot.scales.x.min, max: plot.scales.x.max } : null;
      plot?.destroy();
      const axis = { stroke: ink, font: "11px sans-serif", grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
      plot = new uPlot({
        width: box.clientWidth, height: HEIGHT, padding: [8, 20, 0, 0],
        legend: { show: false }, tzDate: inZone,
        cursor: { y: false, drag: { x: true, y: false, uni: 12 }, points: { show: !isColumns, size: 7 } },
        scales: { y: { range: (_plot, _low, high) => [0, Math.max(4, high * 1.05)] } },
        axes: [
          { ...axis, size: 30, space: 64, values: (_plot, ats) => ats.map((at, i) => (i && inZone(at).getHours() ? write("hour", at) : write("day", at))) },
          { ...axis, size: (_plot, values) => Math.max(46, 16 + 6.5 * Math.max(0, ...(values ?? []).map((one) => one.length))), values: (_plot, values) => values.map((one) => short.format(one)), incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 5e7, 1e8, 1e9] },
        ],
        series: [{}, ...layersDrawn().map((layer) => {
          const ink = `var(${INKS[layer.key]})`, stroke = resolved(ink);
          return isColumns
            ? { stroke, fill: stroke, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.8, 40], align: 1 }) }
            : { stroke, width: 1.75, spanGaps: false, fill: resolved(`color-mix(in srgb, ${ink} 12%, transparent)`), paths: uPlot.paths.stepped({ align: 1 }) };
        })],
        hooks: { setCursor: [(one) => say(one.cursor.idx)], setScale: [(one, key) => { if (plot && key === "x") say(one.cursor.idx); }] },
      }, drawn(), box);
      if (scale) plot.setScale("x", scale);
      say(plot.cursor.idx);
    }

    const zoomed = () => plot.scales.x.min > numbers.at[0] || plot.scales.x.max < end();

    async function ask() {
      if (Date.now() - asked < ASK_MS && numbers) return;
      asked = Date.now();
      let found;
      try {
        const answer = await fetch(url, { headers: { "HX-Request": "true", "X-Language": language }, signal: AbortSignal.timeout(10e3) });
        if (!answer.ok) return;
        found = await answer.json();
      } catch { return; } // the page itself says that the server is gone
      numbers = found;
      if (!plot) return make();
      const { min, max } = plot.scales.x, kept = zoomed();
      plot.setData(drawn(), !kept);
      if (kept) plot.setScale("x", { min, max });
      say(plot.cursor.idx);
    }

    function show(from, until) {
      const first = numbers.at[0], last = end(), room = Math.max(until - from, 4 * numbers.step);
      const begin = Math.max(first, Math.min(from, last - room));
      plot.setScale("x", { min: begin, max: Math.min(last, begin + room) });
    }

    function read(i) {
      plot.setCursor({ left: plot.valToPos(numbers.at[i], "x"), top: 10 });
      // The pointer sets it by itself; here it may be out of what is zoomed to.
      plot.cursor.idx = i;
      say(i);
      const live = document.getElementById("said");
      if (live) live.textContent = value(i);
    }

    box.addEventListener("keydown", (event) => {
      if (!plot || event.ctrlKey || event.metaKey || event.altKey) return;
      const last = numbers.at.length - 1, here = plot.cursor.idx ?? last + 1;
      const { min, max } = plot.scales.x, middle = numbers.at[Math.min(here, last)], half = (max - min) / 4;
      const keys = {
        ArrowLeft: () => read(Math.max(0, here - 1)),
        ArrowRight: () => read(Math.min(last, here + 1)),
        Home: () => read(0),
        End: () => read(last),
        "+": () => show(middle - half, middle + half),
        "=": () => show(middle - half, middle + half),
        "-": () => show(min - 2 * half, max + 2 * half),
        0: () => show(numbers.at[0], end()),
      };
      if (!Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    });

    figure.querySelector("[data-png]")?.addEventListener("click", () => {
      if (!plot) return;
      const picture = plot.ctx.canvas, ratio = devicePixelRatio || 1, head = 28 * ratio;
      const canvas = document.createElement("canvas");
      canvas.width = picture.width;
      canvas.height = picture.height + head;
      const paper = canvas.getContext("2d");
      paper.fillStyle = resolved("var(--surface)");
      paper.fillRect(0, 0, canvas.width, canvas.height);
      paper.fillStyle = resolved("var(--ink)");
      paper.font = `600 ${13 * ratio}px sans-serif`;
      const { min, max } = plot.scales.x; // of what is drawn, which may be zoomed to
      paper.fillText(`${figure.dataset.label} · ${write("full", min)} – ${write("full", max)}`, 8 * ratio, 19 * ratio);
      paper.drawImage(picture, 0, head);
      canvas.toBlob((blob) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = `${figure.dataset.kind}.png`;
        link.click();
        URL.revokeObjectURL(link.href);
      });
    });

    new ResizeObserver(() => { if (plot && box.clientWidth) plot.setSize({ width: box.clientWidth, height: HEIGHT }); }).observe(box);
    const restyle = () => { if (plot) make(); };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
    new MutationObserver(restyle).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    ask();
    return ask;
  }

  const asks = plots.map(draw);
  let stamp = document.getElementById("poll")?.dataset.stamp;
  document.addEventListener("htmx:after:swap", () => {
    const now = document.getElementById("poll")?.dataset.stamp;
    if (now === stamp) return;
    stamp = now;
    for (const ask of asks) ask();
  });
})();
