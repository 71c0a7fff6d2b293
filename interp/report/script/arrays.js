/* Arrays of the page: blocks of base64, decoded when first asked for. */

const ARRAY_TYPES = {
  float32: Float32Array, uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array,
  int16: Int16Array, uint32: Uint32Array, int32: Int32Array,
};
const decodedArrays = new Map();

function readJSON(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

/** {shape, codes, value(code)} of a block; most blocks hold codes for values. */
function pageArray(id) {
  if (!decodedArrays.has(id)) decodedArrays.set(id, decodeBlock(readJSON(id)));
  return decodedArrays.get(id);
}

function decodeBlock({ dtype, shape, base64, labels, levels, min, max }) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const codes = new ARRAY_TYPES[dtype](bytes.buffer);
  const scale = (max - min) / levels;
  let value = (code) => code;
  if (labels) value = (code) => labels[code];
  else if (levels) value = (code) => (code > levels ? NaN : min + code * scale);
  return { shape, codes, value };
}

/** The part of a block at the leading indices, as nested arrays: one frame of a moving array. */
function sliceArray(array, ...leading) {
  let start = 0;
  let size = array.codes.length;
  leading.forEach((index, axis) => {
    size /= array.shape[axis];
    start += index * size;
  });
  const values = Array.from(array.codes.subarray(start, start + size), array.value);
  return nest(values, array.shape.slice(leading.length));
}

function nest(values, shape) {
  if (shape.length === 0) return values[0];
  if (shape.length === 1) return values;
  const size = values.length / shape[0];
  return Array.from({ length: shape[0] }, (_, row) => nest(values.slice(row * size, (row + 1) * size), shape.slice(1)));
}
