// Elements, charts, and the data blocks of the page.
const byId = (id) => document.getElementById(id);

// Create an element; `props` are attributes, or a listener for a key that begins with "on".
const element = (tag, props = {}, ...children) => filled(document.createElement(tag), props, children);
const drawn = (tag, props = {}, ...children) => filled(document.createElementNS(byId("svg-namespace").namespaceURI, tag), props, children);
const say = (text) => { byId("live").textContent = text; };
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function filled(node, props, children) {
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// Zoom by the wheel once an element has the focus: before, it scrolls the page past it.
function onWheel(node, zoom) {
  node.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !node.contains(document.activeElement)) return;
    event.preventDefault();
    const frame = node.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 400), event.clientX - frame.left, event.clientY - frame.top);
  }, { passive: false });
}

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Draws points as a chart: joined by a line, or as dots with names.
function chart(points, { title, line = false, names = null, xs = null }) {
  const [width, height] = [line ? 300 : 460, line ? 90 : 240];
  const finite = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  if (!finite.length) return element("p", {}, `${title}: no finite numbers`);
  const [toX, toY] = [scale(finite.map(([x]) => x), 50, width - 14), scale(finite.map(([, y]) => y), height - 26, 12)];
  const label = (x, y, text, anchor) => drawn("text", { x, y, class: "sub", "text-anchor": anchor }, text);
  const ends = (values) => [Math.min(...values), Math.max(...values)];
  const [low, high] = ends(finite.map(([, y]) => y));
  const svg = drawn("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title },
    drawn("path", { class: "axis", d: `M50 8V${height - 22}H${width - 8}` }),
    label(46, 16, plain(numberText(high), 9), "end"), high > low ? label(46, height - 24, plain(numberText(low), 9), "end") : null);
  if (xs) xs.forEach((text, place) => svg.append(label(toX(place), height - 8, plain(text, 12), "middle")));
  else for (const x of new Set(ends(finite.map(([each]) => each)))) svg.append(label(toX(x), height - 8, numberText(x), "middle"));
  if (line) svg.append(drawn("path", { class: "line", d: finite.map(([x, y], n) => `${n ? "L" : "M"}${toX(x).toFixed(1)} ${toY(y).toFixed(1)}`).join("") }));
  const dot = ([x, y], n) => drawn("circle", { class: "dot", cx: toX(x), cy: toY(y), r: 4.5 }, drawn("title", {}, names ? names[n] : numberText(y)));
  if (!line || finite.length === 1) svg.append(...finite.map(dot));
  return element("figure", {}, element("figcaption", {}, title), svg);
}
