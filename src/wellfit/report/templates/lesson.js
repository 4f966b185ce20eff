/* What a lesson adds to the knob: buttons that turn it, and where there is one feature, the fits of many samples.
   It listens to the knob, which tells where it stands; nothing is fetched, nothing is trained. */
(() => {
  "use strict";
  const root = document.getElementById("knob");
  if (!root) return;
  const translate = (text) => window.wellfitWords.say(text);
  const SVG = "http://www.w3.org/2000/svg";

  document.querySelectorAll("[data-tab]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      const detail = { tab: Number(button.dataset.tab), place: Number(button.dataset.place) };
      root.dispatchEvent(new CustomEvent("wellfit:go", { detail }));
      root.closest("section").scrollIntoView({ block: "start" });
      root.querySelector("input[type=range]").focus({ preventScroll: true });
    });
  });

  function put(parent, tag, attributes, text) {
    const element = document.createElementNS(SVG, tag);
    for (const name in attributes) element.setAttribute(name, attributes[name]);
    if (text !== undefined) element.textContent = text;
    parent.appendChild(element);
    return element;
  }

  /* The legend has a line for each part of the loss. */
  function legend(also) {
    const list = root.querySelector(".legend");
    list.querySelectorAll("[data-also]").forEach((item) => item.remove());
    for (const { name, colour } of also) {
      const item = document.createElement("li");
      const key = document.createElement("span");
      item.dataset.also = "";
      key.className = "key line";
      key.style.setProperty("--c", `var(--${colour})`);
      key.setAttribute("aria-hidden", "true");
      item.append(key, translate(name));
      list.append(item);
    }
  }

  function draw(fits, place) {
    const holder = root.querySelector('[data-part="map"]');
    const figure = holder.parentElement;
    figure.hidden = false;
    root.querySelector('[data-part="map-caption"]').textContent = translate(fits.caption);
    holder.style.width = holder.style.height = "";
    const width = Math.max(220, Math.min(figure.clientWidth, 460));
    const height = Math.round(width * 0.78);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("class", "fits");
    svg.setAttribute("aria-hidden", "true");
    holder.replaceChildren(svg);
    const values = fits.truth.concat(fits.points[1]);
    const [low, high] = [Math.min(...values) - 0.35, Math.max(...values) + 0.35];
    const [left, right, top, bottom] = [26, width - 4, 26, height - 20];
    const inside = (v) => Math.min(Math.max(v, low), high);
    const x = (v) => left + ((v - fits.x[0]) / (fits.x[fits.x.length - 1] - fits.x[0])) * (right - left);
    const y = (v) => bottom - ((inside(v) - low) / (high - low)) * (bottom - top);
    const line = (ys) => "M" + ys.map((v, i) => `${x(fits.x[i]).toFixed(1)} ${y(v).toFixed(1)}`).join("L");
    for (let v = Math.ceil(low); v <= high; v++) {
      put(svg, "line", { x1: left, x2: right, y1: y(v), y2: y(v), class: "grid" });
      put(svg, "text", { x: left - 6, y: y(v) + 4, class: "tick end" }, String(v).replace("-", "\u2212"));
    }
    for (const v of [0, 0.5, 1]) put(svg, "text", { x: x(v), y: height - 4, class: `tick ${v ? "end" : ""}` }, String(v));
    fits.lines[place].forEach((ys) => put(svg, "path", { d: line(ys), class: "one" }));
    put(svg, "path", { d: line(fits.mean[place]), class: "mean" });
    put(svg, "path", { d: line(fits.truth), class: "truth" });
    fits.points[0].forEach((v, i) => put(svg, "circle", { cx: x(v), cy: y(fits.points[1][i]), r: 3.2 }));
    ["truth", "mean"].forEach((name, i) => {
      const from = left + i * 0.34 * width;
      put(svg, "path", { d: `M${from} 9h22`, class: name });
      put(svg, "text", { x: from + 28, y: 13, class: "tick" }, translate(fits.names[i]));
    });
  }

  root.addEventListener("wellfit:place", ({ detail: { knob, place } }) => {
    legend(knob.also || []);
    if (knob.fits) draw(knob.fits, place);
  });
})();
