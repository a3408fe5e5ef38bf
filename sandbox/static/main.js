// The page begins here.

import { get, listen } from "./net.js";
import { isShown, store, touch, currentPerson, sortedConversations } from "./store.js";
import { setUpFrame } from "./frame.js";
import { openConversation, setUpInbox } from "./inbox.js";
import { setUpThread, markRead } from "./thread.js";
import { setUpPhone } from "./phone.js";

// The key came in the link and is now a cookie: keep it out of sight and history.
history.replaceState(null, "", "/");

setUpFrame();
setUpInbox();
setUpThread();
setUpPhone();

const wide = matchMedia("(min-width: 900px)");

async function begin() {
  const state = await get("/api/state");
  store.conversations = new Map(state.conversations.map((each) => [each.id, each]));
  store.health = state.health;
  store.hub = state.hub;
  store.links = state.links;
  store.phone = state.phone;
  store.person ??= state.phone?.people[0]?.key ?? null;
  store.app ??= state.phone?.apps[0]?.key ?? "mail";
  store.connected = true;
  if (store.selected && !store.conversations.has(store.selected)) store.selected = null;
  const first = conversationOnPhone() ?? sortedConversations()[0];
  if (!store.selected && first && wide.matches) openConversation(first.id);
  else if (store.selected) openConversation(store.selected);
  touch("all");
}

/** What stands on the phone in hand, so that both sides of the page show the same at first. */
function conversationOnPhone() {
  const channel = store.app === "mail" ? "email" : store.app;
  return sortedConversations().find((each) => each.channel === channel && each.name === currentPerson()?.name);
}

const NEWS = {
  conversation(conversation) {
    store.conversations.set(conversation.id, conversation);
    touch("conversations");
  },
  message({ conversation, message }) {
    store.conversations.set(conversation.id, conversation);
    if (conversation.id === store.selected) {
      store.messages.set(message.id, message);
      markRead();
    } else if (!store.selected && wide.matches) openConversation(conversation.id);
    touch("conversations", "messages");
  },
  health(health) {
    store.health = health;
    touch("health");
  },
  hub(hub) {
    store.hub = hub;
    touch("hub");
  },
  bubble({ person, app, chat, bubble, open }) {
    const owner = store.phone?.people.find((each) => each.key === person);
    if (!owner) return;
    owner.chats[app][chat].open = open;
    owner.chats[app][chat].bubbles.push(bubble);
    if (bubble.author === "account" && !isShown(person, app)) note(owner, app);
    touch("phone");
  },
  letter({ person, letter }) {
    const owner = store.phone?.people.find((each) => each.key === person);
    if (!owner) return;
    owner.letters.push(letter);
    if (letter.direction === "received" && !isShown(person, "mail")) note(owner, "mail");
    touch("phone");
  },
  switches({ app, pending }) {
    const owner = store.phone?.apps.find((each) => each.key === app);
    if (owner) owner.pending = pending;
    touch("phone");
  },
};

function note(owner, app) {
  owner.news ??= new Set();
  owner.news.add(app);
}

listen(Object.keys(NEWS), {
  news: (topic, document) => NEWS[topic](document),
  begin: () => begin().catch(() => {}),
  lost() {
    store.connected = false;
    touch("hub");
  },
});
