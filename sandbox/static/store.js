// What the page knows, and who wants to hear when it changes.

export const store = {
  conversations: new Map(),
  selected: null,
  messages: new Map(),
  health: { counts: {}, troubles: [] },
  hub: { ok: false, status: 0, detail: "" },
  links: {},
  phone: null,
  person: null,
  app: "wechat",
  connected: true,
};

const watchers = [];

/** Call *render* after a change of any of *parts*. */
export function watch(parts, render) {
  watchers.push({ parts, render });
}

const changed = new Set();
let waiting = false;

/** Something changed: everyone concerned draws once, before the next frame. */
export function touch(...parts) {
  for (const part of parts) changed.add(part);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(draw);
}

function draw() {
  waiting = false;
  const parts = new Set(changed);
  changed.clear();
  for (const watcher of watchers) {
    if (watcher.parts.some((part) => parts.has(part) || parts.has("all"))) watcher.render();
  }
}

/** Conversations, the one with the newest message first. */
export function sortedConversations() {
  return [...store.conversations.values()].sort((a, b) => (a.last_at < b.last_at ? 1 : -1));
}

export function selectedConversation() {
  return store.selected ? (store.conversations.get(store.selected) ?? null) : null;
}

export function currentPerson() {
  return store.phone?.people.find((person) => person.key === store.person) ?? null;
}
