// The touch-up brush on a matte, and where the subject is. Rectangles are {left, top, width, height} in px.

const SEEN = 10; // of 255: below, nobody sees it, and a crop would keep it (as in the service)

// A stroke is {erase, radius, points: [[x, y], …]} in px of the picture. Its rim is soft over a quarter of the
// radius. `alpha` (width * height) is changed within `bounds`; returns the rectangle that may have changed.
// A stroke sets a limit (at least so visible, at most so visible): going over it twice changes nothing more.
export function paint(alpha, width, height, stroke, bounds = { left: 0, top: 0, width, height }) {
  const { points } = stroke;
  let changed = null;
  for (let i = 0; i < points.length; i++) {
    changed = union(changed, paintLine(alpha, width, stroke, points[Math.max(0, i - 1)], points[i], bounds));
  }
  return changed;
}

function paintLine(alpha, stride, { erase, radius }, [ax, ay], [bx, by], bounds) {
  const area = intersection(boxOf([[ax, ay], [bx, by]], radius), bounds);
  if (!area) return null;
  const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy || 1;
  const rim = Math.max(1, radius / 4);
  for (let y = area.top; y < area.top + area.height; y++) {
    for (let x = area.left; x < area.left + area.width; x++) {
      const along = Math.min(1, Math.max(0, ((x + 0.5 - ax) * dx + (y + 0.5 - ay) * dy) / length));
      const away = Math.hypot(x + 0.5 - ax - along * dx, y + 0.5 - ay - along * dy);
      const force = Math.min(1, (radius - away) / rim);
      if (force <= 0) continue;
      const at = y * stride + x;
      alpha[at] = erase
        ? Math.min(alpha[at], Math.round(255 * (1 - force)))
        : Math.max(alpha[at], Math.round(255 * force));
    }
  }
  return area;
}

// What a stroke covers, before it is cut to the picture.
export function boxOf(points, radius) {
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  const left = Math.floor(Math.min(...xs) - radius), top = Math.floor(Math.min(...ys) - radius);
  return {
    left, top,
    width: Math.ceil(Math.max(...xs) + radius) - left,
    height: Math.ceil(Math.max(...ys) + radius) - top,
  };
}

export function intersection(a, b) {
  const left = Math.max(a.left, b.left), top = Math.max(a.top, b.top);
  const width = Math.min(a.left + a.width, b.left + b.width) - left;
  const height = Math.min(a.top + a.height, b.top + b.height) - top;
  return width > 0 && height > 0 ? { left, top, width, height } : null;
}

function union(a, b) {
  if (!a || !b) return a ?? b;
  const left = Math.min(a.left, b.left), top = Math.min(a.top, b.top);
  return {
    left, top,
    width: Math.max(a.left + a.width, b.left + b.width) - left,
    height: Math.max(a.top + a.height, b.top + b.height) - top,
  };
}

// The smallest rectangle that holds all that is seen; null: nothing is.
export function subjectBox(alpha, width, height) {
  let left = width, right = -1, top = -1, bottom = -1;
  for (let y = 0; y < height; y++) {
    const row = y * width;
    let first = 0;
    while (first < width && alpha[row + first] <= SEEN) first++;
    if (first === width) continue;
    let last = width - 1;
    while (alpha[row + last] <= SEEN) last--;
    if (top < 0) top = y;
    bottom = y;
    left = Math.min(left, first);
    right = Math.max(right, last);
  }
  return top < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}
