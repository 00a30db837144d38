// The plugins of this extension; `lab` has what JupyterLab and Notebook 7 share.
import clouds from "./clouds/plugin.js";
import tutorials from "./tutorials.js";

export default lab => [tutorials(lab), clouds(lab)];
