import { crosshair } from "./crosshair.js";

// Charts are drawn when they come into view. The library is our server's own copy; expressions are interpreted,
// never compiled, so that the content-security policy can forbid eval.
const page = document.documentElement;
let library = null;
const drawn = new Map();

function load() {
  library ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = page.dataset.library;
    script.type = "module";
    script.onload = () => done(window.vegaEmbed);
    script.onerror = () => failed(new Error("The chart library could not be loaded."));
    document.head.append(script);
  });
  return library;
}
function theme() {
  return page.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}
async function draw(figure) {
  const plot = figure.querySelector(".plot");
  const address = `${figure.dataset.chart}.vega?${figure.dataset.query}&theme=${theme()}`;
  if (figure.dataset.drawn === address) return;
  figure.dataset.drawn = address;
  try {
    const [answer, embed] = await Promise.all([fetch(address), load()]);
    const given = await answer.json();
    if (!answer.ok) throw new Error(given.what);
    drawn.get(figure)?.finalize();
    plot.classList.remove("trouble");
    // The plot itself says in words what it shows; the drawing inside is for the eye alone.
    const drawing = document.createElement("div");
    drawing.setAttribute("aria-hidden", "true");
    plot.replaceChildren(drawing);
    const result = await embed(drawing, given.spec, {
      ast: true, actions: false, renderer: "svg", defaultStyle: false, mode: "vega-lite",
      tooltip: given.readout ? false : { disableDefaultStyle: true }, logLevel: 1,
    });
    drawn.set(figure, result);
    legend(figure, given.legend || []);
    if (given.readout) crosshair(plot, drawing, result.view, given.readout);
    if ("brush" in figure.dataset) brush(result.view);
    pick(result.view, figure);
    figure.dataset.ready = "1";
  } catch (problem) {
    plot.classList.add("trouble");
    plot.textContent = problem.message;
    figure.dataset.ready = "1";
  }
}
// Drawing a span on a chart makes it the page's period; the URL holds it.
function brush(view) {
  let span = null;
  try { view.addSignalListener("brush", (_, value) => { span = Object.values(value)[0] || null; }); } catch { return; }
  addEventListener("pointerup", () => {
    if (!span || span[1] - span[0] < 3600e3) return;
    const url = new URL(location.href), iso = (t) => new Date(t).toISOString().slice(0, 16) + "Z";
    url.searchParams.delete("period");
    url.searchParams.set("start", iso(span[0]));
    url.searchParams.set("end", iso(span[1]));
    span = null;
    location.href = url;
  });
}
// A mark leads to what it is about, a cell of the map to its column.
function pick(view, figure) {
  view.addEventListener("click", (_, item) => {
    const { link, name } = item?.datum || {};
    if (link) location.href = (page.dataset.root || "") + link;
    else if (name && figure.classList.contains("map")) location.href = `${figure.dataset.chart.replace(/\/charts\/.*/, "")}/columns/${encodeURIComponent(name)}${location.search}`;
  });
}
// What each line, band and mark is, in the colours of the chart.
function legend(figure, entries) {
  figure.querySelector(".legend")?.remove();
  if (!entries.length) return;
  const list = document.createElement("ul");
  list.className = "legend";
  for (const [style, words] of entries) {
    const entry = document.createElement("li"), sign = document.createElement("i");
    sign.className = `k-${style}`;
    sign.setAttribute("aria-hidden", "true");
    entry.append(sign, words);
    list.append(entry);
  }
  figure.querySelector(".plot").before(list);
}
const seen = new IntersectionObserver((entries) => {
  for (const e of entries) if (e.isIntersecting) { seen.unobserve(e.target); draw(e.target); }
}, { rootMargin: "200px" });

export function drawCharts() {
  for (const figure of document.querySelectorAll("figure[data-chart]:not([data-seen])")) {
    figure.dataset.seen = "1";
    seen.observe(figure);
  }
}
export function redrawCharts() {
  for (const figure of document.querySelectorAll("figure[data-drawn]")) draw(figure);
}
export function drawAll() {
  for (const figure of document.querySelectorAll("figure[data-chart]")) draw(figure);
}
