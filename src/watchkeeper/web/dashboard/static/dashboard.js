// What every page does: theme, search, live updates. Pages work without it, except for their charts.
import { drawAll, drawCharts, redrawCharts } from "./charts.js";

const page = document.documentElement;
export const root = page.dataset.root;

// ---- theme ------------------------------------------------------------------------------------------

const dark = matchMedia("(prefers-color-scheme: dark)");
const themeSwitch = document.querySelector("[data-theme-switch]");
if (themeSwitch) {
  themeSwitch.hidden = false;
  themeSwitch.addEventListener("click", () => {
    const now = page.dataset.theme || (dark.matches ? "dark" : "light");
    page.dataset.theme = now === "dark" ? "light" : "dark";
    const secure = location.protocol === "https:" ? ";Secure" : "";
    document.cookie = `wk_theme=${page.dataset.theme};Path=${root || "/"};Max-Age=31536000;SameSite=Lax${secure}`;
    redrawCharts();
  });
}
dark.addEventListener("change", () => redrawCharts());

// ---- search -----------------------------------------------------------------------------------------

const dialog = document.getElementById("search");
if (dialog) {
  const input = dialog.querySelector("input");
  const list = dialog.querySelector("ul");
  const button = document.querySelector("[data-search]");
  let found = [], chosen = 0, asked = 0, timer = 0;

  const open = () => { if (!dialog.open) { dialog.showModal(); input.select(); } };
  const choose = (n) => {
    chosen = Math.max(0, Math.min(found.length - 1, n));
    [...list.children].forEach((li, i) => li.setAttribute("aria-selected", i === chosen));
    const li = list.children[chosen];
    if (li && found.length) { input.setAttribute("aria-activedescendant", li.id); li.scrollIntoView({ block: "nearest" }); }
    else input.removeAttribute("aria-activedescendant");
  };
  const go = () => { if (found[chosen]) location.href = root + found[chosen].path; };
  const show = () => {
    list.replaceChildren(...found.map((f, i) => {
      const li = document.createElement("li");
      li.id = `found-${i}`; li.setAttribute("role", "option");
      const kind = document.createElement("span"), title = document.createElement("b"), note = document.createElement("span");
      kind.textContent = f.kind; title.textContent = f.title; note.textContent = f.note;
      li.append(kind, title, note);
      li.addEventListener("mousemove", () => choose(i));
      li.addEventListener("click", go);
      return li;
    }));
    input.setAttribute("aria-expanded", found.length > 0);
    dialog.querySelector(".hint").textContent = input.value.trim() && !found.length
      ? "Nothing has these letters in its name." : "Up and down to choose, Enter to open, Escape to close.";
    choose(0);
  };
  const ask = async () => {
    const mine = ++asked;
    const answer = await fetch(`${root}/search?q=${encodeURIComponent(input.value)}`);
    if (mine !== asked || !answer.ok) return;
    found = (await answer.json()).found; show();
  };
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, 90); });
  input.addEventListener("keydown", (e) => {
    if (e.key === "ArrowDown") { e.preventDefault(); choose(chosen + 1); }
    else if (e.key === "ArrowUp") { e.preventDefault(); choose(chosen - 1); }
    else if (e.key === "Enter") { e.preventDefault(); go(); }
  });
  button.hidden = false;
  button.addEventListener("click", open);
  document.addEventListener("keydown", (e) => {
    const typing = e.target.closest("input, textarea, select, [contenteditable]");
    if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey && !e.altKey) { e.preventDefault(); open(); }
  });
  dialog.addEventListener("click", (e) => { if (e.target === dialog) dialog.close(); });
}

// ---- live updates -----------------------------------------------------------------------------------
// Parts marked data-live are replaced when the ledger has grown. A hidden tab listens to nothing.

let source = null, stamp = Number(page.dataset.stamp), busy = false;

async function refresh(newest) {
  if (busy) return;
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    stamp = newest;
    let changed = false;
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (!other || other.innerHTML === part.innerHTML || part.contains(document.activeElement)) continue;
      part.innerHTML = other.innerHTML; changed = true;
    }
    if (changed) { say(`Updated ${new Date().toISOString().slice(11, 16)}.`); drawCharts(); }
  } finally { busy = false; }
}
function say(words) { const at = document.getElementById("live"); if (at) at.textContent = words; }
function listen() {
  if (source || document.hidden || !document.querySelector("[data-live]")) return;
  source = new EventSource(`${root}/live`);
  source.addEventListener("changed", (e) => { const n = Number(e.data); if (n > stamp) refresh(n); });
}
function pause() { if (source) { source.close(); source = null; } }
document.addEventListener("visibilitychange", () => (document.hidden ? pause() : listen()));
addEventListener("pagehide", pause);
addEventListener("pageshow", listen);
listen();

// ---- small comforts ---------------------------------------------------------------------------------

document.addEventListener("click", (e) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(e.target)) menu.open = false;
});
document.addEventListener("keydown", (e) => {
  if (e.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
});
// Empty fields have no place in the URL.
document.addEventListener("submit", (e) => {
  if (e.target.method !== "get") return;
  for (const field of e.target.elements) if (field.name && !field.value) field.disabled = true;
});
addEventListener("pageshow", () => { for (const f of document.querySelectorAll("form :disabled[name]")) f.disabled = false; });
// Days of one's own are asked for where they were chosen.
for (const days of document.querySelectorAll("[data-days]")) {
  const choice = days.closest("form").elements[days.dataset.days];
  const fields = days.querySelectorAll("input");
  const follow = () => {
    days.hidden = choice.value !== "own";
    for (const f of fields) { f.disabled = days.hidden; f.required = !days.hidden; }
  };
  choice.addEventListener("change", () => { follow(); if (!days.hidden) fields[0].focus(); });
  addEventListener("pageshow", follow);
  follow();
}

// A file may be dropped on its field; a form that takes its time says so.
for (const slot of document.querySelectorAll("[data-drop] .slot")) {
  const input = slot.querySelector("input");
  for (const kind of ["dragenter", "dragover"]) slot.addEventListener(kind, (e) => { e.preventDefault(); slot.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) slot.addEventListener(kind, () => slot.classList.remove("over"));
  slot.addEventListener("drop", (e) => { e.preventDefault(); if (e.dataTransfer.files.length) input.files = e.dataTransfer.files; });
}
document.addEventListener("submit", (e) => {
  const button = e.target.dataset.busy && e.target.querySelector("button");
  if (button) { button.textContent = e.target.dataset.busy; button.setAttribute("aria-busy", "true"); }
});

// The tab of this page is in view, also on a phone; every chart is drawn before the page is printed.
document.querySelector(".bar nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
addEventListener("beforeprint", drawAll);

drawCharts();
