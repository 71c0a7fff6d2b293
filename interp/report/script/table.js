/* The numbers behind a panel at the step it shows, for those who read rather than look. */

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
  if (points.length) view.append(tableElement(caption, ["", x, y], points));
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
  appendCells(table.createTHead().insertRow(), header, "th");
  const body = table.createTBody();
  for (const row of rows) appendCells(body.insertRow(), row.map(cellText), "td");
  return table;
}

function appendCells(row, texts, element) {
  for (const text of texts) {
    const cell = document.createElement(element);
    if (element === "th") cell.scope = "col";
    cell.textContent = text;
    row.append(cell);
  }
}

function cellText(value) {
  if (typeof value !== "number") return value ?? "";
  if (Number.isNaN(value)) return "not a number";
  return Number.isInteger(value) ? formatStep(value) : String(Number(value.toPrecision(5)));
}
