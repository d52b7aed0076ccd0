// The panel: all that is known about one task.
const panel = { opener: null };

async function showTask(n, opener) {
  const task = app.tasks[n];
  panel.opener = opener;
  app.view.task = task.id.slice(0, 12);
  keepHash();
  app.extras ??= unpacked("extras");
  const extras = await app.extras;
  byId("panel-title").textContent = plain(task.label, 300);
  byId("panel-body").replaceChildren(...parts(task, extras).filter(Boolean));
  byId("panel").hidden = false;
  byId("panel-title").focus();
}

function hidePanel() {
  byId("panel").hidden = true;
  app.view.task = null;
  keepHash();
  (panel.opener?.isConnected ? panel.opener : byId("search")).focus();
}

function parts(task, extras) {
  const own = (name) => extras[name][task.n];
  return [
    element("p", { class: `result k${task.state}` }, `${MARKS[task.state]} ${STATES[task.state]}${task.critical ? ", on the critical path" : ""}`),
    task.error && element("p", { class: "error" }, plain(task.error)),
    task.attempts ? null : element("p", {}, task.run ? `It did not run; what follows is from run ${plain(task.run)}.` : "It did not run, and no earlier run of it is recorded."),
    facts(task), section("Parameters", parameters(task, own("nearest"))),
    section("Metrics", task.metrics.length && pairs(task.metrics.map(([name, value]) => [name, numberText(value)]))),
    ...Object.entries(own("series") || {}).map(([name, points]) => chart(points.map(([x, y]) => [x, Number(y)]), { title: plain(name), line: true })),
    section("Trace", own("traces") && element("pre", { tabindex: 0 }, plain(own("traces")))),
    ...task.outputs.map((output, place) => outputOf(output, (own("previews") || []).find(([at]) => at === place))),
    section("Log", own("logs") && element("pre", { tabindex: 0 }, plain(own("logs")))), section("Upstream", links(task.requires)),
    section("Downstream", links(app.tasks.filter((each) => each.requires.includes(task.n)).map((each) => each.n))),
    element("p", {}, element("button", { type: "button", onclick: () => onlyNear(task) }, "Only this task and its neighbors")),
  ];
}

const section = (title, content) => (content ? element("section", {}, element("h3", {}, title), content) : null);

const pairs = (rows) =>
  element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", {}, plain(name)), element("dd", {}, plain(value))]));

function facts(task) {
  const rows = [["module", `${app.data.modules[task.module]}.${task.name}`], ["id", task.id], ["why", task.attempts && task.reason]];
  if (task.started) {
    rows.push(["started", task.started.replace("T", " ").replace("+00:00", " UTC")], ["took", secondsText(task.seconds)],
      ["waited", secondsText(task.waited)], ["CPU", task.cpu !== null && secondsText(task.cpu)],
      ["memory", task.peak && `${task.peak.toFixed(0)} MB at most`], ["worker", task.worker],
      ["attempts", task.attempts > 1 && task.attempts], ["seed", task.seed], ["code", task.code]);
  }
  return pairs(rows.filter(([, value]) => value !== false && value !== null && value !== "" && value !== 0));
}

function parameters(task, nearest) {
  const changed = new Map((nearest ? nearest.differs : []).map(([name, before]) => [name, before]));
  const rows = task.params.map(([name, value]) => [name, changed.has(name) ? `${changed.get(name)} → ${value}` : value]);
  const note = nearest && (nearest.differs.length ? `Compared with ${nearest.id.slice(0, 8)} of run ${nearest.run}, the nearest earlier one`
    : `As in run ${nearest.run}${nearest.id === task.id ? "" : `, upstream of it differs (${nearest.id.slice(0, 8)})`}`);
  if (!rows.length && !note) return null;
  return element("div", {}, rows.length ? pairs(rows) : "", note ? element("p", { class: "sub" }, plain(note)) : "");
}

function links(numbers) {
  if (!numbers.length) return null;
  const link = (n) => element("button", { type: "button", class: "link", onclick: () => showTask(n, panel.opener) },
    `${MARKS[app.tasks[n].state]} ${plain(app.tasks[n].label, 80)}`);
  const rest = numbers.length > 50 ? [`… ${numbers.length - 50} more`] : [];
  return element("ul", {}, ...[...numbers.slice(0, 50).map(link), ...rest].map((item) => element("li", {}, item)));
}

function outputOf(output, preview) {
  const note = [sizeText(output.size), output.checksum].filter(Boolean).join(", ");
  return element("section", {}, element("h3", {}, "Output"), element("p", { class: "url" }, plain(output.url)),
    element("p", { class: "sub" }, note), preview ? previewOf(preview) : "");
}

function previewOf([, kind, content, remark]) {
  if (kind === "image") return element("img", { alt: "Preview", src: `data:${remark};base64,${byId(content).textContent}` });
  const note = remark && kind !== "note" ? element("p", { class: "sub" }, plain(remark)) : "";
  if (kind === "note") return element("p", { class: "sub" }, plain(content));
  if (kind === "text") return element("div", {}, note, element("pre", { tabindex: 0 }, plain(content)));
  const [names, rows] = content;
  const cells = (tag, row) => row.map((cell) => element(tag, tag === "th" ? { scope: "col" } : {}, plain(cell)));
  return element("div", {}, note, element("div", { class: "scroll", tabindex: 0 }, element("table", {},
    element("thead", {}, element("tr", {}, ...cells("th", names))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells("td", row)))))));
}

function onlyNear(task) {
  byId("panel").hidden = true;
  app.view.near = task.id.slice(0, 12);
  narrow();
  byId("search").focus();
}
