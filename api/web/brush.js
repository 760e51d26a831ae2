// The touch-up brush: the stage's hand while a brush is chosen. Strokes belong to the photo, so they outlive
// another matte of it and can be undone one by one.

import { tell } from "./notice.js";

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const DENSE = 0.2; // of the radius: points of a stroke nearer to each other than this add nothing

export class Brush {
  tool = "look"; // or keep, erase
  size = 40; // px of the screen: zooming in makes the brush finer
  picture = null;
  item = null;
  #stroke = null;
  #dropped = []; // what could be done again before the stroke
  #on = null;

  constructor(ring, changed) {
    this.ring = ring;
    this.changed = changed;
  }

  attach(stage) {
    this.stage = stage;
    stage.root.addEventListener("view", () => this.#show());
  }

  use(tool) {
    this.tool = tool;
    this.#show();
  }

  resize(size) {
    this.size = size;
    this.#show();
  }

  load(item, picture) {
    Object.assign(this, { item, picture });
    this.#on = null;
    this.end();
  }

  get active() {
    return this.tool !== "look" && this.picture !== null;
  }

  begin(on, event) {
    if (!this.active || event.button > 0) return;
    this.#stroke = { erase: this.tool === "erase", radius: this.size / 2 / this.stage.scale, points: [] };
    this.item.strokes.push(this.#stroke);
    this.#dropped = this.item.undone;
    this.item.undone = [];
    this.go(on);
  }

  // Whether the pointer paints, and so does not move the picture.
  go(on) {
    this.#on = on;
    this.#show();
    if (!this.#stroke) return false;
    const { points, radius } = this.#stroke, last = points.at(-1);
    if (last && Math.hypot(on[0] - last[0], on[1] - last[1]) < DENSE * radius) return true;
    points.push(on);
    const area = this.picture.paint({ ...this.#stroke, points: points.slice(-2) });
    if (area) this.stage.refresh(this.picture, area);
    return true;
  }

  end() {
    if (!this.#stroke) return;
    this.#stroke = null;
    this.changed();
  }

  // A second finger came: it was never meant to be a stroke.
  cancel() {
    if (!this.#stroke) return;
    this.end();
    this.undo();
    this.item.undone = this.#dropped;
    this.changed();
  }

  leave() {
    this.#on = null;
    this.#show();
  }

  key(event) {
    if (!this.active) return false;
    const step = STEPS[event.key];
    const [x, y] = this.#on ?? this.stage.centre;
    if (step) {
      const far = event.shiftKey ? 1 : this.size / 2 / this.stage.scale;
      this.#on = [x + step[0] * far, y + step[1] * far];
      this.#show();
      return true;
    }
    if (event.key !== " ") return false;
    this.begin([x, y], { button: 0 });
    this.end();
    return true;
  }

  undo() {
    if (!this.picture) return;
    const stroke = this.item?.strokes.pop();
    if (!stroke) return;
    this.item.undone.push(stroke);
    const area = this.picture.unpaint(stroke);
    if (area) this.stage.refresh(this.picture, area);
    tell("told.undone");
    this.changed();
  }

  redo() {
    if (!this.picture) return;
    const stroke = this.item?.undone.pop();
    if (!stroke) return;
    this.item.strokes.push(stroke);
    const area = this.picture.paint(stroke);
    if (area) this.stage.refresh(this.picture, area);
    tell("told.redone");
    this.changed();
  }

  #show() {
    this.ring.hidden = !this.active || !this.#on;
    if (this.ring.hidden) return;
    const [x, y] = this.stage.toStage(this.#on);
    this.ring.style.setProperty("--size", `${this.size}px`);
    this.ring.style.translate = `${x - this.size / 2}px ${y - this.size / 2}px`;
    this.ring.classList.toggle("erase", this.tool === "erase");
  }
}
