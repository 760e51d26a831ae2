// What stands behind the subject: a picture that covers, or the photo itself out of focus.

import { canvasOf } from "./picture.js";

const SMOOTH = 480; // px of the longer side that a blur is computed at: nothing finer survives it

// A canvas of the window's size, or smaller where that loses nothing; null where a colour will do, or nothing.
export async function backdropOf(picture, window, wish) {
  if (wish.format === "zip") return null; // it holds colour and matte, and no background
  if (wish.background === "blur") return blurred(picture, window, wish.blur);
  if (wish.background !== "picture" || !wish.picture) return null;
  const bitmap = await createImageBitmap(wish.picture);
  const canvas = canvasOf(window.width, window.height);
  const scale = Math.max(window.width / bitmap.width, window.height / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (window.width - width) / 2, (window.height - height) / 2, width, height);
  bitmap.close();
  return canvas;
}

// The subject is left out of the average, so that no glow of its colours surrounds it. share: sigma of the blur
// as a share of the longer side.
function blurred(picture, { left, top, width, height }, share) {
  const scale = Math.min(1, SMOOTH / Math.max(width, height));
  const canvas = canvasOf(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(picture.photo, left, top, width, height, 0, 0, canvas.width, canvas.height);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  const planes = weighted(image, picture, { left, top }, scale);
  // Three boxes are as good as a Gaussian: W. Wells, Efficient synthesis of Gaussian filters (1986).
  const radius = Math.round(share * Math.max(canvas.width, canvas.height));
  for (const plane of planes) {
    for (let pass = 0; pass < 3; pass++) {
      boxBlur(plane, canvas.width, canvas.height, radius, 1, canvas.width);
      boxBlur(plane, canvas.height, canvas.width, radius, canvas.width, 1);
    }
  }
  const [red, green, blue, weight] = planes;
  for (let i = 0; i < weight.length; i++) {
    image.data.set([red[i] / weight[i], green[i] / weight[i], blue[i] / weight[i], 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function weighted({ data, width, height }, picture, { left, top }, scale) {
  const planes = Array.from({ length: 4 }, () => new Float32Array(width * height));
  for (let y = 0, i = 0; y < height; y++) {
    const row = Math.min(picture.height - 1, top + Math.floor((y + 0.5) / scale)) * picture.width;
    for (let x = 0; x < width; x++, i++) {
      const at = row + Math.min(picture.width - 1, left + Math.floor((x + 0.5) / scale));
      const free = (1 - picture.alpha[at] / 255) ** 4 + 1e-3; // steep: mixed pixels carry the subject's colour
      for (let c = 0; c < 3; c++) planes[c][i] = data[4 * i + c] * free;
      planes[3][i] = free;
    }
  }
  return planes;
}

// A running mean of 2 * radius + 1 along each of `lines` lines of `length` values; the ends are repeated.
function boxBlur(plane, length, lines, radius, step, lineStep) {
  const line = new Float32Array(length);
  const inside = (i) => line[Math.min(length - 1, Math.max(0, i))];
  for (let n = 0; n < lines; n++) {
    const start = n * lineStep;
    for (let i = 0; i < length; i++) line[i] = plane[start + i * step];
    let sum = 0;
    for (let i = -radius; i <= radius; i++) sum += inside(i);
    for (let i = 0; i < length; i++) {
      plane[start + i * step] = sum / (2 * radius + 1);
      sum += inside(i + radius + 1) - inside(i - radius);
    }
  }
}
