"use strict";
// The cards are made as the reader comes near them, and so are the small pictures read.

const at = (id) => document.getElementById(id);
const { items, broken, block } = JSON.parse(at("data").textContent);
const CHUNK = 60; // cards that are made at once
const NONE = "no record";
const grid = at("grid"), one = at("one"), two = at("two"), words = at("words"), order = at("order");

items.forEach((item, index) => {
  item.index = index;
  item.group = item.recorded ? item.verb || "artgen" : NONE;
  item.text = `${item.title} ${item.name}`.toLowerCase();
});

let shown = items; // what the filters leave, in order
let group = null; // the verb that is chosen
let current = 0; // the place in `shown` that the arrow keys move
let chosen = []; // for comparison, two at most
let opened = null; // the place in `shown` of the open one

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const counted = (number, what) => `${number.toLocaleString("en-US")} ${what}${number === 1 ? "" : "s"}`;

// --- small pictures ---------------------------------------------------------------------------------------------------

const blocks = new Map();

// The address of an item's small picture; undefined while the page is still being read.
function thumb(item) {
  const number = Math.floor(item.index / block);
  if (!blocks.has(number)) {
    const source = at(`thumbs-${number}`);
    // An element is there before all of its text is; one behind it, or the end of the page, says that it is whole.
    if (!source || (document.readyState === "loading" && !source.nextElementSibling)) return undefined;
    blocks.set(number, JSON.parse(source.textContent));
  }
  return blocks.get(number)[item.index % block];
}

const waiting = new Map(); // pictures whose address is still to come

function fill(image, item) {
  const address = thumb(item);
  if (address === undefined) waiting.set(image, item);
  else image.src = address;
}

addEventListener("DOMContentLoaded", () => {
  waiting.forEach((item, image) => { image.src = thumb(item); });
  waiting.clear();
});

function picture(item, attributes = {}) {
  const tiny = item.size && Math.max(...item.size) <= 128;
  const image = make("img", { alt: item.alt, width: item.shape[0], height: item.shape[1], decoding: "async", class: tiny ? "tiny" : null, ...attributes });
  fill(image, item);
  return image;
}

// Behind the small picture comes the file itself, where the browser can show it.
function sharpen(image, item) {
  const full = new Image();
  full.addEventListener("load", () => { if (image.dataset.index === String(item.index)) image.src = full.src; });
  image.dataset.index = item.index;
  full.src = item.href;
}

// --- parts of a card and of an open picture ---------------------------------------------------------------------------

const heading = (item) => item.title || item.name.split("/").pop();

function meta(item, whole = true) {
  const size = whole && item.size ? `${item.size[0]} × ${item.size[1]}` : "";
  return [item.group, item.seed && `seed ${item.seed}`, size].filter(Boolean).join(" · ");
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { readonly: true });
    area.value = text;
    (button.closest("dialog") || document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function command(item, tabindex = null) {
  if (!item.command) return null;
  const button = make("button", { type: "button", class: "copy", tabindex, "aria-label": `Copy the command of ${heading(item)}` }, "Copy");
  button.addEventListener("click", () => copy(button, item.command));
  return make("div", { class: "command" }, make("code", { title: item.command }, item.command), button);
}

const PLAYS = { film: "▶ film", animation: "▶ animation" };
const cards = new Map(); // made once for each item

function card(item) {
  const open = make("button", { type: "button", class: "open", tabindex: -1, "aria-label": `Open: ${item.alt}` }, picture(item));
  if (PLAYS[item.kind]) open.append(make("span", { class: "badge", "aria-hidden": "true" }, PLAYS[item.kind]));
  const pick = make("button", { type: "button", class: "pick", tabindex: -1, "aria-pressed": String(chosen.includes(item)), "aria-label": `Choose for comparison: ${heading(item)}`, title: "Choose for comparison" });
  return make(
    "li", { class: "card", "data-index": item.index }, open, pick,
    make("div", { class: "about" }, make("p", { class: "title" }, heading(item)), make("p", { class: "meta" }, meta(item, false)), command(item, -1)),
  );
}

function cardOf(item) {
  if (!cards.has(item.index)) cards.set(item.index, card(item));
  return cards.get(item.index);
}

// --- the grid ---------------------------------------------------------------------------------------------------------

function more(until = grid.children.length + CHUNK) {
  const part = document.createDocumentFragment();
  for (let place = grid.children.length; place < Math.min(until, shown.length); place++) part.append(cardOf(shown[place]));
  grid.append(part);
}

function setCurrent(place, focus = true) {
  const before = cards.get(shown[current]?.index);
  before?.querySelectorAll("button").forEach((button) => { button.tabIndex = -1; });
  current = Math.max(0, Math.min(shown.length - 1, place));
  if (!shown.length) return;
  if (current >= grid.children.length) more(current + CHUNK);
  const element = cardOf(shown[current]);
  element.querySelectorAll("button").forEach((button) => { button.tabIndex = 0; });
  if (focus) element.querySelector(".open").focus();
}

function columns() {
  return getComputedStyle(grid).gridTemplateColumns.split(" ").length;
}

function filter() {
  const parts = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = items.filter((item) => (group === null || item.group === group) && parts.every((part) => item.text.includes(part)));
  if (order.value === "name") shown.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  cards.forEach((element) => element.querySelectorAll("button").forEach((button) => { button.tabIndex = -1; }));
  grid.replaceChildren();
  more();
  setCurrent(0, false);
  const all = shown.length === items.length;
  at("count").textContent = all ? counted(items.length, "result") : `${shown.length.toLocaleString("en-US")} of ${counted(items.length, "result")}`;
  at("none").hidden = shown.length > 0 || items.length === 0;
}

function showVerbs() {
  const counts = new Map();
  for (const item of items) counts.set(item.group, (counts.get(item.group) || 0) + 1);
  if (counts.size < 2) return;
  const names = [...counts.keys()].sort((a, b) => (a === NONE) - (b === NONE) || counts.get(b) - counts.get(a));
  for (const name of [null, ...names]) {
    const count = name === null ? items.length : counts.get(name);
    const button = make("button", { type: "button", "aria-pressed": String(name === group) }, name ?? "all", make("span", {}, count.toLocaleString("en-US")));
    button.addEventListener("click", () => {
      group = name;
      for (const each of at("verbs").children) each.setAttribute("aria-pressed", String(each === button));
      filter();
      scrollTo(0, 0);
    });
    at("verbs").append(button);
  }
}

function showBroken() {
  if (!broken.length) return;
  at("broken").hidden = false;
  at("broken").querySelector("h2").textContent = `${counted(broken.length, "file")} cannot be read`;
  at("broken").querySelector("ul").append(...broken.map((file) => make("li", {}, make("a", { href: file.href }, file.name), make("span", {}, file.why))));
}

grid.addEventListener("click", (event) => {
  const element = event.target.closest(".card");
  if (!element) return;
  const place = shown.findIndex((item) => item.index === Number(element.dataset.index));
  setCurrent(place, false);
  if (event.target.closest(".open")) open(place);
  else if (event.target.closest(".pick")) choose(shown[place]);
});

grid.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !event.target.matches(".open")) return;
  const wide = columns();
  const place = {
    ArrowLeft: current - 1, ArrowRight: current + 1, ArrowUp: current - wide < 0 ? current : current - wide,
    ArrowDown: current + wide, Home: 0, End: shown.length - 1,
  }[event.key];
  if (place === undefined) return;
  event.preventDefault();
  setCurrent(place);
});

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || one.open || two.open) return;
  const typing = event.target.matches("input, select");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    words.focus();
    words.select();
  } else if (event.key.toLowerCase() === "c" && !typing && shown.length && grid.contains(document.activeElement)) {
    choose(shown[current]);
  } else if (event.key === "Escape") {
    if (typing && words.value) { words.value = ""; filter(); }
    else if (chosen.length) { chosen = []; showChosen(); }
  } else if (["ArrowDown", "Enter"].includes(event.key) && event.target === words) {
    event.preventDefault();
    setCurrent(0);
  } else if (event.key.startsWith("Arrow") && event.target === document.body && shown.length) {
    event.preventDefault();
    setCurrent(current);
  }
});

words.addEventListener("input", filter);
order.addEventListener("change", filter);
at("all").addEventListener("click", () => {
  words.value = "";
  group = null;
  [...at("verbs").children].forEach((button, place) => button.setAttribute("aria-pressed", String(place === 0)));
  filter();
  setCurrent(0);
});

// --- one picture ------------------------------------------------------------------------------------------------------

function stage(item) {
  if (item.kind === "film") {
    const bad = make("p", { hidden: true }, "This browser cannot show the file here; open it with the link beside it.");
    const film = make("video", { controls: true, loop: true, playsinline: true, poster: thumb(item) ?? null, "aria-label": item.alt });
    film.addEventListener("error", () => { bad.hidden = false; });
    film.src = item.href;
    film.play().catch(() => {}); // where it may not start by itself there are the controls
    return [film, bad];
  }
  const image = picture(item);
  sharpen(image, item);
  return [image];
}

function table(rows) {
  return make("table", {}, make("tbody", {}, ...rows.map((cells) => make("tr", {}, make("th", { scope: "row" }, cells[0]), ...cells.slice(1).map((cell) => make("td", {}, cell))))));
}

function bytes(count) {
  return count < 1e6 ? `${Math.ceil(count / 1e3)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

function facts(item) {
  const pick = make("button", { type: "button", "aria-pressed": String(chosen.includes(item)) }, "Compare");
  pick.addEventListener("click", () => {
    choose(item);
    pick.setAttribute("aria-pressed", String(chosen.includes(item)));
    if (chosen.length === 2) { one.close(); compare(); }
  });
  const parts = [
    make("h2", { id: "one-title" }, heading(item)),
    make("p", { class: "meta" }, meta(item)),
    command(item),
    make("p", { class: "links" }, make("a", { href: item.href, target: "_blank", rel: "noopener" }, item.name), make("span", { class: "soft" }, bytes(item.bytes)), pick),
  ];
  if (!item.recorded) parts.push(make("p", { class: "meta" }, "The file carries no record: it was made by another program, or with --no-metadata."));
  if (item.recorded && !item.command) parts.push(make("p", { class: "meta" }, "No command of this artgen makes it again."));
  if (item.settings.length) parts.push(make("h3", {}, "Settings"), table(item.settings));
  const made = [...item.weights, ...(item.version ? [["artgen", item.version]] : [])];
  if (made.length) parts.push(make("h3", {}, "Weights and version"), table(made));
  return parts.filter((part) => part !== null);
}

function show(place) {
  if (place < 0 || place >= shown.length) return;
  opened = place;
  setCurrent(place, false);
  const item = shown[place];
  one.querySelector(".stage").replaceChildren(...stage(item));
  one.querySelector(".facts").replaceChildren(...facts(item));
  one.querySelector(".facts").scrollTop = 0;
  one.querySelector(".place").textContent = `${(place + 1).toLocaleString("en-US")} of ${shown.length.toLocaleString("en-US")}`;
  one.querySelector("[data-step='-1']").disabled = place === 0;
  one.querySelector("[data-step='1']").disabled = place === shown.length - 1;
}

function open(place) {
  show(place);
  one.showModal();
  one.querySelector(".facts").focus();
}

one.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("video")) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  show(opened + step);
});
one.querySelectorAll("[data-step]").forEach((button) => button.addEventListener("click", () => show(opened + Number(button.dataset.step))));
one.addEventListener("close", () => {
  one.querySelector(".stage").replaceChildren(); // a film stops
  setCurrent(opened);
});

// --- two pictures -----------------------------------------------------------------------------------------------------

function choose(item) {
  chosen = chosen.includes(item) ? chosen.filter((each) => each !== item) : [...chosen, item].slice(-2);
  showChosen();
}

function showChosen() {
  cards.forEach((element, index) => element.querySelector(".pick").setAttribute("aria-pressed", String(chosen.includes(items[index]))));
  at("tray").hidden = chosen.length === 0;
  at("tray").querySelector(".chosen").replaceChildren(...chosen.map((item) => picture(item)));
  at("tray").querySelector("p").textContent = chosen.length === 1 ? "Choose another one" : "";
  at("compare").disabled = chosen.length < 2;
}

// What two recipes set differently: [name, left, right].
function differences(left, right) {
  const rows = (item) => new Map([...item.settings, ...item.weights, ...(item.seed ? [["seed", item.seed]] : [])]);
  const [a, b] = [rows(left), rows(right)];
  const names = [...new Set([...a.keys(), ...b.keys()])].filter((name) => a.get(name) !== b.get(name));
  return names.map((name) => [name, a.get(name) ?? "–", b.get(name) ?? "–"]);
}

function cut(part) {
  two.querySelector(".pair").style.setProperty("--cut", `${part}%`);
}

function compare() {
  if (chosen.length < 2) return;
  const [left, right] = chosen;
  [[left, ".left"], [right, ".right"]].forEach(([item, side]) => {
    const image = picture(item, { class: `${side.slice(1)}${item.size && Math.max(...item.size) <= 128 ? " tiny" : ""}` });
    two.querySelector(side).replaceWith(image);
    if (item.kind !== "film") sharpen(image, item);
  });
  const titles = [left, right].map((item) => make("div", {}, make("h2", {}, heading(item)), make("p", { class: "meta" }, meta(item)), make("a", { href: item.href, target: "_blank", rel: "noopener" }, item.name)));
  const rows = differences(left, right);
  two.querySelector(".facts").replaceChildren(make("div", { class: "both" }, ...titles), ...(rows.length ? [table(rows)] : []));
  const slider = two.querySelector("input");
  slider.value = 50;
  cut(50);
  two.showModal();
  slider.focus();
}

two.querySelector("input").addEventListener("input", (event) => cut(event.target.value));
two.addEventListener("close", () => setCurrent(current));
at("compare").addEventListener("click", compare);
at("clear").addEventListener("click", () => { chosen = []; showChosen(); setCurrent(current); });
for (const dialog of [one, two]) {
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); }); // beside it
}

showVerbs();
showBroken();
filter();
new IntersectionObserver(
  (entries) => { if (entries.some((entry) => entry.isIntersecting)) watch(); }, { rootMargin: "1500px" },
).observe(at("end"));

// The end of the grid may stay in sight when cards are added, and then nobody says so again.
function watch() {
  more();
  if (grid.children.length < shown.length && at("end").getBoundingClientRect().top < innerHeight + 1500) requestAnimationFrame(watch);
}
