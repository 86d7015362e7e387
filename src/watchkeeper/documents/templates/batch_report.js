const q = document.getElementById("q");
const only = document.getElementById("only");
const found = document.getElementById("found");
const columns = [...document.querySelectorAll(".col")];
function filter() {
  const words = q.value.toLowerCase().split(/\s+/).filter(Boolean);
  let n = 0;
  for (const c of columns) {
    const shown = words.every((w) => c.dataset.k.includes(w)) && (!only.value || c.dataset.k.endsWith(only.value));
    c.hidden = !shown;
    n += shown;
  }
  found.textContent = n === columns.length ? "" : `${n.toLocaleString("en")} of ${columns.length.toLocaleString("en")}`;
}
q.addEventListener("input", filter);
only.addEventListener("change", filter);
filter();
