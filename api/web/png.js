// PNG, read and written exactly. A canvas keeps colours multiplied by alpha, which loses those of
// half-transparent pixels; these functions keep every byte.

import { crc32 } from "./crc32.js";

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0;
const RGBA = 6;

async function through(stream, parts) {
  return new Uint8Array(await new Response(new Blob(parts).stream().pipeThrough(stream)).arrayBuffer());
}

// {width, height, data}: straight RGBA, 4 bytes a pixel. Takes what the service writes: 8-bit RGBA, not interlaced.
export async function decodePng(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const view = new DataView(bytes.buffer);
  const body = [];
  let width = 0, height = 0, kind = "";
  for (let at = SIGNATURE.length; at < bytes.length && kind !== "IEND";) {
    const length = view.getUint32(at);
    kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === "IHDR") {
      [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      if (bytes[at + 16] !== 8 || bytes[at + 17] !== RGBA || bytes[at + 20]) throw new Error("not 8-bit RGBA");
    }
    if (kind === "IDAT") body.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const rows = await through(new DecompressionStream("deflate"), body);
  return { width, height, data: unfiltered(rows, width * 4, height) };
}

function unfiltered(rows, stride, height) {
  const data = new Uint8ClampedArray(stride * height);
  const out = new Uint8Array(data.buffer); // additions wrap at 256 here, as PNG wants
  for (let y = 0; y < height; y++) {
    const from = y * (stride + 1) + 1, to = y * stride;
    const filter = rows[from - 1];
    for (let x = 0; x < stride; x++) {
      const left = x < 4 ? 0 : out[to + x - 4];
      const up = y ? out[to + x - stride] : 0;
      const corner = x < 4 || !y ? 0 : out[to + x - stride - 4];
      out[to + x] = rows[from + x] + predicted(filter, left, up, corner);
    }
  }
  return data;
}

function predicted(filter, left, up, corner) {
  switch (filter) {
    case 0: return 0;
    case 1: return left;
    case 2: return up;
    case 3: return (left + up) >> 1;
    default: { // Paeth
      const a = Math.abs(up - corner), b = Math.abs(left - corner), c = Math.abs(left + up - 2 * corner);
      return a <= b && a <= c ? left : b <= c ? up : corner;
    }
  }
}

// A PNG of straight RGBA (width * height * 4 bytes) or of grey (width * height bytes).
export async function encodePng(data, width, height) {
  const channels = data.length / (width * height);
  const stride = width * channels;
  const rows = new Uint8Array((stride + 1) * height);
  for (let y = 0; y < height; y++) {
    const to = y * (stride + 1), from = y * stride;
    rows[to] = 2; // what changed since the row above: good for photos, and quick
    for (let x = 0; x < stride; x++) rows[to + 1 + x] = data[from + x] - (y ? data[from + x - stride] : 0);
  }
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, channels === 1 ? GREY : RGBA], 8);
  const body = await through(new CompressionStream("deflate"), [rows]);
  const chunks = [chunk("IHDR", header), chunk("sRGB", new Uint8Array(1)), chunk("IDAT", body), chunk("IEND", new Uint8Array())];
  return new Blob([new Uint8Array(SIGNATURE), ...chunks.flat()], { type: "image/png" });
}

function chunk(kind, body) {
  const name = new TextEncoder().encode(kind);
  return [word(body.length), name, body, word(crc32(name, body))];
}

function word(value) {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
