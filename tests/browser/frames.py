"""Waiting for the picture of a viewer: frames are counted, not milliseconds."""

# A key plans a drawing for the next frame, a new size for the one after it.
STILL = """async element => {
  const frame = () => new Promise(requestAnimationFrame);
  const root = element.querySelector(".sov");
  for (let tries = 0; tries < 200; tries++) {
    const before = root.dataset.drawn;
    for (let k = 0; k < 3; k++) await frame();
    if (before && root.dataset.drawn === before && !root.view?.moving) return;
  }
  throw new Error("the picture never stands still");
}"""
