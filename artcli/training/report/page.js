"use strict";
// The page is complete without this script; it adds the slider and the numbers under the pointer.

function element(parent, name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1000 && size < 1e7) return Math.round(value).toLocaleString("en-US");
  if (size && (size < 1e-3 || size >= 1e7)) return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

// The index of the point whose step is the closest; points ascend.
function nearest(points, step) {
  let low = 0, high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < step) low = middle + 1; else high = middle;
  }
  return low > 0 && step - points[low - 1][0] <= points[low][0] - step ? low - 1 : low;
}

// Where a value is on a scale, from 0 at the low end to 1.
function place(value, [low, high], log) {
  if (!log) return (value - low) / (high - low);
  return value > 0 ? Math.log(value / low) / Math.log(high / low) : NaN;
}

function readOut(plot, data) {
  const frame = plot.querySelector(".frame"), scale = plot.dataset.scale;
  const main = data.series.reduce((a, b) => (b.points.length > a.points.length ? b : a));
  let at = main.points.length - 1, shown = [];

  // It is moved with the arrow keys, and a screen reader says what is there.
  const slider = {
    role: "slider", tabindex: 0, "aria-label": plot.querySelector("svg").getAttribute("aria-label"),
    "aria-valuemin": main.points[0][0], "aria-valuemax": main.points[at][0],
  };
  for (const [name, value] of Object.entries(slider)) frame.setAttribute(name, value);

  function hide() {
    shown.forEach((part) => part.remove());
    shown = [];
  }

  // The values at a point of the longest curve; of the others only where they have one close by.
  function values(step) {
    return data.series.flatMap((series) => {
      const point = series.points[nearest(series.points, step)];
      return Math.abs(point[0] - step) <= data.last / 50 ? [{ series, point }] : [];
    });
  }

  function show(index) {
    hide();
    at = Math.max(0, Math.min(main.points.length - 1, index));
    const step = main.points[at][0], across = step / data.last, found = values(step);
    const cursor = element(frame, "div", "cursor"), tip = element(frame, "div", "tip");
    cursor.style.left = `${100 * across}%`;
    tip.style[across < 0.5 ? "left" : "right"] = `calc(${100 * (across < 0.5 ? across : 1 - across)}% + 10px)`;
    shown = [cursor, tip];
    element(tip, "b", "", `Step ${step.toLocaleString("en-US")}`);
    for (const { series, point } of found) {
      const line = element(tip, "div", "");
      if (series.name) element(line, "span", "", series.name);
      element(line, "span", "", short(point[1]) + (point[0] === step ? "" : ` (step ${point[0].toLocaleString("en-US")})`));
      const up = place(point[1], data.scales[scale], scale === "log");
      if (Number.isNaN(up)) continue;
      const dot = element(frame, "div", `dot ${series.style}`);
      dot.style.left = `${100 * point[0] / data.last}%`;
      dot.style.top = `${100 * (1 - up)}%`;
      shown.push(dot);
    }
    const words = found.map(({ series, point }) => `${series.name} ${short(point[1])}`.trim());
    frame.setAttribute("aria-valuenow", step);
    frame.setAttribute("aria-valuetext", `step ${step}: ${words.join(", ")}`);
  }

  function follow(event) {
    const box = frame.getBoundingClientRect();
    show(nearest(main.points, data.last * (event.clientX - box.left) / box.width));
  }

  frame.addEventListener("pointermove", follow);
  frame.addEventListener("pointerdown", follow);
  frame.addEventListener("pointerleave", hide);
  frame.addEventListener("blur", hide);
  frame.addEventListener("focus", () => { if (frame.matches(":focus-visible")) show(at); });
  frame.addEventListener("keydown", (event) => {
    const jump = Math.max(1, Math.round(main.points.length / 100));
    const target = { ArrowLeft: at - jump, ArrowRight: at + jump, Home: 0, End: main.points.length - 1 }[event.key];
    if (event.key === "Escape") hide();
    if (target === undefined) return;
    event.preventDefault();
    show(target);
  });
}

function slideShow(viewer) {
  const grids = [...viewer.parentElement.querySelectorAll("figure[data-index]")];
  grids.sort((a, b) => a.dataset.index - b.dataset.index);
  const image = viewer.querySelector("img"), slider = viewer.querySelector("input"), output = viewer.querySelector("output");
  function show() {
    const grid = grids[slider.value], source = grid.querySelector("img");
    image.src = source.src;
    image.alt = source.alt;
    image.className = source.className;
    output.textContent = grid.dataset.step;
    slider.setAttribute("aria-valuetext", `step ${grid.dataset.step}`);
  }
  slider.addEventListener("input", show);
  viewer.hidden = false;
  show();
}

for (const chart of document.querySelectorAll(".chart")) {
  const numbers = chart.querySelector("script");
  if (!numbers) continue;
  const data = JSON.parse(numbers.textContent);
  chart.querySelectorAll(".plot").forEach((plot) => readOut(plot, data));
}
document.querySelectorAll(".viewer").forEach(slideShow);
