// The table of all tasks: sortable, 200 rows drawn at a time.
const ROWS = 200;
const TEXTS = new Set(["label", "state", "reason"]);
const table = { column: "n", descending: false, rows: ROWS, columns: [] };

function startTable() {
  const counts = new Map();
  for (const task of app.tasks) for (const [name] of task.metrics) counts.set(name, (counts.get(name) || 0) + 1);
  const metrics = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 6).map(([name]) => name);
  table.columns = [
    ["n", "#", (task) => task.n + 1], ["label", "task", null], ["state", "state", (task) => `${MARKS[task.state]} ${STATES[task.state]}`],
    ["seconds", "time", (task) => (task.attempts ? secondsText(task.seconds) : "")],
    ["waited", "waited", (task) => (task.attempts ? secondsText(task.waited) : "")],
    ["cpu", "CPU", (task) => (task.attempts && task.cpu !== null ? secondsText(task.cpu) : "")],
    ["size", "size", (task) => (task.outputs.length ? sizeText(size(task)) : "")],
    ["reason", "why", (task) => plain(task.error || task.reason, 80)],
    ...metrics.map((name) => [`=${name}`, name, (task) => numberText(new Map(task.metrics).get(name) ?? "")]),
  ];
  byId("task-head").replaceChildren(...table.columns.map(([key, title]) =>
    element("th", { scope: "col", id: `head-${key}`, class: TEXTS.has(key) ? null : "n" }, element("button", { type: "button", onclick: () => sortBy(key) }, title))));
  const [key, sign] = [app.view.sort.replace("-", ""), app.view.sort.startsWith("-")];
  if (table.columns.some(([each]) => each === key)) [table.column, table.descending] = [key, sign];
  byId("more-rows").addEventListener("click", () => {
    table.rows += ROWS;
    const next = byId("task-rows").rows.length;
    drawTable();
    byId("task-rows").rows[next].querySelector("button").focus();
  });
}

function sortBy(key) {
  table.descending = table.column === key ? !table.descending : !(key === "n" || TEXTS.has(key));
  Object.assign(table, { column: key, rows: ROWS });
  app.view.sort = `${table.descending ? "-" : ""}${table.column}`;
  drawTable();
  say(`sorted by ${key.replace("=", "")}, ${table.descending ? "largest" : "smallest"} first`);
  keepHash();
}

function drawTable() {
  const tasks = sorted(app.shown, table.column, table.descending);
  const order = (key) => (key !== table.column ? "none" : table.descending ? "descending" : "ascending");
  for (const [key] of table.columns) byId(`head-${key}`).setAttribute("aria-sort", order(key));
  byId("task-rows").replaceChildren(...tasks.slice(0, table.rows).map(rowOf));
  const left = tasks.length - Math.min(table.rows, tasks.length);
  byId("more-rows").hidden = !left;
  byId("more-rows").textContent = `Show ${Math.min(ROWS, left)} more of ${left.toLocaleString("en")}`;
}

function rowOf(task) {
  const row = element("tr", { class: `s${task.state}${task.critical ? " critical" : ""}` });
  for (const [key, , text] of table.columns) {
    if (text === null) {
      const button = element("button", { type: "button", class: "link", onclick: () => showTask(task.n, button) }, plain(task.label, 60));
      row.append(element("th", { scope: "row" }, button));
    } else row.append(element("td", { class: TEXTS.has(key) ? null : "n" }, String(text(task))));
  }
  return row;
}
