// What the page does beyond its forms. Every screen works from the server's HTML; this keeps it fresh, draws regions
// and uploads files. No library, no inline code.
"use strict";

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const csrf = document.body.dataset.csrf;
const AWAKE_MS = 60000;
const SVG = "http://www.w3.org/2000/svg";

for (const element of all("[data-view], [data-tune], [data-region-form], [data-upload], [data-file], [data-finder]")) {
  element.hidden = false;
}

async function post(address, body, headers = {}) {
  const reply = await fetch(address, { method: "POST", body, headers: { "X-CSRF": csrf, Accept: "application/json", ...headers } });
  const answer = await reply.json().catch(() => ({ words: `fmd answered ${reply.status}` }));
  if (!reply.ok) throw new Error(answer.words);
  return answer;
}

// State and pictures -------------------------------------------------------------------------------------------------

// The state on an open page must never be older than it seems: without news it is replaced by the reason.
function follow(address) {
  const source = new EventSource(address);
  let lost = false;
  source.onmessage = (event) => {
    const found = JSON.parse(event.data);
    if (found.kind === "paused") {
      source.close();
      showNothing("Paused", "This page stops after ten minutes without interaction. fmd goes on.", "The picture has stopped.");
    } else if (found.kind === "stopped") {
      lost = true;
      showNothing("Off", found.words, found.words);
    } else if (lost) {
      source.close();
      startPictures();
      follow(address);
    } else {
      for (const [id, html] of Object.entries(found.parts)) fill(id, html);
      for (const element of all("[data-if]")) element.hidden = !one(element.dataset.if);
    }
  };
  source.onerror = () => {
    lost = true;
    showNothing("Unknown", "The connection to this page is lost.", "There is no connection.");
  };
  addEventListener("pagehide", () => source.close());
}

function fill(id, html) {
  const part = document.getElementById(id);
  if (part) part.innerHTML = html;
}

function showNothing(word, sentence, picture) {
  const state = one("#state .state");
  if (state) {
    state.className = "state warn";
    one(".word", state).textContent = word;
    one(".detail", state).textContent = sentence;
  }
  for (const id of ["drawing", "people"]) fill(id, "");
  stopPictures(picture);
}

function startPictures() {
  for (const image of all("img[data-src]")) {
    one(".stopped", image.parentElement).hidden = true;
    image.onerror = () => stopPictures("There is no picture now: fmd gives none, or two others watch already.");
    image.src = image.dataset.src;
  }
}

function stopPictures(words) {
  for (const image of all("img[data-src]")) {
    one("[data-stopped-words]", image.parentElement).textContent = words;
    one(".stopped", image.parentElement).hidden = false;
    image.onerror = null;
    image.removeAttribute("src");
  }
}

// Someone who moves, types or scrolls is there: pictures go on. One request a minute is enough.
function stayAwake() {
  let last = Date.now();
  const note = () => {
    if (Date.now() - last < AWAKE_MS) return;
    last = Date.now();
    post("/awake").catch(() => {});
  };
  for (const kind of ["pointermove", "keydown", "scroll", "touchstart"]) addEventListener(kind, note, { passive: true });
}

// Regions ------------------------------------------------------------------------------------------------------------

class RegionEditor {
  constructor(view, form) {
    this.form = form;
    this.view = view;
    this.regions = JSON.parse(view.dataset.regions);
    this.corners = null;
    this.kind = "";
    this.changed = false;
    this.cursor = [0.5, 0.5];
    this.svg = document.createElementNS(SVG, "svg");
    this.height = Number(one("img", view).getAttribute("height"));
    this.svg.setAttribute("viewBox", `0 0 640 ${this.height}`);
    this.svg.setAttribute("class", "drawn");
    this.svg.setAttribute("aria-hidden", "true");
    view.append(this.svg);
    form.addEventListener("click", (event) => this.press(event.target.closest("[data-do]")));
    view.addEventListener("pointerdown", (event) => this.touch(event));
    view.addEventListener("pointermove", (event) => this.drag(event));
    view.addEventListener("pointerup", () => { this.held = null; });
    view.addEventListener("keydown", (event) => this.key(event));
    this.show();
  }

  press(button) {
    if (!button) return;
    const { do: action, kind, index } = button.dataset;
    if (action === "ignore" || action === "only") this.begin(action);
    if (action === "finish") this.finish();
    if (action === "undo") this.undo();
    if (action === "cancel") this.end();
    if (action === "delete") {
      this.regions[kind].splice(Number(index), 1);
      this.changed = true;
      this.show();
      one('[data-do="ignore"]', this.form).focus();
    }
    if (action === "save") this.form.elements.regions.value = JSON.stringify(this.regions);
  }

  begin(kind) {
    this.kind = kind;
    this.corners = [];
    this.cursor = [0.5, 0.5];
    this.view.tabIndex = 0;
    this.view.setAttribute("role", "application");
    this.view.setAttribute("aria-label", "Drawing area. Arrow keys move the cross, Enter sets a corner, F finishes, Escape cancels.");
    this.view.focus();
    this.view.scrollIntoView({ block: "nearest" });
    this.show("Tap the corners one after another. With a keyboard: arrows move, Enter sets a corner, F finishes.");
  }

  finish() {
    if (this.corners.length < 3) return this.show("A region needs three corners or more.");
    this.regions[this.kind].push(this.corners);
    this.changed = true;
    this.end();
  }

  undo() {
    this.corners.pop();
    this.show();
  }

  end() {
    this.corners = null;
    this.view.removeAttribute("tabindex");
    this.view.removeAttribute("role");
    this.view.removeAttribute("aria-label");
    this.show(this.changed ? "Not saved yet." : "");
    one(this.changed ? '[data-do="save"]' : '[data-do="ignore"]', this.form).focus();
  }

  add(corner) {
    if (this.corners.length >= 40) return this.show("A region has 40 corners at most.");
    this.corners.push(corner.map((share) => Math.round(Math.min(1, Math.max(0, share)) * 1000) / 1000));
    this.show(`${this.corners.length} corner${this.corners.length > 1 ? "s" : ""} set.`);
  }

  place(event) {
    const box = this.view.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  touch(event) {
    if (!this.corners || event.target.closest("a")) return;
    event.preventDefault();
    this.cursor = this.place(event);
    const near = this.corners.findIndex(([x, y]) => Math.hypot(x - this.cursor[0], (y - this.cursor[1]) * 0.75) < 0.03);
    if (near === 0 && this.corners.length > 2) return this.finish();
    if (near >= 0) this.held = near;
    else this.add(this.cursor);
  }

  drag(event) {
    if (!this.corners || this.held == null) return;
    this.corners[this.held] = this.place(event).map((share) => Math.round(Math.min(1, Math.max(0, share)) * 1000) / 1000);
    this.show();
  }

  key(event) {
    if (!this.corners) return;
    const step = event.shiftKey ? 0.005 : 0.025;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (move) this.cursor = this.cursor.map((share, axis) => Math.min(1, Math.max(0, share + move[axis])));
    else if (event.key === "Enter" || event.key === " ") this.add(this.cursor);
    else if (event.key === "f" || event.key === "F") this.finish();
    else if (event.key === "Backspace") this.undo();
    else if (event.key === "Escape") this.end();
    else return;
    event.preventDefault();
    if (move) this.show();
  }

  show(words) {
    const drawing = this.corners !== null;
    for (const row of all("[data-when]", this.form)) row.hidden = (row.dataset.when === "drawing") !== drawing;
    one('[data-do="save"]', this.form).disabled = !this.changed;
    one('[data-do="finish"]', this.form).disabled = !drawing || this.corners.length < 3;
    if (words !== undefined) one("[data-region-help]", this.form).textContent = words;
    this.view.classList.toggle("editing", drawing);
    this.draw(drawing);
    this.list();
  }

  draw(drawing) {
    this.svg.replaceChildren();
    // What is drawn here replaces the server's drawing of the regions that are in use.
    this.view.classList.toggle("edited", this.changed || drawing);
    if (!this.changed && !drawing) return;
    for (const kind of ["only", "ignore"]) for (const corners of this.regions[kind]) this.shape("polygon", corners, `region ${kind}`);
    if (!drawing) return;
    this.shape("polyline", this.corners, `region open ${this.kind}`);
    for (const [x, y] of this.corners) this.mark("circle", { cx: x * 640, cy: y * this.height, r: 7 }, "corner");
    const [x, y] = [this.cursor[0] * 640, this.cursor[1] * this.height];
    this.mark("path", { d: `M${x - 16},${y}h32M${x},${y - 16}v32` }, "cross");
  }

  shape(name, corners, kind) {
    this.mark(name, { points: corners.map(([x, y]) => `${x * 640},${y * this.height}`).join(" ") }, kind);
  }

  mark(name, attributes, kind) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries({ ...attributes, class: kind })) element.setAttribute(key, value);
    this.svg.append(element);
  }

  list() {
    const rows = ["ignore", "only"].flatMap((kind) => this.regions[kind].map((corners, index) => {
      const row = document.createElement("li");
      const button = document.createElement("button");
      const name = `${kind === "ignore" ? "Ignored" : "Watched"} region ${index + 1}`;
      Object.assign(button, { type: "button", className: "plain", textContent: "Delete" });
      button.setAttribute("aria-label", `Delete ${name.toLowerCase()}`);
      Object.assign(button.dataset, { do: "delete", kind, index });
      row.append(`${name}, ${corners.length} corners `, button);
      return row;
    }));
    one("[data-region-list]", this.form).replaceChildren(...rows);
  }
}

// Thresholds ---------------------------------------------------------------------------------------------------------

function shown(value) {
  if (value === undefined) return "";
  if (value === null) return "none";
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}

class Tuner {
  constructor(form) {
    this.form = form;
    this.sliders = all("input[type=range]", form);
    if (!form.hasAttribute("action")) form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => this.label());
    form.addEventListener("change", () => this.ask());
    form.addEventListener("reset", () => setTimeout(() => { this.label(); this.ask(); }));
    this.label();
    this.ask();
  }

  label() {
    for (const slider of this.sliders) {
      const value = slider.dataset.values.split(" ")[slider.value];
      const field = one("input[type=hidden]", slider.parentElement);
      one("output", slider.parentElement).textContent = value;
      slider.setAttribute("aria-valuetext", value);
      field.value = value;
      field.disabled = value === slider.dataset.present;
    }
  }

  async ask() {
    const words = one("[data-tune-words]", this.form);
    const apply = one("[data-apply]", this.form);
    const changed = this.sliders.some((slider) => !one("input[type=hidden]", slider.parentElement).disabled);
    words.textContent = "fmd decides the passages again.";
    try {
      const found = await post("/tune", new URLSearchParams(new FormData(this.form)));
      for (const [when, effect] of [["before", found.before || {}], ["after", found.after || {}]]) {
        for (const cell of all(`[data-${when}]`, this.form)) {
          cell.textContent = shown(effect[cell.dataset[when]]);
        }
      }
      words.textContent = found.words || `${found.differing} of ${found.before.passages} passages would have been decided otherwise.`;
    } catch (error) {
      words.textContent = error.message;
    }
    if (apply) apply.disabled = !changed;
  }
}

// Settings, models, checks -------------------------------------------------------------------------------------------

function find(input) {
  const sections = all("details.card");
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const section of sections) {
      const rows = all("[data-setting]", section);
      for (const row of rows) row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted) && !row.dataset.setting.includes(wanted);
      section.hidden = rows.every((row) => row.hidden);
      section.open = wanted !== "" && !section.hidden;
    }
  });
}

function openTarget() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const section = target && target.closest("details");
  if (section) section.open = true;
}

async function readInto(file, field) {
  field.value = await file.text();
}

async function upload(form) {
  const file = one("input[type=file]", form).files[0];
  const words = one("[data-upload-words]", form);
  words.textContent = `${file.name} is being sent.`;
  const fields = new URLSearchParams({ name: file.name, task: one("select", form).value });
  try {
    words.textContent = (await post(`${form.dataset.upload}?${fields}`, file)).words;
    watchShadow();
  } catch (error) {
    words.textContent = error.message;
  }
}

let shadowTimer = 0;
async function watchShadow() {
  clearTimeout(shadowTimer);
  const box = one("[data-shadow]");
  const reply = await fetch("/shadow").catch(() => null);
  if (!reply || !reply.ok) return;
  const found = await reply.json();
  const runs = ["staged", "proving", "shadow"].includes(found.phase);
  box.hidden = found.phase === "none";
  one("[data-shadow-words]", box).textContent = found.words;
  Object.assign(one("progress", box), { value: found.share, hidden: !runs });
  if (runs) shadowTimer = setTimeout(watchShadow, 2000);
}

// The checks take seconds, so the screen comes without them first, and the whole screen replaces its parts.
async function load(element) {
  one("[data-waiting]", element).hidden = false;
  const reply = await fetch(element.dataset.load);
  const found = new DOMParser().parseFromString(await reply.text(), "text/html");
  for (const id of ["checks", "log"]) {
    const [part, now] = [found.getElementById(id), document.getElementById(id)];
    if (part && now) now.replaceChildren(...part.childNodes);
  }
  if (!reply.ok) one("[data-waiting]", element).textContent = "The checks did not run.";
}

startPictures();
stayAwake();
openTarget();
addEventListener("hashchange", openTarget);
all("[data-events]").forEach((element) => follow(element.dataset.events));
all("[data-region-form]").forEach((form) => new RegionEditor(one("[data-regions]"), form));
all("[data-tune]").forEach((form) => new Tuner(form));
all("[data-finder] input").forEach(find);
all("[data-file] input").forEach((input) => input.addEventListener("change", () => readInto(input.files[0], one("#content"))));
all("[data-upload]").forEach((form) => form.addEventListener("submit", (event) => { event.preventDefault(); upload(form); }));
if (all("[data-shadow]").some((box) => !["none", "installed", "refused", "failed"].includes(box.dataset.shadow))) watchShadow();
all("[data-load]").forEach(load);
