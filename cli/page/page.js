
"use strict";
const table = document.querySelector(".tensors");
const body = table.tBodies[0];
const stored = [...body.rows];
const summed = [...table.querySelectorAll("th[data-sum]")].map((header) => header.cellIndex);
const areas = new Map([...document.querySelectorAll(".map a")].map((a) => [a.getAttribute("href"), a]));
const collator = new Intl.Collator("en", { numeric: true });
const cell = (row, column) => row.cells[column].textContent;
const number = (row, column) => parseFloat(cell(row, column).replaceAll(",", ""));
// An empty cell lies below every number.
const key = (row, column) => { const value = number(row, column); return isNaN(value) ? -1e300 : value; };

const orders = {
  ascending: (column, numeric) => (a, b) =>
    numeric ? key(a, column) - key(b, column) : collator.compare(cell(a, column), cell(b, column)),
  descending: (column, numeric) => (a, b) => orders.ascending(column, numeric)(b, a),
};

// First click: the order one looks for; second: the opposite; third: as stored in the file.
function sort(header) {
  const numeric = header.classList.contains("n");
  const cycle = numeric ? ["descending", "ascending", null] : ["ascending", "descending", null];
  const order = cycle[(cycle.indexOf(header.getAttribute("aria-sort")) + 1) % 3];
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  if (order) header.setAttribute("aria-sort", order);
  body.append(...(order ? [...stored].sort(orders[order](header.cellIndex, numeric)) : stored));
}

for (const header of table.querySelectorAll("th[data-column]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  button.addEventListener("click", () => sort(header));
  header.append(button);
}

const filter = document.querySelector(".filter");
const input = filter.querySelector("input");
input.addEventListener("input", () => {
  const wanted = input.value.toLowerCase();
  let shown = 0;
  const sums = summed.map(() => 0);
  for (const row of stored) {
    row.hidden = !cell(row, 0).toLowerCase().includes(wanted);
    areas.get(`#${row.id}`)?.classList.toggle("dim", row.hidden);
    if (row.hidden) continue;
    shown += 1;
    summed.forEach((column, i) => { sums[i] += number(row, column) || 0; });
  }
  filter.querySelector("output").textContent = wanted
    ? [`${shown} of ${stored.length}`, ...sums.map((sum) => `${sum.toLocaleString("en")} bytes`)].join(", ") : "";
});
filter.hidden = false;
