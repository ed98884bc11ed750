// Sort a table by a column: numbers from high to low, names from A to Z; again for the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.className = "sort";
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = head.classList.contains("num");
      const was = head.getAttribute("aria-sort");
      const up = was ? was === "descending" : !numeric;
      const value = (row) => {
        const cell = row.cells[column];
        return numeric ? (cell.dataset.value ? Number(cell.dataset.value) : null) : cell.textContent;
      };
      const compare = (a, b) => {
        const x = value(a), y = value(b);
        if (x === null || y === null) return (x === null) - (y === null); // what is missing stays below
        return (numeric ? x - y : x.localeCompare(y)) * (up ? 1 : -1);
      };
      body.append(...[...body.rows].sort(compare));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
    });
  });
}
