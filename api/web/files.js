// From an opened picture to a file, composed here: touch-ups included, the photo's own pixels never scaled.

import { backdropOf } from "./backdrop.js";
import { canvasOf } from "./picture.js";
import { encodePng } from "./png.js";
import { backgroundOf } from "./service.js";
import { zip } from "./zip.js";

const LOSSY = 0.92;
const TYPES = { webp: "image/webp", jpeg: "image/jpeg" };

export const SUFFIXES = { png: "png", webp: "webp", jpeg: "jpg", zip: "zip" };

// item.cut is the service's own PNG: when nothing was changed, it is the file.
export async function encode(item, picture, wish) {
  const window = picture.window(wish);
  const untouched = !item.strokes.length && window.width === picture.width && window.height === picture.height;
  if (wish.format === "zip") return layers(picture, window);
  if (backgroundOf(wish) === "transparent" && wish.format === "png") {
    return untouched ? item.cut : encodePng(cropped(picture.now.data, picture.width, window, 4), window.width, window.height);
  }
  const canvas = await composed(picture, window, wish);
  if (wish.format === "png") {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return encodePng(data, canvas.width, canvas.height);
  }
  return lossy(canvas, TYPES[wish.format]);
}

async function composed(picture, window, wish) {
  const canvas = canvasOf(window.width, window.height);
  const context = canvas.getContext("2d");
  const backdrop = await backdropOf(picture, window, wish);
  const colour = wish.background === "colour" ? wish.colour : wish.format === "jpeg" ? "#ffffff" : null;
  if (colour) {
    context.fillStyle = colour;
    context.fillRect(0, 0, window.width, window.height);
  }
  if (backdrop) context.drawImage(backdrop, 0, 0, window.width, window.height);
  const cut = canvasOf(picture.width, picture.height);
  cut.getContext("2d").putImageData(picture.now, 0, 0);
  context.drawImage(cut, -window.left, -window.top);
  return canvas;
}

// color.jpg and alpha.png, as the API's ZIP: for programs that want colour and matte apart.
async function layers(picture, window) {
  const { width, height } = window;
  const canvas = canvasOf(width, height);
  const context = canvas.getContext("2d");
  context.drawImage(picture.photo, -window.left, -window.top);
  const colours = context.getImageData(0, 0, width, height);
  const now = cropped(picture.now.data, picture.width, window, 4);
  for (let at = 0; at < now.length; at += 4) {
    if (now[at + 3]) colours.data.set(now.subarray(at, at + 3), at);
  }
  context.putImageData(colours, 0, 0);
  const alpha = await encodePng(cropped(picture.alpha, picture.width, window, 1), width, height);
  return zip([["color.jpg", await lossy(canvas, TYPES.jpeg)], ["alpha.png", alpha]]);
}

function cropped(data, stride, { left, top, width, height }, channels) {
  const out = new data.constructor(width * height * channels);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * stride + left) * channels;
    out.set(data.subarray(from, from + width * channels), y * width * channels);
  }
  return out;
}

async function lossy(canvas, type) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, LOSSY));
  // Some browsers cannot write WebP, and give PNG without a word.
  if (blob?.type !== type) throw Object.assign(new Error(type), { code: "no_format" });
  return blob;
}

export function fileName(item, suffix) {
  return `${item.name.replace(/\.[^.]*$/, "") || "photo"}-cutout.${suffix}`;
}

export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // when the browser has surely begun to read it
}
