// Sliders, choosers and buttons: each made once, and told what to show.
import { nearestStop, words } from "./scales.mjs";

/** An element with its attributes and children. Text is only ever text, never HTML. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children);
  // JupyterLab takes arrow keys away from what does not bear this.
  if (["input", "select", "button", "canvas"].includes(name)) {
    element.dataset.lmSuppressShortcuts = "true";
  }
  return element;
}

/** What a control shows for a value, with its unit. */
export function valueText(control, value) {
  if (value === null || value === undefined) return control.none;
  const number = typeof value === "number" ? words(value) : String(value);
  return control.unit ? `${number} ${control.unit}` : number;
}

function slider(control, change) {
  const stops = control.stops;
  const input = make("input", {
    type: "range", min: 0, max: stops.length - 1, step: 1,
    "aria-label": `${control.label} ${control.symbol}`.trim(),
    title: "double click: back to the first value",
    oninput: () => change(stops[input.valueAsNumber]),
    ondblclick: () => change(stops[nearestStop(stops, control.initial)]),
  });
  const output = make("output");
  const name = make("span", { class: "sov-name" }, control.label);
  if (control.symbol) name.append(" ", make("i", {}, control.symbol));
  const show = (value) => {
    const text = valueText(control, value);
    input.value = nearestStop(stops, value);
    input.setAttribute("aria-valuetext", text);
    output.textContent = text;
  };
  return { input, show, parts: [name, input, output] };
}

function choice(control, change) {
  const input = make("select", { "aria-label": control.label, onchange: () => change(input.value) });
  for (const stop of control.stops) input.append(make("option", { value: stop }, stop));
  const show = (value) => { input.value = value; };
  return { input, show, parts: [make("span", { class: "sov-name" }, control.label), input] };
}

/** A row for one control; `change(value)` is called when the reader moves it. */
export function controlRow(control, change) {
  const { input, show, parts } = (control.kind === "slider" ? slider : choice)(control, change);
  input.name = control.name;
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") input.blur(); // back to the notebook's own keys
  });
  const row = make("label", { class: `sov-row sov-${control.kind}` }, ...parts);
  const alone = control.stops.length < 2;
  input.disabled = alone;
  return { row, input, show, local: control.local, alone };
}

/** A button that walks a slider through its stops; returns its element and a way to end it. */
export function player(control, get, change) {
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = "▶";
    button.setAttribute("aria-label", `play ${control.label}`);
  };
  const step = () => {
    const next = nearestStop(control.stops, get()) + 1;
    if (next >= control.stops.length) stop();
    else change(control.stops[next]);
  };
  const toggle = () => {
    if (timer) return stop();
    if (nearestStop(control.stops, get()) === control.stops.length - 1) change(control.stops[0]);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches; // pictures one by one, no film
    timer = setInterval(step, calm ? 1000 : 90);
    button.textContent = "❚❚";
    button.setAttribute("aria-label", "pause");
    return undefined;
  };
  const button = make("button", { type: "button", class: "sov-play", onclick: toggle });
  stop();
  return { button, stop };
}
