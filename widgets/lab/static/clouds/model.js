// What a viewer's module asks of its model (anywidget's interface), where there is no kernel.

export class PageModel {
  #state;
  #actions = new Map();
  recordedOnly = true; // nobody will answer, and nobody waits

  constructor(state) {
    this.#state = { ...state };
  }

  get(name) {
    return this.#state[name];
  }

  set(name, value) {
    if (this.#state[name] === value) return;
    this.#state[name] = value;
    for (const action of this.#actions.get(`change:${name}`) ?? []) action();
  }

  on(name, action) {
    this.#actions.set(name, [...(this.#actions.get(name) ?? []), action]);
  }

  off(name, action) {
    this.#actions.set(name, (this.#actions.get(name) ?? []).filter(other => other !== action));
  }

  save_changes() {}

  send() {}
}
