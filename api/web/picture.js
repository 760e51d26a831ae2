// One opened photo at full resolution: its own pixels, the service's cutout, and what the brush made of it.

import { boxOf, intersection, paint, subjectBox } from "./matte.js";
import { decodePng } from "./png.js";

export class Picture {
  // item: of the queue, done. Its strokes are applied.
  static async open(item) {
    const [cut, bitmap] = await Promise.all([decodePng(item.cut), createImageBitmap(item.photo)]);
    const picture = new Picture(cut, bitmap, item.strokes);
    bitmap.close();
    return picture;
  }

  constructor(cut, bitmap, strokes) {
    this.width = cut.width;
    this.height = cut.height;
    this.cut = cut.data; // as the service gave it, straight RGBA
    this.strokes = strokes;
    this.photo = canvasOf(this.width, this.height);
    this.photo.getContext("2d").drawImage(bitmap, 0, 0);
    this.now = new ImageData(cut.data.slice(), this.width, this.height); // as it is to be seen
    this.alpha = new Uint8Array(this.width * this.height);
    this.restore(this.frame);
  }

  get frame() {
    return { left: 0, top: 0, width: this.width, height: this.height };
  }

  // Adds to the last stroke or paints a new one. Returns what changed, or null.
  paint(stroke) {
    const changed = paint(this.alpha, this.width, this.height, stroke);
    if (changed) this.recolour(changed);
    return changed;
  }

  // Takes back what a stroke did: the service's matte there, and the other strokes again.
  unpaint(stroke) {
    const area = intersection(boxOf(stroke.points, stroke.radius), this.frame);
    if (area) this.restore(area);
    return area;
  }

  restore(area) {
    for (let y = area.top; y < area.top + area.height; y++) {
      for (let at = y * this.width + area.left, end = at + area.width; at < end; at++) this.alpha[at] = this.cut[4 * at + 3];
    }
    for (const stroke of this.strokes) paint(this.alpha, this.width, this.height, stroke, area);
    this.recolour(area);
  }

  // The colours that belong to the matte. Where the brush shows more than the service did, its colours (the old
  // background's share taken out) go over into the photo's own: at full opacity they are the photo's, bit for bit.
  recolour(area) {
    const { data } = this.now, { cut, alpha } = this;
    this.box = undefined;
    for (let y = area.top; y < area.top + area.height; y++) {
      for (let i = y * this.width + area.left, end = i + area.width; i < end; i++) {
        const at = 4 * i, served = cut[at + 3], shown = alpha[i];
        data[at + 3] = shown;
        if (shown > served) {
          this.own ??= this.photo.getContext("2d").getImageData(0, 0, this.width, this.height).data;
          const share = served ? (shown - served) / (255 - served) : 1;
          for (let c = at; c < at + 3; c++) data[c] = cut[c] + (this.own[c] - cut[c]) * share;
        } else {
          for (let c = at; c < at + 3; c++) data[c] = shown ? cut[c] : 0;
        }
      }
    }
  }

  // What the finished picture shows of the photo: all of it, or the subject with a margin in px.
  window({ crop, margin }) {
    if (!crop) return this.frame;
    this.box ??= subjectBox(this.alpha, this.width, this.height);
    if (!this.box) return this.frame;
    const { left, top, width, height } = this.box;
    const grown = { left: left - margin, top: top - margin, width: width + 2 * margin, height: height + 2 * margin };
    return intersection(grown, this.frame);
  }
}

export function canvasOf(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}
