// Functions without a page: what the others show, computed. `node --test` runs them, too.
const STATES = ["ran", "failed", "complete", "not started", "missing", "not needed", "pending"];
const MARKS = ["✓", "✗", "=", "○", "?", "–", "…"];
const FILTERS = { failed: [1, 4], ran: [0, 1], skipped: [2, 5], unfinished: [3, 4, 6] };
const [FIRST_BOXES, MOST_IN_GROUP] = [60, 200];

function secondsText(seconds) {
  if (seconds < 0.1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

function sizeText(bytes) {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), 4);
  return power ? `${(bytes / 1000 ** power).toFixed(1)} ${["kB", "MB", "GB", "TB"][power - 1]}` : `${bytes} bytes`;
}

function numberText(value) {
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(6)));
}

// Characters that are not drawn, or turn the direction of what follows, are shown as one mark.
function plain(text, most = Infinity) {
  const shown = String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "\ufffd");
  return shown.length > most ? `${shown.slice(0, most - 1)}…` : shown;
}

// Turns columns into one object a task.
function unpackTasks(data) {
  const { tasks, texts } = data;
  const critical = new Set(data.path.map((bar) => data.bars.task[bar]));
  return tasks.class.map((cls, n) => {
    const id = tasks.id.slice(32 * n, 32 * n + 32).trim();
    const text = (number) => texts[number].replaceAll("\u0001", id);
    const keys = tasks.keySets[tasks.keys[n]];
    const [module, name] = data.classes[cls];
    const label = texts[tasks.label[n]];
    const task = { n, cls, module, name, id, label, state: Number(tasks.state[n]), reason: text(tasks.reason[n]) };
    for (const key of ["requires", "attempts", "peak", "seed"]) task[key] = tasks[key][n];
    for (const key of ["started", "run", "worker", "code", "error"]) task[key] = texts[tasks[key][n]];
    for (const key of ["seconds", "cpu", "waited"]) task[key] = tasks[key][n] < 0 ? null : tasks[key][n] / 1000;
    return Object.assign(task, {
      params: tasks.values[n].map((value, place) => [keys[place], texts[value]]),
      outputs: tasks.outputs[n].map(([url, size, kind, sum]) => ({ url: text(url), size, checksum: sum && `${texts[kind]}:${sum}` })),
      metrics: tasks.metrics[n].map(([metric, value]) => [texts[metric], value]), critical: critical.has(n),
      text: `${label} ${data.modules[module]}.${name}`.toLowerCase(),
    });
  });
}

// Returns whether a task is meant by a search: all words, each a part of its name, its id, or parameter=value.
function matcher(query) {
  const tests = query.trim().toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const at = word.indexOf("=");
    const [key, value] = [word.slice(0, at), word.slice(at + 1)];
    const has = ([name, text]) => name.toLowerCase() === key && text.toLowerCase() === value;
    if (at > 0) return (task) => task.params.some(has) || task.text.split(/[(),\s]+/).includes(word);
    return (task) => task.text.includes(word) || task.id.startsWith(word);
  });
  return (task) => tests.every((test) => test(task));
}

const neighbors = (tasks, n) => new Set([n, ...tasks[n].requires, ...tasks.filter((task) => task.requires.includes(n)).map((task) => task.n)]);

function shownTasks(tasks, view) {
  const matches = matcher(view.q);
  const near = view.near === null ? null : neighbors(tasks, view.near);
  const states = FILTERS[view.filter];
  return tasks.filter((task) => (!near || near.has(task.n)) && (!states || states.includes(task.state)) && matches(task));
}

// The groups to open at first: the finest level with at most 60 boxes.
function firstOpen(data, tasks) {
  const classes = new Set(tasks.map((task) => `c${task.cls}`));
  if (classes.size > FIRST_BOXES) return new Set();
  return new Set([...tasks.map((task) => `m${task.module}`), ...(tasks.length <= FIRST_BOXES ? classes : [])]);
}

function groupedBy(items, key) {
  const groups = new Map();
  for (const item of items) {
    const group = key(item);
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(item);
  }
  return groups;
}

// Of a large group, those to draw: failed, pending and critical ones, then the first others.
function members(tasks, limit) {
  if (tasks.length <= MOST_IN_GROUP) return tasks;
  const first = (task) => task.state === 1 || task.state === 6 || task.critical;
  const ordered = [...tasks.filter(first), ...tasks.filter((task) => !first(task))];
  return ordered.slice(0, limit || Math.min(Math.max(tasks.filter(first).length, 20), MOST_IN_GROUP));
}

// The boxes to draw: modules, those opened with their classes, and those opened with their tasks. A group of one
// member is that member.
function boxes(data, tasks, open, limits) {
  const at = (level, number) => ({ rank: data.layout[level][0][number], place: data.layout[level][1][number] });
  const perModule = groupedBy(data.classes.keys(), (cls) => data.classes[cls][0]);
  const perClass = data.tasks.class.reduce((counts, cls) => (counts[cls]++, counts), data.classes.map(() => 0));
  const taskBox = (task, where) => ({ key: `t${task.n}`, kind: "task", label: task.label, tasks: [task], ...where });
  const classBox = (cls, own, where) => {
    if (perClass[cls] === 1) return taskBox(own[0], where);
    const box = { key: `c${cls}`, kind: "class", label: data.classes[cls][1], tasks: own, ...where };
    if (!open.has(box.key)) return box;
    const drawn = new Set(members(own, limits[box.key]));
    box.children = [...drawn].map((task) => taskBox(task, at("tasks", task.n)));
    const rest = own.filter((task) => !drawn.has(task));
    const label = `… ${rest.length.toLocaleString("en")} more`;
    const last = box.children.reduce((most, { rank }) => Math.max(most, rank), 0);
    if (rest.length) box.children.push({ key: `r${cls}`, kind: "more", label, tasks: rest, rank: last, place: 1e9 });
    return box;
  };
  return [...groupedBy(tasks, (task) => task.module)].map(([module, own]) => {
    const where = at("modules", module);
    const classes = perModule.get(module);
    if (classes.length === 1) return classBox(classes[0], own, where);
    const box = { key: `m${module}`, kind: "module", label: data.modules[module], tasks: own, ...where };
    if (!open.has(box.key)) return box;
    const inside = groupedBy(own, (task) => task.cls);
    box.children = [...inside].map(([cls, some]) => classBox(cls, some, at("classes", cls)));
    return box;
  });
}

const marksOf = (tasks) => [...groupedBy(tasks, (task) => task.state)].sort((a, b) => a[0] - b[0]).map(([state, own]) => [state, own.length]);
const timeOf = (tasks) => tasks.reduce((sum, task) => sum + (task.attempts ? task.seconds : 0), 0);

// The second line of a box.
function subtitle({ kind, tasks }) {
  const time = tasks.some((task) => task.attempts) ? ` · ${secondsText(timeOf(tasks))}` : "";
  const marks = marksOf(tasks).map(([state, count]) => (kind === "task" ? `${MARKS[state]} ${STATES[state]}` : `${MARKS[state]}${count.toLocaleString("en")}`));
  return marks.join(" ") + time;
}

const [HEIGHT, HEAD, PAD] = [44, 26, 12];

// Gives boxes their sizes and places: columns by rank, each as wide as its widest box, stacked by order.
function stack(nodes) {
  for (const node of nodes) {
    const wanted = 24 + Math.max(90, 6.7 * Math.min(node.label.length, 34), 6.2 * subtitle(node).length);
    const inner = node.children && stack(node.children);
    node.w = inner ? Math.max(inner.w + 2 * PAD, wanted + 20) : wanted;
    node.h = inner ? inner.h + HEAD + PAD : HEIGHT;
  }
  const columns = [...groupedBy(nodes, (node) => node.rank)].sort((a, b) => a[0] - b[0]).map(([, column]) => column);
  const wrapped = columns.flatMap((column) => {
    column.sort((a, b) => a.place - b.place);
    if (column.length <= 14) return [{ nodes: column, gap: 56 }];
    const rows = Math.max(12, Math.ceil(Math.sqrt(1.7 * column.length)));
    const parts = [];
    for (let at = 0; at < column.length; at += rows) parts.push({ nodes: column.slice(at, at + rows), gap: 16 });
    parts.at(-1).gap = 56;
    return parts;
  });
  const tall = (part) => part.nodes.reduce((sum, node) => sum + node.h + 14, -14);
  const h = wrapped.reduce((most, part) => Math.max(most, tall(part)), 0);
  let x = 0;
  for (const part of wrapped) {
    const w = part.nodes.reduce((most, node) => Math.max(most, node.w), 0);
    let y = (h - tall(part)) / 2;
    for (const node of part.nodes) {
      Object.assign(node, { x: x + (w - node.w) / 2, y });
      y += node.h + 14;
    }
    x += w + part.gap;
  }
  return { w: Math.max(x - 56, 0), h };
}

// Lists the boxes with absolute places, groups before what is in them.
function flatten(nodes, dx = 0, dy = 0, parent = null) {
  return nodes.flatMap((node) => {
    Object.assign(node, { x: node.x + dx, y: node.y + dy, parent });
    return [node, ...(node.children ? flatten(node.children, node.x + PAD, node.y + HEAD, node) : [])];
  });
}

// Merges the edges between boxes; returns [from, to, count, whether the critical path is along it].
function edgesBetween(flat, tasks, path = new Set()) {
  const owner = new Map();
  for (const node of flat) if (!node.children) for (const task of node.tasks) owner.set(task.n, node);
  const merged = new Map();
  for (const task of tasks) {
    const to = owner.get(task.n);
    for (const up of task.requires) {
      const from = owner.get(up);
      if (!from || from === to) continue;
      const key = `${from.key} ${to.key}`;
      if (!merged.has(key)) merged.set(key, [from, to, 0, false]);
      const edge = merged.get(key);
      edge[2]++;
      edge[3] ||= path.has(`${up} ${task.n}`);
    }
  }
  return [...merged.values()];
}

// The next box in the direction of an arrow key.
function nextBox(flat, from, direction) {
  const middle = (node) => [node.x + node.w / 2, node.y + (node.children ? HEAD / 2 : node.h / 2)];
  const [x, y] = middle(from);
  let [best, least] = [null, Infinity];
  for (const node of flat) {
    if (node === from || (node.children && !["ArrowUp", "ArrowDown"].includes(direction))) continue;
    const [dx, dy] = [middle(node)[0] - x, middle(node)[1] - y];
    const [along, across] = { ArrowRight: [dx, dy], ArrowLeft: [-dx, dy], ArrowDown: [dy, dx], ArrowUp: [-dy, dx] }[direction];
    const cost = along + 2 * Math.abs(across);
    if (along > 1 && cost < least) [best, least] = [node, cost];
  }
  return best;
}

// Merges the bars of a lane that would touch; `scale` is pixels a millisecond. Returns [x, width, kind, bar].
function mergedBars(bars, numbers, critical, from, scale) {
  const spans = [];
  for (const bar of numbers) {
    const x = (bars.start[bar] - from) * scale;
    const end = x + Math.max(bars.seconds[bar] * scale, 1);
    const kind = bars.failed[bar] ? 2 : critical.has(bar) ? 1 : 0;
    const last = spans.at(-1);
    const joins = last && ((end - last[0] < 2 && last[2] === kind) || (x < last[0] + last[1] + 0.5 && end - x <= 1.01 && kind <= last[2]));
    if (joins) last[1] = Math.max(last[1], end - last[0]);
    else spans.push([x, end - x, kind, bar]);
  }
  return spans;
}

// About `count` round numbers for an axis.
function ticks(from, to, count) {
  const raw = (to - from) / Math.max(count, 1) || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const first = Math.ceil(from / step - 0.001);
  return Array.from({ length: Math.floor(to / step + 0.001) - first + 1 }, (_, place) => (first + place) * step);
}

function sorted(tasks, column, descending) {
  const value = (task) => (column in task ? task[column] : new Map(task.metrics).get(column.slice(1)) ?? null);
  const isTime = ["seconds", "waited", "cpu"].includes(column); // of tasks that did not run, those of an earlier run
  const keyed = tasks.map((task) => [isTime && !task.attempts ? null : column === "size" ? size(task) : value(task), task]);
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true }));
  keyed.sort(([a, first], [b, second]) => {
    if (a === null || b === null) return (a === null) - (b === null) || first.n - second.n; // those without one come last
    return (descending ? order(b, a) : order(a, b)) || first.n - second.n;
  });
  return keyed.map(([, task]) => task);
}

const size = (task) => task.outputs.reduce((sum, output) => sum + output.size, 0);

// What is chosen, as the part of the address after #.
function readHash(hash) {
  const words = Object.fromEntries(new URLSearchParams(hash.replace(/^#/, "")));
  const zoom = (words.zoom || "").split(",").map(Number);
  return {
    q: words.q || "", near: words.near || null, task: words.task || null, sort: words.sort || "",
    filter: Object.hasOwn(FILTERS, words.filter || "") ? words.filter : "",
    open: words.open === undefined ? null : new Set(words.open.split(".").filter(Boolean)),
    zoom: zoom.length === 3 && zoom.every(Number.isFinite) && zoom[2] > 0 ? zoom : null,
    theme: ["dark", "light"].includes(words.theme) ? words.theme : "", };
}

function writeHash(view) {
  const texts = { ...view, zoom: view.zoom && view.zoom.map((number) => Number(number.toFixed(3))).join(",") };
  const words = new URLSearchParams(Object.entries(texts).filter(([key, text]) => text && key !== "open"));
  if (view.open) words.set("open", [...view.open].join("."));
  return words.size ? `#${words}` : "";
}

// Scales numbers to a range of pixels.
function scale(values, from, to) {
  const finite = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  return (value) => (high > low ? from + ((value - low) / (high - low)) * (to - from) : (from + to) / 2);
}

if (typeof module !== "undefined") {
  Object.assign(module.exports, { STATES, boxes, edgesBetween, firstOpen, flatten, matcher, members, mergedBars, neighbors, nextBox },
    { numberText, plain, readHash, scale, secondsText, shownTasks, sizeText, sorted, stack, ticks, unpackTasks, writeHash });
}
