// The functions of the report's page that need no page; test_script.py runs this file by `node --test`.
"use strict";
const assert = require("node:assert/strict");
const { test } = require("node:test");
const pure = require("../../../kart_runtime/report/page/pure.js");

// A pipeline as the page has it: classes are [module, name], tasks [class, upstream, further fields].
function made(modules, classes, tasks) {
  const zeros = (count) => [Array(count).fill(0), Array.from({ length: count }, (_, place) => place)];
  const data = {
    modules, classes, tasks: { class: tasks.map(([cls]) => cls) },
    layout: { modules: zeros(modules.length), classes: zeros(classes.length), tasks: zeros(tasks.length) },
  };
  const full = tasks.map(([cls, requires, more], n) => ({
    n, cls, requires, module: classes[cls][0], name: classes[cls][1], label: `${classes[cls][1]}(${n})`, id: String(n).padStart(32, "a"),
    state: 0, attempts: 1, seconds: 1, params: [["max_depth", String(n)]], outputs: [], metrics: [], critical: false,
    text: `${classes[cls][1]}(${n}) ${modules[classes[cls][0]]}.${classes[cls][1]}`.toLowerCase(), ...more,
  }));
  return [data, full];
}

const pipeline = () => made(["p.data", "p.model"], [[0, "Load"], [1, "Train"], [1, "Score"]],
  [[0, []], [1, [0]], [1, [0]], [2, [1]], [2, [2]]]);

test("durations, sizes and numbers are short", () => {
  assert.deepEqual([0, 0.03, 0.5, 4.06, 59.96, 160, 3725].map(pure.secondsText), ["0 ms", "30 ms", "0.50 s", "4.1 s", "60.0 s", "2:40", "1:02:05"]);
  assert.deepEqual([7, 1500, 3e9].map(pure.sizeText), ["7 bytes", "1.5 kB", "3.0 GB"]);
  assert.deepEqual([0.123456789, 1200, "nan"].map(pure.numberText), ["0.123457", "1,200", "nan"]);
});

test("what is not drawn, or turns the direction, is shown as a mark; long texts are cut", () => {
  assert.equal(pure.plain("a\u202eb\u0000"), "a\ufffdb\ufffd");
  assert.equal(pure.plain("abcdef", 4), "abc…");
});

test("a search knows names, ids and parameters, and all words count", () => {
  const [, tasks] = pipeline();
  const found = (query) => tasks.filter(pure.matcher(query)).map((task) => task.n);
  assert.deepEqual(found("train"), [1, 2]);
  assert.deepEqual(found("p.model"), [1, 2, 3, 4]);
  assert.deepEqual(found("max_depth=2"), [2]);
  assert.deepEqual(found("MAX_DEPTH=2 score"), []);
  assert.deepEqual(found(tasks[3].id), [3]);
  assert.deepEqual(found(""), [0, 1, 2, 3, 4]);
});

test("filters and neighbors narrow the tasks", () => {
  const [, tasks] = pipeline();
  tasks[1].state = 1;
  tasks[0].state = 2;
  const shown = (view) => pure.shownTasks(tasks, { q: "", filter: "", near: null, ...view }).map((task) => task.n);
  assert.deepEqual(shown({ filter: "failed" }), [1]);
  assert.deepEqual(shown({ filter: "skipped" }), [0]);
  assert.deepEqual(shown({ near: 1 }), [0, 1, 3]);
  assert.deepEqual(shown({ near: 1, q: "score" }), [3]);
});

test("the first view is the finest level with at most 60 boxes", () => {
  const keys = (data, tasks) => pure.flatten(pure.boxes(data, tasks, pure.firstOpen(data, tasks), {})).map((box) => box.key);
  assert.deepEqual(keys(...pipeline()), ["t0", "m1", "c1", "t1", "t2", "c2", "t3", "t4"]);
  const many = made(["p.a", "p.b"], [[0, "A"], [1, "B"], [1, "C"]], [[0, []], ...Array.from({ length: 70 }, () => [1, [0]]), [2, [1]]]);
  assert.deepEqual(keys(...many), ["t0", "m1", "c1", "t71"]);
  const classes = Array.from({ length: 70 }, (_, n) => [n % 2, `C${n}`]);
  assert.deepEqual(keys(...made(["p.a", "p.b"], classes, classes.map((_, n) => [n, []]))), ["m0", "m1"]);
});

test("a large group opens to failed, pending and critical tasks, and the rest is one box", () => {
  const [data, tasks] = made(["p"], [[0, "A"]], Array.from({ length: 500 }, (_, n) => [0, [], { state: n % 10 === 3 ? 1 : 0 }]));
  const inside = (limits) => pure.boxes(data, tasks, new Set(["c0"]), limits)[0].children;
  assert.equal(inside({}).length, 51);
  assert.equal(inside({}).at(-1).label, "… 450 more");
  assert.ok(inside({}).slice(0, 50).every((box) => box.tasks[0].state === 1));
  assert.equal(inside({ c0: 250 }).at(-1).label, "… 250 more");
  assert.equal(inside({ c0: 900 }).length, 500);
});

test("no box covers another one, and groups hold what is in them", () => {
  const [data, tasks] = pipeline();
  const nodes = pure.boxes(data, tasks, pure.firstOpen(data, tasks), {});
  const { w, h } = pure.stack(nodes);
  const flat = pure.flatten(nodes);
  const leaves = flat.filter((box) => !box.children);
  const inside = (box, left, top, right, bottom) => box.x >= left && box.y >= top && box.x + box.w <= right && box.y + box.h <= bottom;
  for (const box of flat) {
    assert.ok(inside(box, 0, 0, w, h), box.key);
    if (box.parent) assert.ok(inside(box, box.parent.x, box.parent.y, box.parent.x + box.parent.w, box.parent.y + box.parent.h), box.key);
  }
  for (const a of leaves) {
    for (const b of leaves) {
      assert.ok(a === b || a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y, `${a.key} ${b.key}`);
    }
  }
  assert.deepEqual(pure.stack([]), { w: 0, h: 0 });
});

test("edges between boxes are merged and counted", () => {
  const [data, tasks] = pipeline();
  const edges = (open, path) => pure.edgesBetween(pure.flatten((pure.boxes(data, tasks, new Set(open), {}))), tasks, new Set(path))
    .map(([from, to, count, critical]) => [from.key, to.key, count, critical]);
  assert.deepEqual(edges([], ["0 2"]), [["t0", "m1", 2, true]]);
  assert.deepEqual(edges(["m1"], []), [["t0", "c1", 2, false], ["c1", "c2", 2, false]]);
});

test("arrows lead to the nearest box in their direction", () => {
  const at = (key, x, y) => ({ key, x, y, w: 10, h: 10 });
  const flat = [at("a", 0, 0), at("b", 50, 0), at("c", 50, 60), at("d", 0, 60)];
  const next = (key, direction) => pure.nextBox(flat, flat.find((box) => box.key === key), direction)?.key;
  assert.deepEqual([next("a", "ArrowRight"), next("a", "ArrowDown"), next("c", "ArrowLeft"), next("c", "ArrowUp"), next("a", "ArrowLeft")],
    ["b", "d", "d", "b", undefined]);
});

test("bars that would touch are one, and a failure among them is seen", () => {
  const bars = { start: [0, 1, 2, 5000, 5001], seconds: [1, 1, 1, 1, 1], failed: [0, 0, 0, 0, 1] };
  const spans = pure.mergedBars(bars, [0, 1, 2, 3, 4], new Set(), 0, 0.01);
  assert.deepEqual(spans.map(([x, , kind]) => [x, kind]), [[0, 0], [50, 0], [50.01, 2]]);
});

test("axes have round numbers within their range", () => {
  assert.deepEqual(pure.ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(pure.ticks(101, 199, 4), [150]);
  assert.ok(pure.ticks(0, 1e6, 8).length < 20);
});

test("a table is sorted by numbers, and what has none comes last", () => {
  const [, tasks] = pipeline();
  tasks[0].metrics = [["auc", 0.5]];
  tasks[3].metrics = [["auc", 0.9]];
  tasks[4].attempts = 0;
  const order = (column, descending) => pure.sorted(tasks, column, descending).map((task) => task.n);
  assert.deepEqual(order("=auc", false), [0, 3, 1, 2, 4]);
  assert.deepEqual(order("=auc", true), [3, 0, 1, 2, 4]);
  assert.deepEqual(order("seconds", true), [0, 1, 2, 3, 4]);
  assert.deepEqual(order("label", true).slice(0, 2), [2, 1]);
});

test("the address keeps what is chosen, and foreign addresses do no harm", () => {
  const view = { q: "a b=1 & c", filter: "failed", near: "aaaa", task: "bbbb", open: new Set(["m1", "c2"]), zoom: [1.5, -2, 0.75], theme: "dark", sort: "-seconds" };
  assert.deepEqual(pure.readHash(pure.writeHash(view)), view);
  const empty = { q: "", filter: "", near: null, task: null, open: null, zoom: null, theme: "", sort: "" };
  assert.equal(pure.writeHash(empty), "");
  for (const hash of ["", "#tasks", "#zoom=a,b,c&theme=pink&filter=constructor"]) assert.deepEqual({ ...pure.readHash(hash) }, empty);
  assert.deepEqual(pure.readHash(pure.writeHash({ ...empty, open: new Set() })).open, new Set());
});
