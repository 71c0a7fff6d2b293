/* The numbers behind a panel at the step it shows, for those who read rather than look. */

const DIGITS = 5;
const SUPERSCRIPTS = { "-": "⁻", ...Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹"].entries()) };

/** Fill `view` with tables of what the panel shows now: one of its points, one of its heatmap's cells. */
function fillTables(view, panel, step) {
  const { data } = panel.gd;
  const [x, y] = [panel.axisTitle("xaxis"), panel.axisTitle("yaxis")];
  const caption = panel.spec.title + (step === undefined ? "" : `, step ${formatStep(step)}`);
  const atStep = (labels) => (panel.spec.time_axis ? [indexAtOrBefore(labels, step)] : [...labels.keys()]);
  const points = data.filter((trace) => trace.type !== "heatmap" && trace.type !== "table").flatMap((trace) => pointRows(trace, atStep));
  const cells = data.filter((trace) => trace.type === "heatmap").flatMap((trace) => cellRows(trace, atStep));
  view.replaceChildren();
  for (const { header, cells: { values } } of data.filter((trace) => trace.type === "table")) {
    view.append(tableElement(caption, header.values, values[0].map((_, row) => values.map((column) => column[row]))));
  }
  const unnamed = points.every(([name]) => !name);
  if (unnamed && points.length) view.append(tableElement(caption, [x, y], points.map(([, ...place]) => place)));
  else if (points.length) view.append(tableElement(caption, ["name", x, y], points));
  if (cells.length) view.append(tableElement(caption, [x, y, "value"], cells));
}

/** [name, x, y] of each point; of a line over training only where it is now. */
function pointRows(trace, atStep) {
  const y = Array.from(trace.y ?? []);
  const x = Array.from(trace.x ?? y.keys());
  const name = (index) => trace.hovertext?.[index] || trace.text?.[index] || trace.name || "";
  return atStep(x).map((index) => [name(index), x[index], y[index]]);
}

/** [x, y, z] of each cell; of a heatmap over training only those of the column where it is now. */
function cellRows(trace, atStep) {
  const rows = Array.from(trace.z);
  const x = Array.from(trace.x ?? rows[0]?.keys() ?? []);
  const y = Array.from(trace.y ?? rows.keys());
  const columns = atStep(x);
  return rows.flatMap((row, index) => columns.map((column) => [x[column], y[index], row[column]]));
}

function tableElement(caption, header, rows) {
  const table = document.createElement("table");
  table.createCaption().textContent = caption;
  appendCells(table.createTHead().insertRow(), header, () => "col");
  const body = table.createTBody();
  for (const row of rows) appendCells(body.insertRow(), row.map(cellText), (column, text) => (column || !text ? null : "row"));
  return table;
}

/** Cells, of which those that have a scope are headings. */
function appendCells(row, texts, scopeOf) {
  texts.forEach((text, column) => {
    const scope = scopeOf(column, text);
    const cell = document.createElement(scope ? "th" : "td");
    if (scope) cell.scope = scope;
    cell.textContent = text;
    row.append(cell);
  });
}

/** A value as the report's sentences write it: "1,200", "0.0028", "−1.5×10⁻⁷". */
function cellText(value) {
  if (typeof value !== "number") return value ?? "";
  if (Number.isNaN(value)) return "not a number";
  if (Number.isSafeInteger(value)) return formatStep(value);
  const [mantissa, power] = value.toExponential(DIGITS - 1).split("e");
  if (power >= -4 && power < 6) return formatStep(value, DIGITS);
  return `${Number(mantissa)}×10${power.replace("+", "").replace(/[-\d]/g, (sign) => SUPERSCRIPTS[sign])}`.replace("-", "−");
}
