const q = document.getElementById("q");
const columns = [...document.querySelectorAll(".col")];
q.addEventListener("input", () => {
  const words = q.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const c of columns) c.hidden = !words.every((w) => c.dataset.k.includes(w));
});
