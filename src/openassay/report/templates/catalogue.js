
"use strict";
const form = document.querySelector(".filter"), table = document.querySelector(".cards"), rows = [...table.tBodies[0].rows], told = document.querySelector("#told");
function narrow() {
  const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !(words.every(word => text.includes(word)) && [...form.querySelectorAll("select")].every(of => !of.value || row.dataset[of.name] === of.value));
    count += row.hidden ? 0 : 1;
  }
  told.textContent = `${count} of ${rows.length} shown`;
  const chosen = [...form.elements].filter(of => of.name && of.value).map(of => `${of.name}=${encodeURIComponent(of.value)}`);
  history.replaceState(null, "", chosen.length ? `#${chosen.join("&")}` : location.pathname + location.search);
}
function order(cell, place) {
  const down = cell.getAttribute("aria-sort") === "ascending", key = row => row.cells[place].dataset.key ?? row.cells[place].textContent.trim();
  rows.sort((one, two) => (down ? -1 : 1) * key(one).localeCompare(key(two), "en", { numeric: true }));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  cell.setAttribute("aria-sort", down ? "descending" : "ascending");
  table.tBodies[0].append(...rows);
}
[...table.tHead.rows[0].cells].forEach((cell, place) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...cell.childNodes);
  button.addEventListener("click", () => order(cell, place));
  cell.append(button);
});
for (const [name, value] of new URLSearchParams(location.hash.slice(1))) if (form.elements[name]) form.elements[name].value = value;
form.addEventListener("input", narrow);
form.addEventListener("submit", event => event.preventDefault());
form.hidden = false;
narrow();
