// The graph: boxes for modules, classes and tasks, opened in place.
const graph = { flat: [], path: new Set(), size: { w: 1, h: 1 }, focus: null, limits: {}, pointers: new Map() };

function drawGraph() {
  if (!app.data.hasGraph) return;
  const nodes = boxes(app.data, app.shown, app.open, graph.limits);
  graph.size = stack(nodes);
  graph.flat = flatten(nodes);
  const edges = edgesBetween(graph.flat, app.shown, graph.path);
  const [groups, others] = [graph.flat.filter((node) => node.children), graph.flat.filter((node) => !node.children)];
  const layer = drawn("g", { id: "graph-layer" }, ...groups.map(boxOf), ...edges.map(lineOf), ...others.map(boxOf));
  const hadFocus = byId("graph-svg").contains(document.activeElement);
  byId("graph-svg").replaceChildren(layer);
  fitGraph();
  const current = graph.flat.find((node) => node.key === graph.focus) || graph.flat[0];
  if (current) roving(current, hadFocus);
}

function described(node) {
  const seconds = timeOf(node.tasks);
  if (node.kind === "task") return `${STATES[node.tasks[0].state]}${node.tasks[0].attempts ? `, ${secondsText(seconds)}` : ""}`;
  const states = marksOf(node.tasks).map(([state, count]) => `${count} ${STATES[state]}`).join(", ");
  return `${node.kind} of ${node.tasks.length} tasks: ${states}, ${secondsText(seconds)}`;
}

function boxOf(node) {
  const { kind, children, tasks, label } = node;
  const marks = [children ? "group" : kind, tasks.some((task) => task.state === 1) && "failed", kind === "task" && tasks[0].critical && "critical"];
  const props = {
    class: `box ${marks.filter(Boolean).join(" ")}`, id: `box-${node.key}`, role: "button", tabindex: -1,
    "aria-label": `${plain(label, 200)}: ${described(node)}`,
    "aria-expanded": kind === "task" || kind === "more" ? null : String(Boolean(children)),
    onclick: () => activate(node), onfocus: () => roving(node, false), };
  const group = drawn("g", props, drawn("title", {}, `${plain(label, 1000)}\n${described(node)}`),
    drawn("rect", { x: node.x, y: node.y, width: node.w, height: node.h, rx: 6 }),
    drawn("text", { x: node.x + 10, y: node.y + 18 }, children ? `▾ ${plain(label, Math.max(12, Math.floor(node.w / 8)))}` : plain(label, 34)));
  if (children) return group;
  group.append(drawn("text", { x: node.x + 10, y: node.y + 33, class: "sub" }, subtitle(node)));
  let x = node.x + 6;
  for (const [state, count] of marksOf(node.tasks)) {
    const width = ((node.w - 12) * count) / node.tasks.length;
    group.append(drawn("rect", { class: `state s${state}`, x, y: node.y + node.h - 6, width, height: 4 }));
    x += width;
  }
  return group;
}

function lineOf([from, to, count, critical]) {
  const [x, y, toX, toY] = [from.x + from.w, from.y + from.h / 2, to.x, to.y + to.h / 2];
  const bend = Math.max(24, Math.abs(toX - x) / 2);
  return drawn("path", { class: `edge${critical ? " critical" : ""}`, "stroke-width": Math.min(1 + Math.log2(count), 7).toFixed(1),
    d: `M${x.toFixed(1)} ${y.toFixed(1)}C${(x + bend).toFixed(1)} ${y.toFixed(1)} ${(toX - bend).toFixed(1)} ${toY.toFixed(1)} ${toX.toFixed(1)} ${toY.toFixed(1)}` });
}

// Opens or closes a group, draws more of it, or shows a task.
function activate(node) {
  graph.focus = node.key;
  if (node.kind === "task") return showTask(node.tasks[0].n, byId(`box-${node.key}`));
  if (node.kind === "more") {
    const key = node.key.replace("r", "c");
    graph.limits[key] = graph.flat.filter((each) => each.parent && each.parent.key === key).length - 1 + MOST_IN_GROUP;
  } else if (app.open.has(node.key)) app.open.delete(node.key);
  else app.open.add(node.key);
  app.view.open = app.open;
  drawGraph();
  say(`${plain(node.label, 100)} ${app.open.has(node.key) ? "opened" : node.kind === "more" ? "extended" : "closed"}`);
  keepHash();
}

// One box at a time takes part in the order of Tab; arrow keys go to the others.
function roving(node, moves) {
  byId(`box-${graph.focus}`)?.setAttribute("tabindex", -1);
  graph.focus = node.key;
  byId(`box-${node.key}`).setAttribute("tabindex", 0);
  if (!moves) return;
  byId(`box-${node.key}`).focus({ preventScroll: true });
  reveal(node);
}

function reveal(node) {
  const { width, height } = byId("graph-svg").getBoundingClientRect();
  const [x, y, k] = app.view.zoom || graph.fit;
  const shift = (low, size, most) => (low < 8 ? 8 - low : low + size > most - 8 ? Math.max(most - 8 - low - size, 8 - low) : 0);
  const dx = shift(node.x * k + x, node.w * k, width);
  const dy = shift(node.y * k + y, (node.children ? HEAD : node.h) * k, height);
  if (app.view.zoom) app.view.zoom = [x + dx, y + dy, k];
  else graph.fit = [x + dx, y + dy, k];
  applyZoom();
}

function fitGraph() {
  const svg = byId("graph-svg");
  const { width } = svg.getBoundingClientRect();
  const least = width < 600 ? 0.6 : 0; // on a phone, a part that can be read rather than a whole that cannot
  const k = Math.max(Math.min((width - 24) / graph.size.w, 1), least);
  const tall = Math.min(Math.max(graph.size.h * k + 24, 120), Math.max(window.innerHeight * 0.7, 240));
  svg.setAttribute("height", tall);
  const fit = Math.max(Math.min(k, (tall - 24) / graph.size.h), least);
  graph.fit = [least ? 12 : (width - graph.size.w * fit) / 2, (tall - graph.size.h * fit) / 2, fit];
  applyZoom();
}

function applyZoom() {
  const [x, y, k] = app.view.zoom || graph.fit;
  byId("graph-layer").setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${k.toFixed(4)})`);
}

// Shows the graph moved by x and y, and k times as large; without them, the whole of it.
function setZoom(...zoom) {
  app.view.zoom = zoom.length ? zoom : null;
  fitGraph();
  keepHash();
}

function zoomBy(factor, atX = null, atY = null) {
  const { width, height } = byId("graph-svg").getBoundingClientRect();
  const [px, py] = [atX ?? width / 2, atY ?? height / 2];
  const [x, y, k] = app.view.zoom || graph.fit;
  const next = Math.min(Math.max(k * factor, 0.02), 4);
  setZoom(px - ((px - x) * next) / k, py - ((py - y) * next) / k, next);
}

function onGraphKey(event) {
  const node = graph.flat.find((each) => each.key === graph.focus);
  const [x, y, k] = app.view.zoom || graph.fit;
  const pan = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
  const group = node && (node.children ? node : node.parent);
  const next = pan && node && nextBox(graph.flat, node, event.key);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (pan && event.shiftKey) setZoom(x + pan[0], y + pan[1], k);
  else if (next) roving(next, true);
  else if (["Enter", " "].includes(event.key) && node) activate(node);
  else if (event.key === "Escape" && group) activate(group);
  else if (["+", "="].includes(event.key)) zoomBy(1.25);
  else if (event.key === "-") zoomBy(0.8);
  else if (event.key === "0") setZoom();
  else return;
  event.preventDefault();
}

// Drags with one pointer, pinches with two.
function onPointer(event) {
  const svg = byId("graph-svg");
  const points = graph.pointers;
  if (event.type === "pointerdown") points.set(event.pointerId, [event.clientX, event.clientY]);
  else if (event.type !== "pointermove") points.delete(event.pointerId);
  else if (points.has(event.pointerId)) {
    const before = points.get(event.pointerId);
    const other = [...points].find(([id]) => id !== event.pointerId);
    const now = [event.clientX, event.clientY];
    if (other) {
      const far = (point) => Math.hypot(point[0] - other[1][0], point[1] - other[1][1]) || 1;
      const frame = svg.getBoundingClientRect();
      zoomBy(far(now) / far(before), (now[0] + other[1][0]) / 2 - frame.left, (now[1] + other[1][1]) / 2 - frame.top);
    } else if (Math.hypot(now[0] - before[0], now[1] - before[1]) > (svg.hasPointerCapture(event.pointerId) ? 0 : 4)) {
      svg.setPointerCapture(event.pointerId);
      const [x, y, k] = app.view.zoom || graph.fit;
      setZoom(x + now[0] - before[0], y + now[1] - before[1], k);
    } else return;
    points.set(event.pointerId, now);
  }
}

function startGraph() {
  const path = app.data.path.map((bar) => app.data.bars.task[bar]);
  graph.path = new Set(path.slice(1).map((n, place) => `${path[place]} ${n}`));
  const svg = byId("graph-svg");
  svg.addEventListener("keydown", onGraphKey);
  for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) svg.addEventListener(type, onPointer);
  onWheel(svg, zoomBy);
  const buttons = {
    "zoom-in": () => zoomBy(1.25), "zoom-out": () => zoomBy(0.8), "zoom-fit": () => setZoom(),
    "level-modules": () => setLevel(() => []), "level-classes": () => setLevel((task) => [`m${task.module}`]),
    "level-tasks": () => setLevel((task) => [`m${task.module}`, `c${task.cls}`]), };
  for (const [id, action] of Object.entries(buttons)) byId(id).addEventListener("click", action);
}

function setLevel(groups) {
  app.open = app.view.open = new Set(app.shown.flatMap(groups));
  app.view.zoom = null;
  drawGraph();
  say(`${graph.flat.length} boxes`);
  keepHash();
}
