// What the page knows, and who wants to hear when it changes.

export const store = {
  conversations: new Map(),
  selected: null,
  messages: new Map(),
  health: { counts: {}, troubles: [] },
  hub: null,
  links: {},
  phone: null,
  person: null,
  app: null,
  chat: {},
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

/** Conversations, the one with the newest message first; times are no texts: a whole second has no fraction. */
export function sortedConversations() {
  const newest = (one) => Date.parse(one.last_at) || 0;
  return [...store.conversations.values()].sort((a, b) => newest(b) - newest(a));
}

export function selectedConversation() {
  return store.selected ? (store.conversations.get(store.selected) ?? null) : null;
}

export function currentPerson() {
  return store.phone?.people.find((person) => person.key === store.person) ?? null;
}

/** The app that the phone shows; the mail app, which has no chats, is { key: "mail" }. */
export function currentApp() {
  return store.phone?.apps.find((app) => app.key === store.app) ?? { key: "mail" };
}

/** The chat that is open in *app*: its key. */
export function chatIn(app) {
  return store.chat[app.key] ?? app.chats[0].key;
}

export function isShown(person, app, chat) {
  if (person !== store.person || app !== store.app) return false;
  return chat === undefined || chat === chatIn(currentApp());
}

/** Whether something new waits on the phone of *person*: in any app, or in *app* alone. */
export function hasNews(person, app) {
  return app ? Boolean(person.news?.has(app)) : Boolean(person.news?.size);
}
