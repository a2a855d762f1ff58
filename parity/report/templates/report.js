"use strict";
// Sorting and filtering; the page reads without either.

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : text;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return 1; // numbers after words: a cell without one comes first
    if (typeof b === "number") return -1;
    return a.localeCompare(b);
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)) * (down ? -1 : 1));
      body.append(...rows);
    });
  });
}

const tools = document.querySelector(".tools");
if (tools) {
  const [words, status] = [tools.querySelector("input"), tools.querySelector("select")];
  const said = tools.querySelector("output");
  const lines = [...document.querySelectorAll("[data-status]")];
  const layers = [...document.querySelectorAll("#layers tbody tr")];
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const line of lines) {
      const text = `${line.dataset.words ?? ""} ${line.textContent}`.toLowerCase();
      const statuses = line.dataset.status.split(" ");
      line.hidden = !wanted.every((word) => text.includes(word)) || !!(status.value && !statuses.includes(status.value));
    }
    const shown = layers.filter((row) => !row.hidden).length;
    said.textContent = shown === layers.length ? "" : `${shown} of ${layers.length} layers`;
  };
  words.addEventListener("input", filter);
  status.addEventListener("change", filter);
  tools.hidden = false;
}
