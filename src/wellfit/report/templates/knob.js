/* The knob: draws what the page holds in #knob-data at the slider's place. Nothing is fetched, nothing is trained.
   Every text is set as text, so names cannot become markup. */
(() => {
  "use strict";
  const root = document.getElementById("knob");
  const source = document.getElementById("knob-data");
  if (!root || !source) return;
  const data = JSON.parse(source.textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const translate = (text) => (window.wellfitWords ? window.wellfitWords.say(text) : text);
  const texts = new Proxy(data.texts, { get: (all, name) => translate(all[name]) });

  // Small helpers ------------------------------------------------------------------------------------------------

  const at = (name) => root.querySelector(`[data-part="${name}"]`);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const known = (value) => value !== null && value !== undefined;

  function put(parent, tag, attributes, text) {
    const element = document.createElementNS(SVG, tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    if (text !== undefined) element.textContent = text;
    parent.appendChild(element);
    return element;
  }

  function number(value) {
    const size = Math.abs(value);
    if (size && (size < 1e-3 || size >= 1e5)) return value.toExponential(0).replace("e+", "e").replace("-", "\u2212");
    return String(+value.toPrecision(3)).replace("-", "\u2212");
  }

  function ticks(low, high, most) {
    const rough = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough) || 10 * power;
    const found = [];
    for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step) found.push(+v.toPrecision(12));
    return found;
  }

  /* A vertical scale for all these lines: logarithmic where they span far, from 0 where that costs little. */
  function scaleOf(lines, even = false) {
    const values = lines.flat().filter(known).sort((a, b) => a - b);
    if (!values.length) return { low: 0, high: 1, log: false };
    const low = values[0];
    let high = values[values.length - 1];
    if (low >= 0) high = Math.min(high, 10 * values[Math.floor(0.95 * (values.length - 1))]) || 1;
    if (!even && low > 0 && high / low > 30) return { low: low / 1.3, high: high * 1.3, log: true };
    const pad = 0.07 * (high - low) || 0.05 * Math.abs(high) || 1;
    return { low: low >= 0 && low < 0.4 * high ? 0 : low - pad, high: high + pad, log: false };
  }

  function tickValues(scale) {
    if (!scale.log) return ticks(scale.low, scale.high, 4);
    const found = [];
    const factors = scale.high / scale.low < 500 ? [1, 3] : [1];
    for (let p = Math.floor(Math.log10(scale.low)); 10 ** p <= scale.high; p++)
      for (const f of factors) if (f * 10 ** p >= scale.low && f * 10 ** p <= scale.high) found.push(f * 10 ** p);
    return found;
  }

  /* A panel of the size its element has on the screen: an <svg> with axes, and places turned into pixels. */
  function panel(element, height, box, across, scale, crossTicks, names) {
    const width = Math.max(220, element.clientWidth);
    element.replaceChildren();
    const svg = put(element, "svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
    const right = width - box.right;
    const bottom = height - box.bottom;
    const x = (v) => box.left + ((v - across[0]) / (across[1] - across[0] || 1)) * (right - box.left);
    const share = scale.log
      ? (v) => Math.log(Math.max(v, 1e-300) / scale.low) / Math.log(scale.high / scale.low)
      : (v) => (v - scale.low) / (scale.high - scale.low);
    const y = (v) => bottom - Math.min(Math.max(share(v), -0.02), 1.06) * (bottom - box.top);
    for (const v of tickValues(scale)) {
      put(svg, "line", { x1: box.left, x2: right, y1: y(v), y2: y(v), class: "grid" });
      put(svg, "text", { x: box.left - 6, y: y(v) + 4, class: "tick end" }, number(v));
    }
    put(svg, "line", { x1: box.left, x2: right, y1: bottom, y2: bottom, class: "base" });
    for (const v of crossTicks) put(svg, "text", { x: x(v), y: bottom + 16, class: "tick middle" }, number(v));
    if (names[0]) put(svg, "text", { x: right, y: bottom + 31, class: "tick end" }, names[0]);
    if (names[1]) put(svg, "text", { x: 2, y: 11, class: "tick" }, names[1]);
    return { svg, x, y, left: box.left, right, top: box.top, bottom, width };
  }

  function line(values, x, y) {
    let path = "";
    let pen = "M";
    values.forEach((v, i) => {
      if (!known(v)) pen = "M";
      else {
        path += `${pen}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
        pen = "L";
      }
    });
    return path;
  }

  // What is shown -------------------------------------------------------------------------------------------------

  let knob = data.knobs[data.start];
  let place = knob.best;
  let parts = {};
  const slider = at("slider");
  const THUMB = 22; // the thumb's width, as in the style sheet: the picture above ends where its centre can go

  function drawErrors() {
    const count = knob.labels.length;
    const also = knob.also || []; // further lines: what the loss is made of
    const scale = scaleOf([knob.train, knob.loss, ...also.map((e) => e.values), [knob.chance], knob.low.map((v) => (known(v) ? Math.max(v, 0) : v))], also.length > 0);
    const box = { left: 46, right: THUMB / 2 + 2, top: 24, bottom: 8 };
    const p = panel(at("errors"), 216, box, [0, count - 1], scale, [], ["", texts.loss]);
    const middle = (i) => Math.min(Math.max(p.x(i), p.left), p.right);
    knob.word.forEach((word, i) => {
      if (word !== "right") return;
      const from = i ? middle(i - 0.5) : p.left;
      put(p.svg, "rect", { x: from, y: p.top, width: middle(i + 0.5) - from, height: p.bottom - p.top, class: "zone" });
    });
    let band = "";
    const both = knob.low.map((v, i) => known(v) && known(knob.high[i]));
    const inside = both.map((good, i) => (good ? i : -1)).filter((i) => i >= 0);
    if (inside.length > 1) {
      band = "M" + inside.map((i) => `${p.x(i)} ${p.y(knob.high[i])}`).join("L");
      band += "L" + inside.reverse().map((i) => `${p.x(i)} ${p.y(knob.low[i])}`).join("L") + "z";
      put(p.svg, "path", { d: band, class: "band" });
    }
    if (known(knob.chance)) {
      put(p.svg, "line", { x1: p.left, x2: p.right, y1: p.y(knob.chance), y2: p.y(knob.chance), class: "chance" });
      put(p.svg, "text", { x: p.left + 4, y: p.y(knob.chance) - 5, class: "tick" }, texts.chance);
    }
    for (const { values, colour: tint } of also)
      put(p.svg, "path", { d: line(values, p.x, p.y), class: "line also", style: `stroke:var(--${tint})` });
    put(p.svg, "path", { d: line(knob.train, p.x, p.y), class: "line train" });
    put(p.svg, "path", { d: line(knob.loss, p.x, p.y), class: "line validation" });
    const same = knob.best === knob.rule;
    const marks = [[knob.best, same ? `${texts.best}, ${texts.rule}` : texts.best]];
    if (!same && known(knob.rule)) marks.push([knob.rule, texts.rule]);
    for (const [i, name] of marks) {
      const side = p.x(i) > p.right - 60 ? "end" : p.x(i) < p.left + 60 ? "" : "middle";
      put(p.svg, "text", { x: p.x(i), y: p.top - 8, class: `tick mark ${side}` }, name);
      put(p.svg, "line", { x1: p.x(i), x2: p.x(i), y1: p.top - 4, y2: p.bottom, class: "mark" });
    }
    parts.cursor = put(p.svg, "line", { y1: p.top, y2: p.bottom, class: "cursor" });
    parts.dots = ["train", "validation"].map((name) => put(p.svg, "circle", { r: 5.5, class: `dot ${name}` }));
    parts.errors = p;
    const choose = (event) => {
      const x = event.clientX - p.svg.getBoundingClientRect().left;
      go(Math.round(((x - p.left) / (p.right - p.left)) * (count - 1)));
    };
    p.svg.onpointerdown = (event) => {
      p.svg.setPointerCapture(event.pointerId);
      choose(event);
    };
    p.svg.onpointermove = (event) => event.buttons && choose(event);
  }

  function drawCurves() {
    const last = knob.checkpoints[knob.checkpoints.length - 1];
    const scale = scaleOf([...knob.train_curves, ...knob.loss_curves]);
    const box = { left: 46, right: 10, top: 24, bottom: 36 };
    const p = panel(at("curves"), 214, box, [0, last], scale, ticks(0, last, 4), [texts.epoch, texts.loss]);
    if (knob.epochs) {
      const x = (i) => p.x(knob.checkpoints[i]);
      put(p.svg, "path", { d: line(knob.train_curves[0], x, p.y), class: "line train ghost" });
      put(p.svg, "path", { d: line(knob.loss_curves[0], x, p.y), class: "line validation ghost" });
    }
    parts.curves = p;
    parts.curveLines = ["train", "validation"].map((name) => put(p.svg, "path", { class: `line ${name}` }));
  }

  function drawWeights() {
    const bins = knob.counts[0].length;
    const edge = knob.edges[bins];
    const box = { left: 10, right: 10, top: 24, bottom: 36 };
    const p = panel(at("weights"), 214, box, [-edge, edge], { low: 0, high: 1 }, ticks(-edge, edge, 4), [texts.weight_axis, texts.weights]);
    p.svg.querySelectorAll(".grid, .tick.end").forEach((e) => e.textContent === texts.weight_axis || e.remove());
    const wide = (p.right - p.left) / bins;
    parts.weights = p;
    parts.zeros = put(p.svg, "text", { x: p.right, y: 11, class: "tick end" });
    parts.bars = knob.counts[0].map((_, b) =>
      put(p.svg, "rect", { x: p.left + b * wide + 0.5, width: Math.max(wide - 1, 1), class: "bar" }));
  }

  // The map -------------------------------------------------------------------------------------------------------

  function drawMap() {
    const holder = at("map");
    holder.parentElement.hidden = !(knob.map || knob.fits);
    if (!knob.map) return;
    at("map-caption").textContent = translate(knob.map.caption);
    holder.style.width = ""; // as wide as there is room for now
    const width = Math.max(220, Math.min(holder.clientWidth, 460));
    const height = Math.round(width * 0.86);
    const canvas = document.createElement("canvas");
    const dense = window.devicePixelRatio || 1;
    canvas.width = width * dense;
    canvas.height = height * dense;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    holder.replaceChildren(canvas, svg);
    holder.style.width = `${width}px`;
    holder.style.height = `${height}px`;
    parts.map = { canvas, width, height, line: put(svg, "path", { class: "border" }) };
    const { x, y } = knob.map;
    const paper = colour("paper");
    for (const [px, py, label, held] of knob.map.points) {
      if (!known(px) || !known(py)) continue;
      const cx = ((px - x[0]) / (x[1] - x[0])) * width;
      const cy = height - ((py - y[0]) / (y[1] - y[0])) * height;
      const ink = data.task === "regression" ? colour("class3") : colour(`class${label % 8}`);
      const look = held
        ? { d: `M${cx - 4} ${cy}L${cx} ${cy - 4}L${cx + 4} ${cy}L${cx} ${cy + 4}z`, fill: "none", stroke: ink, "stroke-width": 1.3 }
        : { cx, cy, r: 3, fill: ink, stroke: paper, "stroke-width": 0.7 };
      if (data.task === "regression") look["fill-opacity"] = held ? 0 : 0.25 + 0.75 * label;
      put(svg, held ? "path" : "circle", look);
    }
    put(svg, "text", { x: width - 4, y: height - 6, class: "tick end" }, knob.map.names[0]);
    put(svg, "text", { x: 4, y: 13, class: "tick" }, knob.map.names[1]);
  }

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  function paintMap() {
    const { canvas } = parts.map;
    const side = knob.map.side;
    const cells = bytes(knob.map.frames[place]);
    const small = document.createElement("canvas");
    small.width = small.height = side;
    const pen = small.getContext("2d");
    const image = pen.createImageData(side, side);
    const tints = data.task === "regression" ? [channels(colour("class3"))]
      : Array.from({ length: 8 }, (_, k) => channels(colour(`class${k}`)));
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++) {
        const cell = cells[row * side + column];
        let tint = 0;
        let depth = cell / 255;
        if (data.task === "binary") [tint, depth] = [+(cell > 127), 0.5 * (cell / 127.5 - 1) ** 2];
        else if (data.task === "multiclass") [tint, depth] = [(cell >> 4) % 8, 0.08 + 0.4 * ((cell & 15) / 15)];
        else depth = 0.04 + 0.6 * depth;
        const to = 4 * ((side - 1 - row) * side + column);
        image.data.set([...tints[tint], Math.round(255 * depth)], to);
      }
    }
    pen.putImageData(image, 0, 0);
    const brush = canvas.getContext("2d");
    brush.clearRect(0, 0, canvas.width, canvas.height);
    brush.imageSmoothingQuality = "high";
    // Cells are points of a grid that reaches from edge to edge: half a cell lies outside on each side.
    const step = [canvas.width / (side - 1), canvas.height / (side - 1)];
    brush.drawImage(small, -step[0] / 2, -step[1] / 2, canvas.width + step[0], canvas.height + step[1]);
    parts.map.line.setAttribute("d", data.task === "binary" ? border(cells, side, parts.map) : "");
  }

  /* Where two classes are equally likely: marching squares, the crossings found by straight lines between points. */
  function border(cells, side, size) {
    const px = (c) => ((c / (side - 1)) * size.width).toFixed(1);
    // Back from roots, as the page holds them, to differences of chances: these are nearly straight between points.
    const lean = (cell) => Math.sign(cell - 127.5) * (cell / 127.5 - 1) ** 2;
    const py = (r) => (size.height - (r / (side - 1)) * size.height).toFixed(1);
    let path = "";
    for (let r = 0; r < side - 1; r++) {
      for (let c = 0; c < side - 1; c++) {
        const corners = [[r, c], [r, c + 1], [r + 1, c + 1], [r + 1, c]];
        const values = corners.map(([i, j]) => lean(cells[i * side + j]));
        const found = [];
        for (let k = 0; k < 4; k++) {
          const [a, b] = [values[k], values[(k + 1) % 4]];
          if (a > 0 === b > 0) continue;
          const t = a / (a - b);
          const [i, j] = corners[k];
          const [m, n] = corners[(k + 1) % 4];
          found.push(`${px(j + t * (n - j))} ${py(i + t * (m - i))}`);
        }
        for (let k = 0; k + 1 < found.length; k += 2) path += `M${found[k]}L${found[k + 1]}`;
      }
    }
    return path;
  }

  // Moving --------------------------------------------------------------------------------------------------------

  function show() {
    const word = knob.word[place];
    const told = translate(knob.told[place]);
    slider.value = place;
    slider.setAttribute("aria-valuetext", told);
    at("told").textContent = told;
    at("word").textContent = translate((knob.words || data.words)[word]);
    at("word").className = `word ${{ right: "better", weak: "worse", strong: "undecided", diverged: "diverged" }[word]}`;
    const { errors, curves, weights } = parts;
    [[knob.train, 0], [knob.loss, 1]].forEach(([values, i]) => {
      parts.dots[i].setAttribute("visibility", known(values[place]) ? "visible" : "hidden");
      if (!known(values[place])) return;
      parts.dots[i].setAttribute("cx", errors.x(place));
      parts.dots[i].setAttribute("cy", errors.y(values[place]));
    });
    parts.cursor.setAttribute("x1", errors.x(place));
    parts.cursor.setAttribute("x2", errors.x(place));
    const x = (i) => curves.x(knob.checkpoints[i]);
    const until = knob.epochs ? Number(knob.labels[place]) : Infinity;
    [knob.train_curves, knob.loss_curves].forEach((lines, i) => {
      const values = lines[place].map((v, c) => (knob.checkpoints[c] <= until ? v : null));
      parts.curveLines[i].setAttribute("d", line(values, x, curves.y));
    });
    const counts = knob.counts[place];
    const most = Math.sqrt(Math.max(...counts, 1));
    counts.forEach((count, b) => {
      // Square roots: a tall middle must not hide the tails.
      const height = (Math.sqrt(count) / most) * (weights.bottom - weights.top - 4);
      parts.bars[b].setAttribute("y", weights.bottom - height);
      parts.bars[b].setAttribute("height", height);
    });
    parts.zeros.textContent = knob.zeros_told ? translate(knob.zeros_told[place]) : "";
    if (knob.map) paintMap();
    root.dispatchEvent(new CustomEvent("wellfit:place", { detail: { knob, place } }));
  }

  function go(to) {
    const next = Math.min(Math.max(to, 0), knob.labels.length - 1);
    if (next === place) return;
    place = next;
    show();
  }

  function draw() {
    parts = {};
    slider.max = knob.labels.length - 1;
    slider.setAttribute("aria-label", translate(knob.axis));
    at("axis").textContent = translate(knob.axis);
    at("first").textContent = translate(knob.labels[0]);
    at("last").textContent = translate(knob.labels[knob.labels.length - 1]);
    at("errors").setAttribute("aria-label", texts.errors_label);
    at("play").textContent = sweep ? texts.pause : texts.play;
    drawMap();
    drawErrors();
    drawCurves();
    drawWeights();
    show();
  }

  let sweep = 0;
  function stop() {
    clearInterval(sweep);
    sweep = 0;
    at("play").textContent = texts.play;
  }
  at("play").addEventListener("click", () => {
    if (sweep) return stop();
    if (place === knob.labels.length - 1) go(0);
    at("play").textContent = texts.pause;
    sweep = setInterval(() => (place < knob.labels.length - 1 ? go(place + 1) : stop()), 650);
  });
  slider.addEventListener("input", () => {
    if (sweep) stop();
    go(Number(slider.value));
  });

  function turnTo(tab, to = data.knobs[tab].best) {
    if (sweep) stop();
    knob = data.knobs[tab];
    place = to;
    at("tabs").querySelectorAll("input").forEach((button, i) => (button.checked = i === tab));
    draw();
  }
  root.addEventListener("wellfit:go", (event) => turnTo(event.detail.tab, event.detail.place));
  at("tabs").parentElement.hidden = data.knobs.length < 2;
  data.knobs.forEach((each, i) => {
    const label = document.createElement("label");
    const button = document.createElement("input");
    button.type = "radio";
    button.name = "knob";
    button.checked = i === data.start;
    button.addEventListener("change", () => turnTo(i));
    const name = document.createElement("span");
    name.textContent = translate(each.name);
    name.dataset.name = i;
    label.append(button, name);
    at("tabs").append(label);
  });

  root.hidden = false;
  draw();
  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth !== width) {
      width = root.clientWidth;
      draw();
    }
  }).observe(root);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.addEventListener("wellfit:language", () => {
    root.querySelectorAll("[data-name]").forEach((e) => (e.textContent = translate(data.knobs[e.dataset.name].name)));
    draw();
  });
})();
