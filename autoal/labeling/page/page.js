// The page of `autoal label`. Whatever comes from the pool is put into the page as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const TOKEN = "autoal-token";
const memory = new Map(); // where a notebook's frame may not store anything
const kept = {
  get(name) { try { return sessionStorage.getItem(name) ?? memory.get(name); } catch { return memory.get(name); } },
  set(name, value) { memory.set(name, value); try { sessionStorage.setItem(name, value); } catch { /* in memory, then */ } },
};

let view = null; // what the server said last
let shown = null; // row on the screen, once its picture is there
let sending = false;
let guessing = kept.get("autoal-guess") === "yes";
let timer = 0;
let lost = false; // whether the server did not answer the last time
let began = 0; // when the present wait was first seen
const pictures = new Map(); // row -> promise of an image element, loaded before it is needed

// --- talking to the server -----------------------------------------------------------------------------------

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  kept.set(TOKEN, given);
  history.replaceState(null, "", location.pathname); // so that it is not in the address bar, nor in a copied link
}

async function ask(path, body) {
  const headers = { "X-Autoal-Token": kept.get(TOKEN) ?? "" };
  const options = { headers, cache: "no-store" };
  if (body !== undefined) Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, options).catch(() => {
    throw new Error("The server does not answer. Every answer so far is kept: run the command again, and open the address that it shows.");
  });
  if (answer.status === 401) {
    throw new Error("This page does not know the token. Open the address that the terminal shows, to its end.");
  }
  if (!answer.ok) {
    const text = await answer.text();
    let message = text;
    try { message = JSON.parse(text).error; } catch { /* plain text */ }
    throw Object.assign(new Error(message), { refused: true });
  }
  return answer;
}

async function refresh() {
  clearTimeout(timer);
  try {
    if (!sending) {
      const next = await (await ask("api/view")).json();
      if (!sending) take(next);
      say("error", "");
    }
  } catch (error) {
    say("error", error.message);
  }
  plan();
}

function plan() {
  clearTimeout(timer);
  const phase = view?.phase;
  const wait = lost ? 2000 : !view || phase === "starting" ? 120 : phase === "choosing" ? 300 : document.hidden ? 15000 : 2500;
  timer = setTimeout(refresh, wait);
}

async function send(path, body, told) {
  if (sending || view === null) return;
  sending = true;
  $("main").setAttribute("aria-busy", "true");
  try {
    const next = await (await ask(path, body)).json();
    say("error", "");
    say("status", told);
    take(next);
  } catch (error) {
    say("error", error.message);
    if (error.refused) { try { take(await (await ask("api/view")).json()); } catch { /* said above */ } }
  } finally {
    sending = false;
    $("main").removeAttribute("aria-busy");
    plan();
  }
}

// --- answers -------------------------------------------------------------------------------------------------

const current = () => (view?.phase === "labeling" && shown === view.items[0].row ? view.items[0] : null);

function answer(name) {
  const item = current();
  if (item) send("api/label", { row: item.row, label: name }, `You said ${name} for ${item.name}.`);
}
function skip(foreign) {
  const item = current();
  if (!item || (foreign && view.task === "regression")) return;
  send("api/skip", { row: item.row, foreign }, `You ${foreign ? "said none of these for" : "skipped"} ${item.name}.`);
}
function undo() {
  if (view?.can_undo) send("api/undo", {}, "The last answer is taken back.");
}
function addClass(name) {
  if (name.trim()) send("api/class", { name }, `There is a class ${name.trim()} now.`);
}
function toggleGuess() {
  guessing = !guessing;
  kept.set("autoal-guess", guessing ? "yes" : "no");
  if (view) drawGuess();
}

// --- drawing -------------------------------------------------------------------------------------------------

function make(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}
function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

function load(row) {
  if (!pictures.has(row)) {
    pictures.set(row, (async () => {
      const blob = await (await ask(`api/picture/${row}`)).blob();
      const image = new Image();
      image.src = URL.createObjectURL(blob);
      await image.decode();
      if (Math.max(image.naturalWidth, image.naturalHeight) <= 96) image.className = "tiny";
      return image;
    })());
    pictures.get(row).catch(() => {});
  }
  return pictures.get(row);
}
function forget(rows) {
  for (const [row, promise] of pictures) {
    if (rows.includes(row)) continue;
    pictures.delete(row);
    promise.then((image) => URL.revokeObjectURL(image.src), () => {});
  }
}

async function take(next) {
  const before = view?.phase;
  view = next;
  if (view.phase === "starting") { began ||= performance.now(); return; }
  say("session", view.session);
  document.title = `${view.session}: label`;
  drawCounts();
  drawSays();
  const labeling = view.phase === "labeling";
  $("desk").hidden = !labeling;
  $("pause").hidden = labeling;
  if (!labeling) {
    shown = null;
    drawPause(before);
    return;
  }
  drawClasses();
  const item = view.items[0];
  if (view.kind === "picture") view.items.slice(0, 4).forEach((other) => load(other.row));
  if (shown !== item.row) {
    await drawItem(item);
    if (view !== next) return; // the server has said something newer meanwhile
    shown = item.row;
    $("item").dataset.row = item.row;
    $("item").dataset.name = item.name;
    say("name", item.name);
    if (document.activeElement?.id === "value" || view.task === "regression") $("value").focus();
  }
  drawGuess();
  forget(view.items.map((other) => other.row));
}

async function drawItem(item) {
  const place = $("item");
  if (view.kind === "picture") {
    let content;
    try {
      content = await load(item.row);
      content.alt = `Picture ${item.name}`;
    } catch (error) {
      content = make("p", error.message, "missing");
    }
    place.replaceChildren(content);
    place.className = "picture";
    return;
  }
  place.dir = "auto";
  place.scrollTop = 0;
  if (view.kind === "text") {
    place.textContent = item.text || "(empty)";
    place.className = item.text.length < 160 ? "text short" : "text";
    return;
  }
  const table = make("table");
  for (const [name, value] of item.fields) {
    const row = table.insertRow();
    const head = make("th", name);
    head.scope = "row";
    row.append(head, make("td", value));
  }
  place.replaceChildren(table);
  place.className = "fields";
}

function drawClasses() {
  const regression = view.task === "regression";
  const wanted = JSON.stringify(view.classes);
  const group = $("classes");
  if (group.dataset.drawn !== wanted) {
    group.dataset.drawn = wanted;
    const longest = Math.max(0, ...view.classes.map((one) => one.name.length));
    group.dataset.width = longest <= 3 && view.classes.length > 4 ? "short" : view.classes.length <= 4 ? "few" : "long";
    group.classList.toggle("scrolls", view.classes.length > 24);
    group.replaceChildren(...view.classes.map(({ name, key }) => {
      const button = make("button");
      button.type = "button";
      button.append(make("span", name, "label"));
      if (key) {
        button.setAttribute("aria-keyshortcuts", key);
        if (key === name.toLowerCase()) button.className = "own-key";
        else button.append(make("kbd", key));
      }
      button.addEventListener("click", () => answer(name));
      return button;
    }));
    drawKeys();
  }
  group.hidden = regression || !view.classes.length;
  $("number").hidden = !regression;
  $("none").hidden = regression;
  $("add").hidden = !view.can_add;
  const first = !view.classes.length;
  $("add").classList.toggle("first", first);
  say2($("add").querySelector("label"), first ? "Name the classes, one at a time; more can follow at any point. Then a key is enough for an answer." : "Another class");
  $("undo").disabled = !view.can_undo;
}
function say2(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function drawGuess() {
  const item = view.items[0];
  const button = $("guess");
  button.setAttribute("aria-pressed", String(guessing));
  button.replaceChildren();
  let text = "Show the model's guess";
  if (guessing && !item.guess) text = "No guess: chosen without a model";
  if (guessing && item.guess) {
    const sure = item.guess.confidence === null ? "" : ` (${Math.round(item.guess.confidence * 100)} %)`;
    text = `The model guesses ${item.guess.name}${sure}`;
  }
  button.append(make("span", `${text} `), make("kbd", "g"));
}

function drawCounts() {
  const { labeled, rejected, skipped, points } = view.counts;
  const parts = [`${labeled} labeled`];
  if (rejected) parts.push(`${rejected} none of these`);
  if (skipped - rejected) parts.push(`${skipped - rejected} skipped`);
  say("counts", `${parts.join(" · ")} of ${points}`);
  const { number, size, done } = view.batch;
  $("bar").max = Math.max(1, size);
  $("bar").value = done;
  say("batch", size ? `batch ${number} · ${done} of ${size}` : "");
}

function drawSays() {
  const lines = [...view.says];
  const list = $("says");
  const made = lines.map((line) => make("li", line));
  if (view.outlook) made.push(make("li", view.outlook, "hint"));
  if (view.phase === "labeling" && view.failed) made.push(make("li", `The next batch could not be chosen yet: ${view.failed}`));
  const wanted = made.map((one) => one.textContent).join("\n");
  if (list.dataset.drawn === wanted) return;
  list.dataset.drawn = wanted;
  list.replaceChildren(...made);
}

function drawPause(before) {
  const waiting = view.phase === "choosing";
  if (before !== "choosing") began = performance.now();
  $("pause-bar").hidden = !waiting || Boolean(view.failed);
  $("retry").hidden = !(waiting && view.failed);
  $("pause-undo").hidden = !view.can_undo;
  if (!waiting) {
    say("pause-title", "Every point has an answer");
    say("pause-text", `${view.counts.labeled} of ${view.counts.points} are labeled. Stop the command with Ctrl-C; it says how to go on.`);
    return;
  }
  if (view.failed) {
    say("pause-title", "The next batch could not be chosen");
    say("pause-text", view.failed);
    return;
  }
  const seconds = Math.floor(view.choosing ? view.choosing.for : (performance.now() - began) / 1000);
  const usual = view.choosing?.usual ? `, ${Math.ceil(view.choosing.usual)} s last time` : "";
  say("pause-title", view.counts.rounds ? "You were faster than the model" : "Choosing the first points");
  say("pause-text", view.counts.rounds
    ? `This batch is done, and the next one is still being chosen: the model trains on your labels (${seconds} s so far${usual}). It will show here by itself.`
    : "They will show here by themselves, in a few seconds.");
}

function drawKeys() {
  const pairs = view.classes.filter(({ name, key }) => key && key !== name.toLowerCase()).map(({ name, key }) => [key, name]);
  const own = view.classes.filter(({ name, key }) => key && key === name.toLowerCase());
  if (own.length) pairs.unshift([own.length > 1 ? `${own[0].key} … ${own.at(-1).key}` : own[0].key, "the class of that name"]);
  if (view.task !== "regression") pairs.push(["o", "none of these"]);
  pairs.push(["s", "skip"], ["u", "undo the last answer"], ["g", "show or hide the model's guess"]);
  if (view.can_add) pairs.push(["n", "name another class"]);
  pairs.push(["?", "this help"]);
  $("keys").replaceChildren(...pairs.flatMap(([key, what]) => {
    const head = make("dt");
    head.append(make("kbd", key));
    return [head, make("dd", what)];
  }));
}

// --- keys and buttons ----------------------------------------------------------------------------------------

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target instanceof HTMLInputElement) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if ($("help").open) {
    if (event.key === "?") { event.preventDefault(); $("help").close(); }
    return;
  }
  if (event.repeat) return; // a key that is held down is one answer
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const class_ = view?.phase === "labeling" ? view.classes.find((one) => one.key === key) : undefined;
  const actions = {
    s: () => skip(false), o: () => skip(true), u: undo, g: toggleGuess, "?": () => $("help").showModal(),
    n: () => { if (view?.can_add && view.phase === "labeling") $("new").focus(); },
  };
  const act = class_ ? () => answer(class_.name) : actions[key];
  if (!act) return;
  event.preventDefault();
  act();
}

document.addEventListener("keydown", onKey);
$("none").addEventListener("click", () => skip(true));
$("skip").addEventListener("click", () => skip(false));
$("undo").addEventListener("click", undo);
$("pause-undo").addEventListener("click", undo);
$("guess").addEventListener("click", toggleGuess);
$("retry").addEventListener("click", () => send("api/retry", {}, ""));
$("help-open").addEventListener("click", () => $("help").showModal());
$("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = $("new");
  if (!input.value.trim()) { input.blur(); return; }
  addClass(input.value);
  input.value = "";
});
$("number").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = $("value").value.trim().replace(",", ".");
  if (value) answer(value);
  $("value").value = "";
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
window.addEventListener("hashchange", () => { takeToken(); refresh(); });

takeToken();
refresh();
