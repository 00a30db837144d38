import assert from "node:assert/strict";
import { test } from "node:test";

const { escaped, SvgPen } = await import(new URL("../../../widgets/sparseot_widgets/js/save.mjs", import.meta.url));
const pen = () => new SvgPen({ font: "12px system-ui", measureText: (text) => ({ width: 6 * text.length }) });

test("text is text", () => {
  assert.equal(escaped('<a href="x">&\u0007'), "&lt;a href=&quot;x&quot;&gt;&amp;");
});

test("lines, words and discs become elements of their own", () => {
  const to = pen();
  Object.assign(to, { strokeStyle: "#123456", lineWidth: 2, globalAlpha: 0.5 });
  to.setLineDash([4, 2]);
  to.beginPath();
  to.lineTo(1, 2); // as on a canvas, the first one only moves
  to.lineTo(3.14159, 4);
  to.stroke();
  assert.equal(to.parts[0], '<path d="M1 2L3.14 4" fill="none" stroke="#123456" stroke-width="2" stroke-dasharray="4 2" opacity="0.5"/>');
  Object.assign(to, { globalAlpha: 1, fillStyle: "red", textAlign: "right", textBaseline: "middle", lineWidth: 4 });
  to.strokeText("σ < 1", 10, 20);
  to.fillText("σ < 1", 10, 20);
  assert.match(to.parts[1], /^<text x="10" y="24.2" text-anchor="end" fill="red" stroke="#123456" stroke-width="4" [^>]*paint-order="stroke">σ &lt; 1<\/text>$/);
  assert.equal(to.parts.length, 2, "words and their veil are one element");
  assert.ok(to.discs(Float32Array.of(1, 2, NaN, 0, 5, 6), Uint8Array.of(255, 0, 0, 9, 9, 9, 0, 0, 255), 3, [2, 1, 0]));
  assert.equal(to.parts[2], '<g><circle cx="5" cy="6" r="3" fill="rgb(0,0,255)"/><circle cx="1" cy="2" r="3" fill="rgb(255,0,0)"/></g>');
});

test("a turned word, and what was saved comes back", () => {
  const to = pen();
  to.save();
  to.translate(10, 50);
  to.rotate(-Math.PI / 2);
  to.fillText("y", 0, 0);
  to.restore();
  to.fillText("z", 0, 0);
  assert.match(to.parts[0], /transform="translate\(10 50\)rotate\(-90\)"/);
  assert.ok(!to.parts[1].includes("transform"));
});

test("what is clipped ends where it is restored", () => {
  const to = pen();
  to.save();
  to.beginPath();
  to.rect(0, 0, 5, 5);
  to.clip();
  to.fillRect(0, 0, 9, 9);
  to.restore();
  to.fillText("a legend beside it", 9, 2);
  assert.match(to.parts[1], /clip-path="url\(#sov-clip-\d+\)"/);
  assert.doesNotMatch(to.parts[2], /clip-path/);
});

test("very many discs are left to an image", () => {
  const to = pen();
  assert.equal(to.discs(new Float32Array(20_000), "#000000", 1), false);
  assert.equal(to.parts.length, 0);
});
