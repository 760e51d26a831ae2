// Where one picture is looked at: zoom, moving, before and after. Points are [x, y]; "at" is in px of the stage,
// "on" in px of the photo.

const AIR = 24; // px around a picture that is shown whole
const LARGEST = 32; // times
const FIT_AT_MOST = 3; // times: small photos are not blown up further by themselves
const STEP = 1.25;
const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class Stage {
  #scale = 1;
  #x = 0;
  #y = 0;
  #fitted = true;
  #touches = new Map();
  #window = { left: 0, top: 0, width: 1, height: 1 };

  // hand: is asked first, for every pointer and key: begin(on, event), go(on), end(), cancel(), leave(),
  // key(event).
  constructor(root, hand) {
    this.root = root;
    this.hand = hand;
    this.split = root.querySelector("#split");
    this.canvases = {};
    for (const name of ["photo", "cut", "backdrop"]) this.canvases[name] = root.querySelector(`canvas.${name}`);
    this.split.addEventListener("input", () => this.#place());
    root.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120) / 480), this.#at(event));
    }, { passive: false });
    root.addEventListener("pointerdown", (event) => this.#down(event));
    root.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, (event) => this.#up(event));
    root.addEventListener("pointerleave", () => this.hand.leave());
    root.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => (this.#fitted ? this.fit() : this.#place())).observe(root);
  }

  get scale() {
    return this.#scale;
  }

  // The photo alone, as long as there is no cutout. drawable: what a canvas draws; null: nothing.
  showPhoto(drawable) {
    this.root.classList.remove("empty");
    this.canvases.cut.width = this.canvases.backdrop.width = 0;
    this.#draw(this.canvases.photo, drawable);
    const { width, height } = this.canvases.photo;
    this.setWindow({ left: 0, top: 0, width, height });
    this.split.value = 1000;
    this.fit();
  }

  clear() {
    this.root.classList.add("empty");
  }

  // Both. reveal: wipes from the one to the other.
  showPicture(picture, window, { reveal }) {
    this.root.classList.remove("empty");
    if (!this.canvases.cut.width) this.split.value = 0; // what showed a photo alone compares nothing
    this.#draw(this.canvases.photo, picture.photo);
    Object.assign(this.canvases.cut, { width: picture.width, height: picture.height });
    this.canvases.cut.getContext("2d").putImageData(picture.now, 0, 0);
    this.setWindow(window);
    this.fit();
    if (reveal) this.#reveal();
  }

  // Only the part that the brush has changed.
  refresh(picture, { left, top, width, height }) {
    this.canvases.cut.getContext("2d").putImageData(picture.now, 0, 0, left, top, width, height);
  }

  // drawable: of the window's shape, or null.
  setBackdrop(drawable) {
    if (drawable) this.#draw(this.canvases.backdrop, drawable);
    else this.canvases.backdrop.width = 0;
  }

  // The part of the photo that is shown.
  setWindow(window) {
    const same = ["left", "top", "width", "height"].every((side) => window[side] === this.#window[side]);
    this.#window = window;
    for (const [name, value] of Object.entries(window)) this.root.style.setProperty(`--${name}`, `${value}px`);
    if (!same) this.fit();
  }

  fit() {
    const { clientWidth, clientHeight } = this.root, { width, height } = this.#window;
    this.#scale = Math.max(0.001, Math.min((clientWidth - 2 * AIR) / width, (clientHeight - 2 * AIR) / height, FIT_AT_MOST));
    this.#x = (clientWidth - width * this.#scale) / 2;
    this.#y = (clientHeight - height * this.#scale) / 2;
    this.#fitted = true;
    this.#place();
  }

  // factor: larger or smaller, around a point that stays where it is.
  zoom(factor, at = [this.root.clientWidth / 2, this.root.clientHeight / 2]) {
    const scale = Math.min(LARGEST, Math.max(0.02, this.#scale * factor));
    this.#x = at[0] - ((at[0] - this.#x) * scale) / this.#scale;
    this.#y = at[1] - ((at[1] - this.#y) * scale) / this.#scale;
    this.#scale = scale;
    this.#fitted = false;
    this.#place();
  }

  larger = () => this.zoom(STEP);
  smaller = () => this.zoom(1 / STEP);

  pan(dx, dy) {
    this.#x += dx;
    this.#y += dy;
    this.#fitted = false;
    this.#place();
  }

  // From px of the photo to px of the stage.
  toStage([x, y]) {
    return [this.#x + (x - this.#window.left) * this.#scale, this.#y + (y - this.#window.top) * this.#scale];
  }

  #toPhoto([x, y]) {
    return [this.#window.left + (x - this.#x) / this.#scale, this.#window.top + (y - this.#y) / this.#scale];
  }

  get centre() {
    return this.#toPhoto([this.root.clientWidth / 2, this.root.clientHeight / 2]);
  }

  #at(event) {
    const { left, top } = this.root.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  #down(event) {
    if (event.target !== this.root && !event.target.closest(".layer")) return;
    this.root.setPointerCapture(event.pointerId);
    this.#touches.set(event.pointerId, this.#at(event));
    if (this.#touches.size > 1) this.hand.cancel();
    else this.hand.begin(this.#toPhoto(this.#at(event)), event);
  }

  #move(event) {
    const was = this.#touches.get(event.pointerId), at = this.#at(event);
    if (!was || this.#touches.size === 1) {
      if (this.hand.go(this.#toPhoto(at)) || !was) return;
    }
    this.#touches.set(event.pointerId, at);
    if (this.#touches.size === 1) return this.pan(at[0] - was[0], at[1] - was[1]);
    const [, other] = [...this.#touches].find(([id]) => id !== event.pointerId);
    const apart = ([x, y]) => Math.hypot(x - other[0], y - other[1]);
    this.pan((at[0] - was[0]) / 2, (at[1] - was[1]) / 2);
    this.zoom(Math.max(apart(at), 1) / Math.max(apart(was), 1), [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2]);
  }

  #up(event) {
    this.#touches.delete(event.pointerId);
    this.hand.end();
  }

  #key(event) {
    if (event.target !== this.root || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = { "+": this.larger, "=": this.larger, "-": this.smaller, 0: () => this.fit() }[event.key];
    const arrow = ARROWS[event.key];
    if (act) act();
    else if (this.hand.key(event)) { /* done */ }
    else if (arrow) this.pan(arrow[0] * 40, arrow[1] * 40);
    else return;
    event.preventDefault();
  }

  #place() {
    const { style, clientWidth } = this.root;
    style.setProperty("--x", `${this.#x}px`);
    style.setProperty("--y", `${this.#y}px`);
    style.setProperty("--scale", this.#scale);
    // The handle's middle goes from one end of the picture to the other, and stays in sight.
    const share = this.split.value / 1000;
    const from = Math.max(AIR, this.#x), to = Math.min(clientWidth - AIR, this.#x + this.#window.width * this.#scale);
    style.setProperty("--from", `${from}px`);
    style.setProperty("--span", `${Math.max(0, to - from)}px`);
    style.setProperty("--cover", `${share ? from + share * Math.max(0, to - from) : this.#x}px`);
    this.root.classList.toggle("pixels", this.#scale >= 3);
    this.root.dispatchEvent(new Event("view"));
  }

  #draw(canvas, drawable) {
    const { width, height } = drawable;
    Object.assign(canvas, { width, height });
    canvas.getContext("2d").drawImage(drawable, 0, 0);
  }

  #reveal() {
    const start = performance.now(), length = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 700;
    const step = (now) => {
      const done = length ? Math.min(1, Math.max(0, now - start) / length) : 1;
      this.split.value = 1000 * (1 - done) ** 3;
      this.#place();
      if (done < 1) requestAnimationFrame(step);
    };
    step(start);
  }
}
