/* The mark of a value: a ring round its point, bar or cell where a number's link points to it. */

const SAME = 1e-4; // the figure's values are rounded, and what moves is stored in 65,535 levels
const MOST_RINGS = 12; // more say nothing

/** The points {x, y} of the drawn traces that show the value: at the step, or at the labels of its axes. */
function markedPoints(traces, mark, isOverTime) {
  const points = traces.flatMap((trace) => {
    if (trace.type === "heatmap") return markedCells(trace, mark, isOverTime);
    return isOverTime ? [] : labelledPoints(trace, mark);
  });
  if (points.length) return points.length <= MOST_RINGS ? points : [];
  return isOverTime ? pointsAtStep(traces, mark) : [];
}

/** Of the lines over training the one that has the value at the step; where there is one line, that. */
function pointsAtStep(traces, { step, value }) {
  if (step === null) return [];
  const points = traces.filter(({ x, y }) => x && y).map(({ x, y }) => {
    const index = indexAtOrBefore(Array.from(x), step);
    return { x: x[index], y: y[index] };
  }).filter(({ y }) => isNumber(y));
  if (points.length === 1) return points;
  const distance = ({ y }) => Math.abs(y - value);
  const [nearest] = points.sort((one, other) => distance(one) - distance(other));
  return nearest && isNumber(value) && isSame(nearest.y, value) ? [nearest] : [];
}

/** Bars and points of a line whose place is one of the labels, and named points that also have the value. */
function labelledPoints({ type, mode = "lines", x, y, text, hovertext }, { labels, value }) {
  const [across, up] = [Array.from(x ?? []), Array.from(y ?? [])];
  const isPlace = type === "bar" || mode.includes("lines");
  const names = [text, hovertext].filter(Array.isArray);
  return across.map((place, index) => ({ x: place, y: up[index], names: names.map((list) => list[index]) }))
    .filter((point) => (isPlace ? isOneOf(point.x, labels)
      : point.names.some((name) => isOneOf(name, labels)) && [point.x, point.y].some((one) => isSame(one, value))))
    .map((point) => ({ x: point.x, y: point.y }));
}

/** Cells in the rows of the labels: over training at the step, else those in the columns of the labels too. */
function markedCells({ x, y, z }, { step, labels }, isOverTime) {
  const columns = Array.from(x ?? z[0]?.keys() ?? []);
  const rows = Array.from(y ?? z.keys()).filter((row) => isOneOf(row, labels));
  const at = isOverTime ? (step === null ? [] : [columns[indexAtOrBefore(columns, step)]])
    : columns.filter((column) => isOneOf(column, labels));
  return rows.flatMap((row) => at.map((column) => ({ x: column, y: row })));
}

/** The rows of a table that the labels name; of each the cell with these words, if there is one. */
function markedTableCells(figure, { labels, words }) {
  const rows = [...figure.querySelectorAll(".table-box tbody tr")];
  const named = rows.filter((row) => isOneOf(row.cells[0].textContent, labels));
  return named.map((row) => [...row.cells].find((cell) => cell.textContent === words) ?? row);
}

/** Draw rings round the points, over the plot as it is drawn now; without a point in sight, round the cursor. */
function drawRings(gd, points, cursor) {
  clearRings(gd);
  const { xaxis, yaxis } = gd._fullLayout;
  const rings = points.map(({ x, y }) => ({ left: place(xaxis, x), top: place(yaxis, y) })).filter(({ left, top }) => (
    isWithin(xaxis, left) && isWithin(yaxis, top)));
  rings.forEach(({ left, top }) => addRing(gd, "ring", { left, top }));
  const at = cursor === null || points.length ? NaN : place(xaxis, cursor);
  if (isWithin(xaxis, at)) addRing(gd, "ring on-cursor", { left: at, top: yaxis._offset, height: yaxis._length });
}

function clearRings(gd) {
  gd.querySelectorAll(".ring").forEach((ring) => ring.remove());
}

function addRing(gd, className, box) {
  const ring = document.createElement("i");
  ring.className = className;
  ring.ariaHidden = "true";
  for (const [side, pixels] of Object.entries(box)) ring.style[side] = `${pixels}px`;
  gd.append(ring);
}

/** Pixels from the left or the top of the plot's element. */
function place(axis, value) {
  return axis._offset + axis.d2p(value);
}

function isWithin(axis, pixels) {
  return pixels >= axis._offset - 1 && pixels <= axis._offset + axis._length + 1;
}

function isOneOf(place, labels) {
  return labels.some((label) => String(label) === String(place) || cellText(label) === place);
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function isSame(one, other) {
  return isNumber(one) && isNumber(other) && Math.abs(one - other) <= SAME * Math.max(Math.abs(other), Number.MIN_VALUE);
}
