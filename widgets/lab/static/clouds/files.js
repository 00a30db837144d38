// Which files are taken for points, and what the extension calls its parts.

export const FACTORY = "Point cloud";
export const PLUGIN = "sparseot:clouds";
export const DEFAULTS = { pointSize: 1, colourMap: "viridis", rowLimit: 250_000 }; // as in schemas/clouds.json

// What a double click opens as points ...
export const TYPES = {
  npy: "NumPy array", npz: "NumPy arrays", ply: "Polygons (.ply)", xyz: "Points (.xyz)", pts: "Points (.pts)",
};
// ... and what keeps its own viewer, and has this one in "Open With". JupyterLab knows the second three.
export const OTHERS = { asc: "Points (.asc)" };
export const TEXTS = ["csv", "tsv", "text"];

export const ENDINGS = [...Object.keys(TYPES), ...Object.keys(OTHERS), "csv", "tsv", "txt"];
