/* The numbers behind a panel at the step it shows, for those who read rather than look. */

/** Fill `view` with a table of what the drawing shows now. */
function fillTable(view, drawing, step) {
  const rows = drawing.gd.data.flatMap((trace, number) => traceRows(trace, number, drawing, step));
  const header = [axisTitle(drawing, "xaxis"), axisTitle(drawing, "yaxis"), "value"];
  view.replaceChildren(tableElement(`${drawing.spec.title}, step ${formatStep(step)}`, header, rows));
}

/** [x, y, value] of each point; of a time plot only those at the step. */
function traceRows(trace, number, drawing, step) {
  const name = trace.name ?? "";
  if (trace.type === "heatmap") return heatmapRows(trace, drawing, step);
  const y = Array.from(trace.y ?? []);
  const x = Array.from(trace.x ?? y.keys());
  const chosen = drawing.spec.time_axis ? [indexAtOrBefore(x, step)] : [...y.keys()];
  return chosen.map((index) => [x[index], name || (trace.text?.[index] ?? ""), y[index]]);
}

function heatmapRows(trace, drawing, step) {
  const rows = Array.from(trace.z);
  const x = Array.from(trace.x ?? rows[0]?.keys() ?? []);
  const y = Array.from(trace.y ?? rows.keys());
  const columns = drawing.spec.time_axis ? [indexAtOrBefore(x, step)] : [...x.keys()];
  return rows.flatMap((row, index) => columns.map((column) => [x[column], y[index], row[column]]));
}

function axisTitle(drawing, axis) {
  const title = drawing.spec.figure.layout?.[axis]?.title;
  return (title?.text ?? title) || axis[0];
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
