// What hands and keys do on a canvas, as events of one form.

/**
 * Tell `tell(event)` what happens on a canvas; it answers whether the picture took it.
 *
 * Events are { type, panel, x, y, shift, alt }: down, drag (with dx, dy), up, move, leave, zoom (with factor, and dx, dy of two
 * fingers), key (with key). Escape gives the keys back to the notebook, unless `busy()` says that a tool wants it.
 */
export function listen(canvas, panel, tell, busy) {
  const fingers = new Map(); // where each pointer that is down was last
  const at = (event) => {
    const frame = canvas.getBoundingClientRect();
    return { panel, x: event.clientX - frame.left, y: event.clientY - frame.top, shift: event.shiftKey, alt: event.altKey };
  };
  const between = () => {
    const [p, q] = [...fingers.values()];
    return { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2, apart: Math.hypot(p.x - q.x, p.y - q.y) || 1 };
  };
  canvas.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, at(event));
    canvas.setPointerCapture(event.pointerId);
    if (fingers.size === 1) tell({ type: "down", ...at(event) });
  });
  canvas.addEventListener("pointermove", (event) => {
    const here = at(event);
    const last = fingers.get(event.pointerId);
    if (!last) return void tell({ type: "move", ...here });
    if (fingers.size === 2) {
      const before = between();
      fingers.set(event.pointerId, here);
      const { x, y, apart } = between();
      return void tell({ ...here, type: "zoom", x, y, dx: x - before.x, dy: y - before.y, factor: apart / before.apart });
    }
    fingers.set(event.pointerId, here);
    if (fingers.size === 1) tell({ type: "drag", ...here, dx: here.x - last.x, dy: here.y - last.y });
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      if (fingers.delete(event.pointerId) && !fingers.size) tell({ type: "up", ...at(event) });
    });
  }
  canvas.addEventListener("wheel", (event) => {
    // A wheel scrolls the page until the picture was clicked; two fingers on a touchpad, which come as Ctrl, mean the picture.
    if (!event.ctrlKey && !canvas.matches(":focus")) return;
    const factor = Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002) * (event.deltaMode ? 20 : 1));
    if (tell({ type: "zoom", ...at(event), factor })) event.preventDefault();
  }, { passive: false });
  canvas.addEventListener("pointerleave", () => tell({ type: "leave", panel }));
  canvas.addEventListener("keydown", (event) => {
    const keys = { type: "key", panel, key: event.key, shift: event.shiftKey, alt: event.altKey };
    if (event.key === "Escape" && !busy()) canvas.blur();
    else if (!event.ctrlKey && !event.metaKey && tell(keys)) event.preventDefault();
  });
}
