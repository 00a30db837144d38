// Crowds of points by WebGL 2: one context for all viewers of a kind, whose picture is copied to their canvases.

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i; // slower than our own loops

const VERTEX = `#version 300 es
in vec3 place;
in vec3 colour;
uniform vec4 right, down, near;
uniform vec3 veil;
uniform vec2 room;
uniform float size, alpha, fog;
flat out vec4 paint;
void main() {
  vec4 p = vec4(place, 1.0);
  float depth = clamp(dot(near, p), 0.0, 1.0);
  gl_Position = vec4(2.0 * dot(right, p) / room.x - 1.0, 1.0 - 2.0 * dot(down, p) / room.y, 1.0 - 2.0 * depth, 1.0);
  gl_PointSize = size;
  paint = alpha * vec4(mix(veil, colour, 1.0 - fog * (1.0 - depth)), 1.0);
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
flat in vec4 paint;
uniform bool square;
out vec4 ink;
void main() {
  vec2 q = 2.0 * gl_PointCoord - 1.0;
  if (!square && dot(q, q) > 1.0) discard;
  ink = paint;
}`;

/** A compiled program with the places of its uniforms; an error says what the compiler said. */
function linked(gl) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  ["place", "colour"].forEach((name, k) => gl.bindAttribLocation(program, k, name));
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  const count = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS);
  const names = Array.from({ length: count }, (_, k) => gl.getActiveUniform(program, k).name);
  gl.useProgram(program);
  return Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]));
}

class WebPainter {
  constructor(canvas) {
    const options = { antialias: false, preserveDrawingBuffer: false };
    Object.assign(this, { canvas, gl: canvas.getContext("webgl2", options) });
    if (!this.gl) throw new Error("no WebGL 2");
    this.#start();
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // so that it may come back
      this.lost = true;
      document.dispatchEvent(new Event("sparseot-repaint"));
    });
    canvas.addEventListener("webglcontextrestored", () => {
      this.#start();
      document.dispatchEvent(new Event("sparseot-repaint"));
    });
  }

  #start() {
    this.uniforms = linked(this.gl);
    this.held = new WeakMap(); // the points that are on the card, with their colours
    this.lost = false;
  }

  /** Whether a processor does the work of a card here. */
  get software() {
    const { gl } = this;
    const told = gl.getParameter(gl.RENDERER);
    const more = /webkit/i.test(told) ? gl.getExtension("WEBGL_debug_renderer_info") : null;
    return SOFTWARE.test(more ? gl.getParameter(more.UNMASKED_RENDERER_WEBGL) : told);
  }

  #buffer(array) {
    const { gl } = this;
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, array, gl.STATIC_DRAW);
    return buffer;
  }

  /** The buffers of a cloud, filled when it is first drawn and when its colours are others. */
  #buffers(points, colours) {
    const held = this.held.get(points) ?? { places: this.#buffer(points) };
    this.held.set(points, held);
    if (held.key !== colours) {
      const four = new Uint8Array((4 * colours.length) / 3);
      for (let k = 0, n = 0; k < colours.length; k += 3, n += 4) {
        four[n] = colours[k];
        four[n + 1] = colours[k + 1];
        four[n + 2] = colours[k + 2];
      }
      if (held.colours) this.gl.deleteBuffer(held.colours);
      Object.assign(held, { key: colours, colours: this.#buffer(four) });
    }
    return held;
  }

  /** Paint a crowd, as `crowd` of points.mjs does, on a canvas of this painter; returns the canvas and where on it. */
  paint({ points, dim, colours, matrix, radius, alpha, fog, veil, every, width, height, ratio }) {
    const { gl, canvas, uniforms: u } = this;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width < w || canvas.height < h) {
      Object.assign(canvas, { width: Math.max(w, canvas.width), height: Math.max(h, canvas.height) });
    }
    const { places, colours: paints } = this.#buffers(points, colours);
    gl.viewport(0, 0, w, h);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl[dim > 2 ? "enable" : "disable"](gl.DEPTH_TEST);
    gl[alpha < 1 ? "enable" : "disable"](gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    for (const [slot, buffer, size, type, bytes] of [[0, places, dim, gl.FLOAT, 4 * dim], [1, paints, 3, gl.UNSIGNED_BYTE, 4]]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(slot);
      gl.vertexAttribPointer(slot, size, type, slot > 0, bytes * every, 0);
    }
    ["right", "down", "near"].forEach((row, k) => gl.uniform4fv(u[row], matrix.slice(4 * k, 4 * k + 4)));
    gl.uniform3fv(u.veil, veil.map((v) => v / 255));
    gl.uniform2f(u.room, width, height);
    const size = Math.max(1, 2 * radius * ratio + 0.1);
    for (const [name, value] of Object.entries({ size, alpha, fog })) gl.uniform1f(u[name], value);
    gl.uniform1i(u.square, Number(size < 1.6));
    gl.drawArrays(gl.POINTS, 0, Math.floor((points.length / dim - 1) / every) + 1);
    return { canvas, left: 0, top: canvas.height - h, width: w, height: h };
  }
}

let shared; // not tried yet; null where there is none

/**
 * The painter of this page; null where there is no WebGL 2, where it was lost, and where a processor would do its work.
 * A page may insist, for tests and comparisons: globalThis.sparseotPainter = "webgl" or "canvas".
 */
export function webPainter() {
  const wanted = globalThis.sparseotPainter;
  if (wanted === "canvas" || !globalThis.document) return null;
  if (shared === undefined) {
    try {
      shared = new WebPainter(document.createElement("canvas"));
    } catch {
      shared = null;
    }
  }
  return shared && !shared.lost && (wanted === "webgl" || !shared.software) ? shared : null;
}
