"use strict";
const content = JSON.parse(document.getElementById("content").textContent);
const at = (id) => document.getElementById(id);
const PAGE = 25, STEP = 100, shelf = "noiseproof-review-" + content.made;
let kept = { decisions: {}, history: [], person: "", place: 0 };
try { kept = Object.assign(kept, JSON.parse(localStorage.getItem(shelf) || "{}")); } catch (error) { /* a browser without storage */ }
const others = [];
let current = kept.place;

function keep() {
  kept.place = current;
  try { localStorage.setItem(shelf, JSON.stringify(kept)); } catch (error) { at("count").textContent = "This browser keeps nothing: save often."; }
}

function make(tag, text, name) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
}

function listed() {
  const chosen = at("class").value, state = at("state").value;
  return content.suspects.map((_, i) => i).filter((i) => {
    const one = content.suspects[i], done = i in kept.decisions;
    return (chosen === "" || String(one.given) === chosen) && (state === "all" || (state === "done") === done);
  });
}

/* Classes under the keys 1 to 9: all of them where they are few, else the likely one and those most often likely. */
function numbered(one) {
  if (content.classes.length <= 9) return content.classes.map((_, k) => k);
  const counts = new Map();
  for (const other of content.suspects) if (other.given === one.given) counts.set(other.likely, (counts.get(other.likely) || 0) + 1);
  const often = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
  return [...new Set([one.likely, one.given, ...often])].slice(0, 9);
}

function words(decision) {
  if (!decision) return "";
  if (decision.decision === "relabel") return "→ " + decision.label;
  return decision.decision === "drop" ? "drop" : "keep";
}

function draw() {
  const places = listed();
  if (!places.includes(current)) current = places.find((i) => i >= current) ?? places[places.length - 1] ?? -1;
  const one = content.suspects[current];
  drawCounts(places);
  drawList(places);
  const shown = at("shown"), choices = at("choices");
  shown.replaceChildren();
  choices.replaceChildren();
  if (!one) {
    at("name").textContent = content.suspects.length ? "Nothing is left in this list." : "No label is suspect.";
    at("labels").replaceChildren();
    at("decision").textContent = "";
    return;
  }
  if (one.picture) {
    const picture = make("img");
    picture.alt = one.name;
    picture.onload = () => { picture.className = picture.naturalWidth <= 64 ? "small" : ""; };
    picture.src = one.picture;
    shown.append(picture);
  } else if (one.text !== undefined) {
    shown.append(make("pre", one.text));
  } else if (one.columns) {
    const box = make("div", undefined, "columns"), table = make("table");
    for (const [name, value] of one.columns) {
      const row = make("tr");
      row.append(make("th", name), make("td", value));
      table.append(row);
    }
    box.append(table);
    shown.append(box);
  } else shown.append(make("p", "This picture cannot be shown."));
  const name = at("name");
  name.replaceChildren();
  if (one.file) {
    const link = make("a", one.name);
    link.href = one.file;
    link.target = "_blank";
    name.append(link);
  } else name.append(one.name);
  const labels = at("labels");
  labels.replaceChildren("given ", make("span", content.classes[one.given], "given"), ", likely ",
    make("span", content.classes[one.likely], "likely"), ", suspicion " + one.suspicion.toFixed(2));
  const add = (key, text, act, first) => {
    const button = make("button", undefined, first ? "first" : "");
    button.type = "button";
    button.append(make("kbd", key), text);
    button.onclick = act;
    choices.append(button);
  };
  add("Enter", content.classes[one.likely], () => relabel(one.likely), true);
  add("k", "keep " + content.classes[one.given], () => decide("keep", ""));
  add("d", "drop", () => decide("drop", ""));
  numbered(one).forEach((k, i) => add(String(i + 1), content.classes[k], () => relabel(k)));
  add("/", "find a class", find);
  const decision = kept.decisions[current], said = at("decision");
  said.textContent = decision ? "decided: " + words(decision) + (decision.by ? " (" + decision.by + ")" : "") : "undecided";
  const differ = others.filter((other) => other.place === current && decision && words(other) !== words(decision));
  if (differ.length) said.textContent += "; differs from " + differ.map((other) => (other.by || "somebody") + ": " + words(other)).join(", ");
}

function drawCounts(places) {
  const done = Object.keys(kept.decisions).length, all = content.suspects.length;
  const more = content.flagged > all ? " of " + content.flagged.toLocaleString("en") + " suspects, the most suspect" : " suspects";
  at("count").textContent = done + " of " + all.toLocaleString("en") + more + " decided" +
    (places.length < all ? "; " + places.length.toLocaleString("en") + " in this list" : "");
  const marks = Object.entries(kept.decisions);
  if (!marks.length) {
    at("progress").textContent = "Estimated share of wrong labels: " + (100 * content.rate).toFixed(1) + " %.";
    return;
  }
  const wrong = marks.filter(([, one]) => one.decision !== "keep").length;
  const expected = marks.reduce((sum, [i]) => sum + content.suspects[i].suspicion, 0);
  const factor = (wrong + 1) / (expected + 1), left = [];
  content.suspects.forEach((one, i) => { if (!(i in kept.decisions)) left.push(one.suspicion); });
  const open = left.reduce((sum, p) => sum + Math.min(1, factor * p), 0) + Math.min(factor, 1 / Math.max(content.restNext[0] || 0, 1e-9)) * content.restSum;
  const next = [...left, ...content.restNext].slice(0, STEP).reduce((sum, p) => sum + Math.min(1, factor * p), 0);
  at("progress").textContent = wrong + " of " + marks.length + " were wrong (" + Math.round(100 * wrong / marks.length) + " %). Corrected share of wrong labels: " +
    (100 * (wrong + open) / content.total).toFixed(1) + " %. The next " + STEP + " hold about " + Math.round(next) + ".";
}

function drawList(places) {
  const position = Math.max(0, places.indexOf(current)), page = Math.floor(position / PAGE), last = Math.max(1, Math.ceil(places.length / PAGE));
  at("page").textContent = "page " + (page + 1) + " of " + last;
  const list = at("list");
  list.replaceChildren();
  for (const i of places.slice(page * PAGE, (page + 1) * PAGE)) {
    const one = content.suspects[i], decision = kept.decisions[i];
    const row = make("li", one.name + ": " + content.classes[one.given] + (decision ? " " + words(decision) : ""), decision ? "done" : "");
    if (i === current) row.setAttribute("aria-current", "true");
    row.onclick = () => { current = i; keep(); draw(); };
    list.append(row);
  }
}

function move(step) {
  const places = listed(), position = places.indexOf(current);
  current = places[Math.min(places.length - 1, Math.max(0, position + step))] ?? current;
  keep();
  draw();
}

function decide(decision, label) {
  if (!content.suspects[current]) return;
  const places = listed(), next = places[places.indexOf(current) + 1];
  kept.history.push([current, kept.decisions[current] || null]);
  kept.decisions[current] = { decision, label, by: at("person").value.trim(), when: new Date().toISOString().slice(0, 19) };
  if (next !== undefined) current = next;
  keep();
  draw();
}

function relabel(k) {
  const one = content.suspects[current];
  if (!one) return;
  if (k === one.given) decide("keep", ""); else decide("relabel", content.classes[k]);
}

function undo() {
  const last = kept.history.pop();
  if (!last) return;
  const [place, before] = last;
  if (before) kept.decisions[place] = before; else delete kept.decisions[place];
  current = place;
  keep();
  draw();
}

function find() {
  at("query").value = "";
  at("find").showModal();
  at("query").focus();
}

function field(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) || text !== text.trim() ? '"' + text.replaceAll('"', '""') + '"' : text;
}

function decisions() {
  const head = [...content.keys, "given", "decision", "label", "weight", "by", "when"];
  const rows = Object.entries(kept.decisions).map(([i, one]) =>
    [...content.suspects[i].key, content.classes[content.suspects[i].given], one.decision, one.label, "", one.by, one.when]);
  return [head, ...rows].map((row) => row.map(field).join(",")).join("\n") + "\n";
}

function save() {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([decisions()], { type: "text/csv" }));
  link.download = "decisions.csv";
  link.click();
}

function parse(text) {
  const rows = [[]];
  let value = "", quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c === '"' && text[i + 1] === '"') { value += '"'; i++; } else if (c === '"') quoted = false; else value += c;
    } else if (c === '"') quoted = true;
    else if (c === ",") { rows[rows.length - 1].push(value); value = ""; }
    else if (c === "\n") { rows[rows.length - 1].push(value.replace(/\r$/, "")); value = ""; rows.push([]); }
    else value += c;
  }
  if (value || rows[rows.length - 1].length) rows[rows.length - 1].push(value);
  return rows.filter((row) => row.length > 1);
}

/* Others' decisions fill what is undecided here; where they differ, both are shown and ours stays. */
function merge(text) {
  const [head, ...rows] = parse(text.replace(/^\ufeff/, ""));
  const key = content.keys.find((name) => head.includes(name)), where = new Map();
  if (!key) return 0;
  const column = content.keys.indexOf(key);
  content.suspects.forEach((one, i) => where.set(one.key[column], i));
  let count = 0;
  for (const row of rows) {
    const one = Object.fromEntries(head.map((name, i) => [name, row[i]])), place = where.get(one[key]);
    if (place === undefined || !one.decision) continue;
    const theirs = { place, decision: one.decision, label: one.label, by: one.by, when: one.when };
    others.push(theirs);
    if (!(place in kept.decisions)) kept.decisions[place] = { decision: theirs.decision, label: theirs.label, by: theirs.by, when: theirs.when };
    count++;
  }
  keep();
  draw();
  return count;
}

const classes = at("class");
classes.append(new Option("all", ""));
const counts = new Map();
for (const one of content.suspects) counts.set(one.given, (counts.get(one.given) || 0) + 1);
for (const [k, count] of [...counts].sort((a, b) => b[1] - a[1])) classes.append(new Option(content.classes[k] + " (" + count + ")", String(k)));
for (const name of content.classes) at("classes").append(new Option(name));
at("person").value = kept.person;
at("person").oninput = () => { kept.person = at("person").value; keep(); };
classes.onchange = draw;
at("state").onchange = draw;
at("earlier").onclick = () => move(-PAGE);
at("later").onclick = () => move(PAGE);
at("save").onclick = save;
at("load").onchange = async (event) => { for (const file of event.target.files) merge(await file.text()); };
at("query").onkeydown = (event) => {
  if (event.key !== "Enter") return;
  const query = event.target.value.trim().toLowerCase();
  let k = content.classes.findIndex((name) => name.toLowerCase() === query);
  if (k < 0) k = content.classes.findIndex((name) => name.toLowerCase().startsWith(query));
  event.preventDefault();
  event.stopPropagation();
  if (query && k >= 0) { at("find").close(); relabel(k); }
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("find").open) return;
  const typed = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName) && event.target !== at("query"); // closed, it may keep the focus for a moment
  if (typed) { if (event.key === "Escape") event.target.blur(); return; }
  const one = content.suspects[current];
  const act = {
    Enter: () => one && relabel(one.likely), k: () => decide("keep", ""), d: () => decide("drop", ""), " ": () => move(1),
    Backspace: undo, ArrowDown: () => move(1), ArrowUp: () => move(-1), ArrowRight: () => move(PAGE), ArrowLeft: () => move(-PAGE),
    "/": find, s: save, "?": () => { at("help").open = !at("help").open; },
  }[event.key];
  if (act) { event.preventDefault(); act(); return; }
  const number = Number(event.key);
  if (one && number >= 1 && number <= 9 && numbered(one)[number - 1] !== undefined) { event.preventDefault(); relabel(numbered(one)[number - 1]); }
});
draw();
