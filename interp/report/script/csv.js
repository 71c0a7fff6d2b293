/* The arrays of a measure as CSV files, made in the browser. */

/** The tables of a measure: variables with the same axes share one, a row per element. */
function csvTables(variables) {
  const tables = new Map();
  for (const [name, variable] of Object.entries(variables)) {
    if (variable.elsewhere) continue;
    const key = JSON.stringify([variable.dims, variable.shape]);
    if (!tables.has(key)) tables.set(key, { dims: variable.dims, shape: variable.shape, columns: [] });
    tables.get(key).columns.push({ name, variable });
  }
  return [...tables.values()];
}

function csvText({ dims, shape, columns }) {
  const labels = dims.map((dim, axis) => columns.map(({ variable }) => variable.coords[dim]).find(Boolean)
    ?? Array.from({ length: shape[axis] }, (_, index) => index));
  const values = columns.map(({ variable }) => flatValues(variable));
  const size = shape.reduce((product, length) => product * length, 1);
  const lines = [[...dims, ...columns.map(({ name }) => name)]];
  for (let element = 0; element < size; element += 1) {
    const place = indicesOf(element, shape).map((index, axis) => labels[axis][index]);
    lines.push([...place, ...values.map((column) => column[element])]);
  }
  return lines.map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n";
}

function flatValues(variable) {
  if (!variable.block) return [variable.values].flat(Infinity);
  const { codes, value } = pageArray(variable.block);
  const shorten = codes instanceof Float32Array ? shortFloat32 : value;
  return Array.from(codes, shorten);
}

/** The shortest decimal that is this float32: 0.1, not 0.10000000149. */
function shortFloat32(value) {
  for (let digits = 6; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

function indicesOf(element, shape) {
  const indices = [];
  for (const length of [...shape].reverse()) {
    indices.unshift(element % length);
    element = Math.floor(element / length);
  }
  return indices;
}

function csvCell(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
