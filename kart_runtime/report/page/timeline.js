// The timeline: a lane for each worker, drawn on a canvas.
const LANE = 20;
const time = { from: 0, to: 1, lanes: [], spans: [] };

function startTimeline() {
  const { bars, lanes } = app.data;
  time.to = Math.max(app.data.seconds * 1000, 1);
  time.lanes = lanes.map(() => []);
  bars.task.forEach((_, bar) => time.lanes[bars.lane[bar]].push(bar));
  const canvas = byId("timeline-canvas");
  canvas.addEventListener("click", (event) => {
    const bar = barAt(event);
    if (bar !== null) showTask(bars.task[bar], canvas);
  });
  canvas.addEventListener("pointermove", (event) => {
    const bar = barAt(event);
    canvas.title = bar === null ? "" : `${plain(app.tasks[bars.task[bar]].label, 100)}\n${secondsText(bars.seconds[bar] / 1000)}, `
      + `waited ${secondsText(bars.waited[bar] / 1000)}, ${plain(lanes[bars.lane[bar]], 60)}`;
  });
  onWheel(canvas, (factor, x) => zoomTime(1 / factor, x / canvas.clientWidth));
  canvas.addEventListener("keydown", (event) => {
    const step = (time.to - time.from) / 8;
    const keys = { "+": [0.8], "=": [0.8], "-": [1.25], 0: [1e9], ArrowLeft: [1, -step], ArrowRight: [1, step] };
    if (!keys[event.key]) return;
    zoomTime(keys[event.key][0], 0.5, keys[event.key][1]);
    event.preventDefault();
  });
}

// Shows other times: `factor` times as many, around the part `at` of what is shown, and `shift` later.
function zoomTime(factor, at, shift = 0) {
  const most = Math.max(app.data.seconds * 1000, 1);
  const span = Math.min(Math.max((time.to - time.from) * factor, 1), most);
  const from = time.from + at * (time.to - time.from - span) + shift;
  time.from = Math.min(Math.max(from, 0), most - span);
  time.to = time.from + span;
  drawTimeline();
}

function barAt(event) {
  const lane = Math.floor(event.offsetY / LANE);
  return (time.spans[lane] || []).find(([x, width]) => event.offsetX >= x - 1 && event.offsetX <= x + width + 1)?.[3] ?? null;
}

function drawTimeline() {
  const { bars } = app.data;
  if (!bars.task.length) return;
  const canvas = byId("timeline-canvas");
  const width = canvas.parentElement.clientWidth;
  const height = time.lanes.length * LANE + 24;
  const ratio = Math.min(window.devicePixelRatio || 1, 16000 / height);
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const perMs = width / (time.to - time.from);
  drawAxis(pen, width, height, perMs);
  const critical = new Set(app.data.path);
  const shown = app.shown.length === app.tasks.length ? null : new Set(app.shown.map((task) => task.n));
  time.spans = time.lanes.map((numbers, lane) => drawLane(pen, lane, numbers, critical, shown, width, perMs));
}

function drawAxis(pen, width, height, perMs) {
  pen.font = "11px system-ui, sans-serif";
  const [grid, muted] = [color("grid"), color("muted")];
  for (const at of ticks(time.from / 1000, time.to / 1000, Math.floor(width / 90))) {
    const x = (at * 1000 - time.from) * perMs;
    pen.fillStyle = grid;
    pen.fillRect(Math.round(x), 0, 1, height - 16);
    pen.fillStyle = muted;
    pen.textAlign = x > width - 40 ? "right" : x < 20 ? "left" : "center";
    pen.fillText(at ? secondsText(at).replace(".0 s", " s") : "0", x, height - 4);
  }
}

function drawLane(pen, lane, numbers, critical, shown, width, perMs) {
  const { bars } = app.data;
  const y = lane * LANE + 3;
  pen.fillStyle = color("waiting");
  const drawnBars = shown ? numbers.filter((bar) => shown.has(bars.task[bar])) : numbers;
  let free = -Infinity;
  for (const bar of drawnBars) {
    const start = (bars.start[bar] - time.from) * perMs;
    const from = Math.max(start - bars.waited[bar] * perMs, free);
    if (start - from > 1 && start > 0 && from < width) pen.fillRect(from, y + 5, start - from, 4);
    free = start + bars.seconds[bar] * perMs;
  }
  const spans = mergedBars(bars, drawnBars, critical, time.from, perMs).filter(([x, wide]) => x + wide >= 0 && x <= width);
  const [failed, ran] = [color("failed"), color("ran")];
  Object.assign(pen, { strokeStyle: color("text"), lineWidth: 2 });
  for (const [x, wide, kind] of spans) {
    pen.fillStyle = kind === 2 ? failed : ran;
    pen.fillRect(x, y, Math.max(wide - (wide > 4 ? 1 : 0), 1), LANE - 6);
    if (kind !== 0 && wide > 3) pen.strokeRect(x + 1, y + 1, Math.max(wide - 3, 1), LANE - 8);
  }
  return spans;
}
