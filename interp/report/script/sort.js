/* Tables that a click on a heading sorts by its column, and a second click the other way round. */

const PLAIN_DIGITS = Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹"].map((sign, digit) => [sign, String(digit)]).concat([["⁻", "-"]]));

for (const table of document.querySelectorAll(".table-box table")) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.className = "sort";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sortRows(table, head));
    head.replaceChildren(button);
  }
}

/** Sort by the column of `head`: numbers by size, texts by the alphabet; empty cells stay at the end. */
function sortRows(table, head) {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const text = (row) => row.cells[head.cellIndex].textContent.trim();
  const [body] = table.tBodies;
  const rows = Array.from(body.rows);
  const filled = rows.filter(text).sort((one, other) => compared(text(one), text(other)) * (down ? -1 : 1));
  body.append(...filled, ...rows.filter((row) => !text(row)));
}

function compared(one, other) {
  const [first, second] = [cellNumber(one), cellNumber(other)];
  return Number.isNaN(first) || Number.isNaN(second) ? one.localeCompare(other) : first - second;
}

/** The number that a cell writes, such as "1,200", "85%", "−1.5×10⁻⁷" or "0.3 ± 0.1"; NaN where it is text. */
function cellNumber(text) {
  const [mantissa, power] = text.split("±")[0].trim().replaceAll(",", "").replace("−", "-").replace("%", "").split("×10");
  if (mantissa === "") return Number.NaN;
  return Number(mantissa) * 10 ** Number([...(power ?? "0")].map((sign) => PLAIN_DIGITS[sign] ?? sign).join(""));
}
