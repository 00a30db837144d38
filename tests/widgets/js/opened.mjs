// Open files as a tab of JupyterLab does, and print what it would show: called by test_files.py.
import { readFileSync } from "node:fs";
import { suggested } from "../../../widgets/lab/static/clouds/choice.js";
import { loadedColumns, loading } from "../../../widgets/lab/static/clouds/python.js";
import { stateOf } from "../../../widgets/lab/static/clouds/scene.js";
import { sentence } from "../../../widgets/lab/static/clouds/tab.js";
import { read } from "../../../widgets/lab/static/readers/read.js";

const settings = { pointSize: 1, colourMap: "viridis" };
const floats = ({ buffer }) => [...new Float32Array(buffer)];

async function opened(path, limit) {
  try {
    const { table, arrays, array } = await read(path, new Uint8Array(readFileSync(path)), { limit });
    const choice = suggested(table);
    const { _scene: scene, colour, notes } = stateOf(table, choice, settings);
    const columns = loadedColumns(table, choice);
    return {
      points: floats(scene.points), shape: scene.points.shape, names: scene.names, colour, notes, arrays, array,
      rgb: scene.rgb && [...new Uint8Array(scene.rgb.buffer)],
      values: scene.values && floats(scene.values),
      words: scene.labels && Array.from(new Uint8Array(scene.labels.buffer), label => scene.classes[label]),
      columns: table.columns.map(({ name }) => name),
      line: loading(path, table, columns, Infinity),
      sparse: loading(path, table, columns, 3),
    };
  } catch (error) {
    return { error: sentence(path, error), kind: error.constructor.name };
  }
}

const [limit, ...paths] = process.argv.slice(2);
const found = {};
for (const path of paths) found[path] = await opened(path, Number(limit));
console.log(JSON.stringify(found));
