// The list of conversations.

import { el, fill, icon } from "./dom.js";
import { t, said, shortTime, has } from "./words.js";
import { get } from "./net.js";
import { store, touch, watch, sortedConversations } from "./store.js";
import { showTab, toast } from "./frame.js";
import { markRead } from "./thread.js";

let wanted = "";
let inView = null; // the conversation to which the list has been scrolled
let list;

export function setUpInbox() {
  watch(["conversations", "selected"], drawList);
  watch(["language"], drawFrame);
  drawFrame();
}

function drawFrame() {
  const search = el("input.search", { type: "search", placeholder: t("search"), "aria-label": t("search"), autocomplete: "off" });
  search.value = wanted;
  search.addEventListener("input", () => {
    wanted = search.value.trim().toLowerCase();
    drawList();
  });
  list = el("div.list", { role: "list" });
  inView = null;
  fill(document.getElementById("inbox"), el("div.search-box", {}, icon("search"), search), list);
  drawList();
}

/** Show a conversation in the middle. */
export async function openConversation(id) {
  const isNew = store.selected !== id;
  store.selected = id;
  if (isNew) store.messages = new Map();
  touch("selected", "messages");
  try {
    const { conversation, messages } = await get(`/api/conversations/${encodeURIComponent(id)}`);
    if (store.selected !== id) return;
    store.conversations.set(id, conversation);
    store.messages = new Map(messages.map((message) => [message.id, message]));
    touch("conversations", "messages");
    markRead();
  } catch (error) {
    toast(error.message);
  }
}

function drawList() {
  const all = sortedConversations();
  const shown = all.filter(matches);
  if (!shown.length) return void fill(list, all.length ? el("p.none", {}, t("nothing_found")) : quiet());
  fill(list, shown.map(row));
  if (store.selected !== inView) {
    inView = store.selected;
    list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }
}

function quiet() {
  return el("div.quiet-note", {}, icon("inbox"), el("b", {}, t("empty_title")), el("p", {}, t("empty_text")));
}

function matches(conversation) {
  if (!wanted) return true;
  return [conversation.name, conversation.preview, conversation.subject, conversation.queue, conversation.address]
    .some((text) => String(text ?? "").toLowerCase().includes(wanted));
}

function row(conversation) {
  const current = conversation.id === store.selected;
  const preview = `${conversation.last_direction === "outbound" ? `${t("you")}: ` : ""}${conversation.preview}`;
  return el(
    `button.row${conversation.unread ? ".unread" : ""}${conversation.state === "resolved" ? ".resolved" : ""}`,
    {
      type: "button",
      role: "listitem",
      "aria-current": current ? "true" : null,
      onclick: () => {
        openConversation(conversation.id);
        showTab("conversation");
      },
    },
    avatar(conversation.name || conversation.address, conversation.channel),
    el(
      "span.row-text",
      {},
      el("span.row-top", {}, el("b.row-name", {}, shortName(conversation)), conversation.last_at && el("time", {}, shortTime(new Date(conversation.last_at)))),
      el("span.row-preview", {}, preview),
      el("span.row-foot", {}, queueBadge(conversation.queue), conversation.subject && el("span.row-subject", {}, conversation.subject)),
    ),
    conversation.unread > 0 && el("span.badge", {}, String(conversation.unread)),
  );
}

/** A name, or the beginning of an address that is too long to read. */
export function shortName(conversation) {
  const name = conversation.name || conversation.address || "?";
  return name === conversation.address && name.length > 24 && !name.includes("@") ? `${name.slice(0, 10)}…${name.slice(-4)}` : name;
}

/** A round picture made of the first letter, with the channel's sign at its corner. */
export function avatar(name, channel) {
  const letter = [...(name || "?")][0].toUpperCase();
  return el(`span.avatar.tint${tint(name || "?")}`, { "aria-hidden": "true" }, letter, channel && sign(channel));
}

export function queueBadge(queue) {
  return queue ? el(`span.queue.tint${tint(queue)}`, {}, queue) : null;
}

export function channelName(channel) {
  const app = appOf(channel);
  if (app) return said(app.name);
  return has(`channel_${channel}`) ? t(`channel_${channel}`) : channel;
}

export function signOf(channel) {
  return channel === "email" ? "mail" : (appOf(channel)?.icon ?? "chat");
}

/** The app on the phones that stands for *channel*: it has the same key. */
function appOf(channel) {
  return store.phone?.apps.find((app) => app.key === channel);
}

function sign(channel) {
  const made = el("span.sign", {}, icon(signOf(channel)));
  made.style.setProperty("--app", appOf(channel)?.colour ?? "#3f7fd0");
  return made;
}

/** One of six colours, always the same for a word. */
function tint(word) {
  let sum = 0;
  for (const letter of word) sum = (sum * 31 + letter.codePointAt(0)) % 997;
  return sum % 6;
}
