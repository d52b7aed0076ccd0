// The page: reads its data, draws its parts, and keeps what is chosen in the address.
const app = { data: null, tasks: [], shown: [], open: new Set(), view: readHash(location.hash), extras: null };

function keepHash() {
  clearTimeout(app.timer);
  app.timer = setTimeout(() => history.replaceState(null, "", writeHash(app.view) || location.pathname + location.search), 150);
}

const numberOf = (prefix) => app.tasks.find((task) => prefix && task.id.startsWith(prefix))?.n ?? null;

// Applies search and filters: to graph, timeline and table.
function narrow(first = false) {
  app.shown = shownTasks(app.tasks, { ...app.view, near: numberOf(app.view.near) });
  app.open = first && app.view.open ? app.view.open : firstOpen(app.data, app.shown);
  if (!first) app.view.open = app.view.zoom = null;
  table.rows = ROWS;
  for (const button of document.querySelectorAll("#filters button")) {
    button.setAttribute("aria-pressed", String((button.dataset.filter || "") === app.view.filter));
  }
  byId("clear").hidden = !(app.view.q || app.view.filter || app.view.near);
  drawGraph();
  drawTimeline();
  drawTable();
  const [few, all] = [app.shown, app.tasks].map((tasks) => tasks.length.toLocaleString("en"));
  const near = numberOf(app.view.near);
  const text = `${few} of ${all} tasks${near === null ? "" : `, near ${plain(app.tasks[near].label, 60)}`}`;
  byId("count").textContent = text;
  if (!first) say(text);
  keepHash();
}

function startTools() {
  byId("search").value = app.view.q;
  byId("search").addEventListener("input", (event) => {
    app.view.q = event.target.value;
    clearTimeout(app.typing);
    app.typing = setTimeout(narrow, app.tasks.length > 3000 ? 200 : 60);
  });
  for (const name of ["", ...Object.keys(FILTERS)]) {
    const count = name ? app.tasks.filter((task) => FILTERS[name].includes(task.state)).length : app.tasks.length;
    if (!count && name !== app.view.filter) continue;
    const choose = () => { app.view.filter = name; narrow(); };
    const title = `${name || "all"} ${count.toLocaleString("en")}`;
    byId("filters").append(element("button", { type: "button", "data-filter": name, onclick: choose }, title));
  }
  byId("clear").addEventListener("click", () => {
    Object.assign(app.view, { q: "", filter: "", near: null });
    byId("search").value = "";
    narrow();
    byId("search").focus();
  });
}

function startTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (app.view.theme ? app.view.theme === "dark" : system.matches);
  const apply = () => {
    if (app.view.theme) document.documentElement.dataset.theme = app.view.theme;
    byId("theme").textContent = dark() ? "Light" : "Dark";
    byId("theme").setAttribute("aria-label", `Switch to ${dark() ? "light" : "dark"} colors`);
    if (app.data) drawTimeline();
  };
  byId("theme").addEventListener("click", () => {
    app.view.theme = dark() ? "light" : "dark";
    apply();
    keepHash();
  });
  system.addEventListener("change", apply);
  apply();
}

// The scatter of a sweep: a metric over a parameter.
function startScatter() {
  const { keys, values, metrics } = app.data.sweep;
  const names = [...new Set(metrics.flatMap((row) => Object.keys(row)))];
  if (!byId("scatter") || !keys.length || !names.length) return;
  const option = (text, value) => element("option", { value }, plain(text, 60));
  const select = (label, texts) => element("select", { "aria-label": label, onchange: draw }, ...texts.map(option));
  const [x, y] = [select("parameter", keys.map((key) => key.split(".").slice(-2).join("."))), select("metric", names)];
  const place = element("div");
  function draw() {
    const column = values.map((row) => row[Number(x.value)] ?? "");
    const numeric = column.every((text) => text.trim() && Number.isFinite(Number(text)));
    const texts = [...new Set(column)];
    const name = names[Number(y.value)];
    const points = values.map((row, n) => [numeric ? Number(column[n]) : texts.indexOf(column[n]), metrics[n][name], row]);
    const finite = points.filter(([, value]) => Number.isFinite(value));
    const title = plain(`${name} by ${keys[Number(x.value)].split(".").at(-1)}`, 120);
    const hints = finite.map(([, value, row]) => plain(`${row.join(", ")}: ${numberText(value)}`, 200));
    place.replaceChildren(chart(finite, { title, xs: numeric ? null : texts, names: hints }));
  }
  byId("scatter").append(element("p", {}, y, " by ", x), place);
  draw();
}

async function start() {
  startTheme();
  if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot unpack the data");
  app.data = await unpacked("data");
  app.tasks = unpackTasks(app.data);
  document.querySelectorAll("[data-script=on]").forEach((node) => { node.hidden = false; });
  document.querySelectorAll("[data-script=off]").forEach((node) => node.remove()); // the script draws these itself
  byId("graph").hidden = !app.data.hasGraph;
  byId("timeline").hidden = !app.data.bars.task.length;
  for (const part of [startTools, startGraph, startTimeline, startTable, startScatter]) part();
  narrow(true);
  byId("panel-close").addEventListener("click", hidePanel);
  document.addEventListener("keydown", (event) => event.key === "Escape" && !byId("panel").hidden && hidePanel());
  window.addEventListener("resize", () => {
    if (app.data.hasGraph) fitGraph();
    drawTimeline();
  });
  window.addEventListener("hashchange", () => location.hash.includes("=") && location.reload());
  if (numberOf(app.view.task) !== null) await showTask(numberOf(app.view.task), null);
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => { byId("status").textContent = `The interactive parts are not there: ${error.message}. The others are complete.`; });
