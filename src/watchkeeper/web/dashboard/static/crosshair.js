// The crosshair of a chart: one line through the window under the pointer, and all that is known of it in words.
// By keyboard the plot is a slider over its windows; a screen reader is given the same words.
export function crosshair(plot, drawing, view, { labels, windows, texts }) {
  if (!windows.length) return;
  const line = document.createElement("div"), box = document.createElement("div");
  line.className = "cross";
  box.className = "readout";
  for (const part of [line, box]) { part.hidden = true; part.setAttribute("aria-hidden", "true"); }
  plot.append(line, box);
  plot.tabIndex = 0;
  plot.setAttribute("role", "slider");
  plot.setAttribute("aria-orientation", "horizontal");
  plot.setAttribute("aria-valuemin", 0);
  plot.setAttribute("aria-valuemax", windows.length - 1);
  let at = windows.length - 1;
  const lines = (i) => labels.map((label, k) => [label, texts[k][i]]).filter(([, text]) => text);
  const spoken = (i) => `${windows[i][2]}: ${lines(i).map(([label, text]) => `${label} ${text}`).join(", ")}`;
  const name = (i) => { plot.setAttribute("aria-valuenow", i); plot.setAttribute("aria-valuetext", spoken(i)); };

  function show(i) {
    at = Math.max(0, Math.min(windows.length - 1, i));
    const [start, end, when] = windows[at], [left, top] = view.origin(), scale = view.scale("x");
    const middle = (scale(Math.max(start, +scale.domain()[0])) + scale(Math.min(end, +scale.domain().at(-1)))) / 2;
    const x = drawing.offsetLeft + left + Math.max(0, Math.min(view.width(), middle));
    line.style.transform = `translateX(${x}px)`;
    line.style.top = `${drawing.offsetTop + top}px`;
    line.style.height = `${view.height()}px`;
    const title = document.createElement("b"), list = document.createElement("dl");
    title.textContent = when;
    for (const [label, text] of lines(at)) {
      const key = document.createElement("dt"), value = document.createElement("dd");
      key.textContent = label;
      value.textContent = text;
      list.append(key, value);
    }
    box.replaceChildren(title, list);
    line.hidden = box.hidden = false;
    // Beside the line, on the side that has room, and never out of the plot.
    const room = plot.clientWidth, wide = box.offsetWidth;
    box.style.transform = `translateX(${Math.max(0, Math.min(room - wide, x > room / 2 ? x - wide - 12 : x + 12))}px)`;
    name(at);
  }
  const hide = () => { line.hidden = box.hidden = true; };

  // The window that holds a moment, or the one that ended last before it.
  function nearest(t) {
    let low = 0, high = windows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (windows[middle][0] <= t) low = middle; else high = middle - 1;
    }
    return low;
  }
  plot.addEventListener("pointermove", (e) => {
    const x = e.clientX - drawing.getBoundingClientRect().left - view.origin()[0];
    if (x < -2 || x > view.width() + 2) { hide(); return; }
    show(nearest(+view.scale("x").invert(x)));
  });
  plot.addEventListener("pointerleave", () => { if (document.activeElement !== plot) hide(); });
  plot.addEventListener("focus", () => { if (plot.matches(":focus-visible")) show(at); });
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (e) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageUp: -7, PageDown: 7 }[e.key];
    if (step) show(at + step);
    else if (e.key === "Home") show(0);
    else if (e.key === "End") show(windows.length - 1);
    else if (e.key === "Escape") hide();
    else return;
    e.preventDefault();
  });
  name(at);
}
