// ZIP, stored: what goes in is compressed already.

import { crc32 } from "./crc32.js";

const UTF8 = 0x0800;
const DATE = 0x0021; // 1980-01-01: the same pictures give the same bytes

// files: [name, Blob] each. Names that come twice are numbered.
export async function zip(files) {
  const local = [], central = [], taken = new Set();
  let offset = 0, count = 0;
  for (const [wanted, blob] of files) {
    const name = new TextEncoder().encode(unique(wanted, taken));
    const crc = crc32(new Uint8Array(await blob.arrayBuffer()));
    const facts = [20, UTF8, 0, 0, DATE, [crc], [blob.size], [blob.size], name.length, 0];
    const header = little([0x04034b50], ...facts);
    local.push(header, name, blob);
    central.push(little([0x02014b50], 20, ...facts, 0, 0, 0, [0], [offset]), name);
    offset += header.length + name.length + blob.size;
    count++;
  }
  const size = central.reduce((sum, part) => sum + part.length, 0);
  const end = little([0x06054b50], 0, 0, count, count, [size], [offset], 0);
  return new Blob([...local, ...central, end], { type: "application/zip" });
}

function unique(name, taken) {
  const [, stem, suffix] = /^(.*?)(\.[^.]*)?$/s.exec(name);
  let each = name;
  for (let n = 2; taken.has(each); n++) each = `${stem}-${n}${suffix ?? ""}`;
  taken.add(each);
  return each;
}

// Numbers take two bytes, numbers in brackets four.
function little(...values) {
  const bytes = [];
  for (const value of values) {
    const [number, width] = Array.isArray(value) ? [value[0], 4] : [value, 2];
    for (let i = 0; i < width; i++) bytes.push((number >>> (8 * i)) & 255);
  }
  return Uint8Array.from(bytes);
}
