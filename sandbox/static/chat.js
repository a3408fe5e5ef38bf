// A chat app on the phone: drawn from what the server says of it, whichever platform it is.

import { el, fill, icon } from "./dom.js";
import { t, said, clockTime, has } from "./words.js";
import { post, postWithFile } from "./net.js";
import { chatIn, store, touch } from "./store.js";
import { avatar } from "./inbox.js";
import { toast } from "./frame.js";
import { form } from "./forms.js";
import { toggleFaults } from "./faults.js";

const PAUSE_SECONDS = 300;
const EVENTS = {
  subscribe: "followed", unsubscribe: "unfollowed", SCAN: "scanned", click: "tapped_menu", CLICK: "tapped_menu", view: "opened_page", VIEW: "opened_page",
  enter_agent: "opened_app", enter_session: "opened_chat", recall: "recalled",
};
const CARDS = {
  location: "pin", link: "link", news: "link", textcard: "link", music: "film", miniprogrampage: "code", miniprogram: "code", card: "card", menu: "menu",
  business_card: "card", channels: "film", channels_shop_product: "card", channels_shop_order: "card", merged_msg: "chat", note: "card", meeting: "people", schedule: "clock",
};
const FILES = { voice: "mic", video: "film", shortvideo: "film", file: "file", audio: "mic", image: "picture" };

let title, log, bar, extras, sheet, input, more, sendButton;
let person, app, chat, drawnTitle, drawnTools, shownFor;

export function setUpChat(screen) {
  title = el("header.chat-title");
  log = el("div.chat-log", { role: "log", "aria-live": "polite" });
  input = el("textarea", { rows: "1", maxlength: "4000", enterkeyhint: "send" });
  sendButton = el("button.chat-send", { type: "submit" });
  extras = el("div.extras", { hidden: true });
  sheet = el("div.sheet.tool-sheet", { hidden: true });
  more = el("button.round", { type: "button", onclick: toggleExtras }, icon("plus"));
  bar = el("form.chat-bar", {}, input, more, sendButton);
  screen.append(title, log, bar, extras, sheet);
  bar.addEventListener("submit", say);
  input.addEventListener("input", fit);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    bar.requestSubmit();
  });
  fit();
}

export function drawChat(owner, shown) {
  person = owner;
  app = shown;
  chat = chatIn(app);
  const { open } = person.chats[app.key][chat];
  input.placeholder = open ? t("write_here") : said(app.closed);
  input.setAttribute("aria-label", t("write_here"));
  input.disabled = !open || !app.can_write;
  bar.hidden = !app.can_write && app.tools.length === 0;
  sendButton.textContent = t("send");
  more.setAttribute("aria-label", t("more"));
  drawTitle();
  drawTools(open);
  drawLog();
}

function drawTitle() {
  const key = JSON.stringify([app.key, chat, document.documentElement.lang]);
  if (drawnTitle === key) return;
  drawnTitle = key;
  fill(
    title,
    app.chats.length > 1 ? el("div.chat-tabs", { role: "tablist" }, app.chats.map(tab)) : el("b", {}, said(app.chats[0].title)),
    app.switches.length > 0 &&
      el("button.fault-button", { type: "button", title: t("faults"), "aria-label": t("faults"), onclick: toggleFaults }, icon("bug")),
  );
}

function tab(one) {
  return el(
    "button.chat-tab",
    {
      type: "button",
      role: "tab",
      "aria-selected": String(one.key === chat),
      onclick: () => {
        store.chat[app.key] = one.key;
        touch("phone");
      },
    },
    one.is_group && icon("people"),
    el("span", {}, said(one.title)),
  );
}

// Tools --------------------------------------------------------------------

function drawTools(open) {
  const key = JSON.stringify([person.key, app.key, chat, open, document.documentElement.lang]);
  if (drawnTools === key) return;
  drawnTools = key;
  sheet.hidden = true;
  const usable = app.tools.filter((tool) => tool.when === "always" || tool.when === (open ? "open" : "closed"));
  more.hidden = usable.length === 0;
  fill(extras, usable.map((tool) => el("button.tool", { type: "button", "data-tool": tool.key, onclick: () => pick(tool) }, el("span.tool-icon", {}, icon(tool.icon)), el("span", {}, said(tool.label)))));
}

function toggleExtras() {
  extras.hidden = !extras.hidden;
  log.scrollTop = log.scrollHeight;
}

/** A tool that asks for nothing acts at once; any other opens its sheet. */
function pick(tool) {
  extras.hidden = true;
  if (!tool.fields.length && !tool.accept) return act(tool.key, {}, null);
  const close = () => { sheet.hidden = true; };
  fill(
    sheet,
    el("header.sheet-head", {}, el("b", {}, said(tool.label)), el("button.quiet", { type: "button", "aria-label": t("close"), onclick: close }, icon("close"))),
    form({
      fields: tool.fields,
      accept: tool.accept,
      hasSample: tool.has_sample,
      label: t("send"),
      submit: async (fields, file) => {
        if (await act(tool.key, fields, file)) close();
      },
    }),
  );
  sheet.hidden = false;
  return undefined;
}

function fit() {
  input.rows = Math.min(4, Math.max(1, input.value.split("\n").length));
  bar.classList.toggle("has-text", input.value.trim() !== "");
}

async function say(event) {
  event.preventDefault();
  const text = input.value;
  if (!text.trim()) return;
  input.value = "";
  fit();
  if (!(await act("text", { text }, null)) && !input.value) {
    input.value = text;
    fit();
  }
}

/** Do it, and tell whether that was possible. */
async function act(action, fields, file) {
  const path = `/api/phone/${[person.key, app.key, chat].map(encodeURIComponent).join("/")}`;
  try {
    await (file ? postWithFile(path, { action, fields }, file) : post(path, { action, fields }));
    return true;
  } catch (error) {
    toast(error.message);
    return false;
  }
}

// Bubbles ------------------------------------------------------------------

function drawLog() {
  const key = `${person.key} ${app.key} ${chat}`;
  const follow = shownFor !== key || log.scrollHeight - log.scrollTop - log.clientHeight < 160;
  shownFor = key;
  const { open, bubbles } = person.chats[app.key][chat];
  const drawn = [];
  let before = 0;
  for (const bubble of bubbles) {
    if (bubble.at - before > PAUSE_SECONDS) drawn.push(el("p.chat-time", {}, clockTime(new Date(bubble.at * 1000))));
    before = bubble.at;
    drawn.push(line(bubble));
  }
  fill(log, drawn.length ? drawn : el("p.chat-time", {}, t("chat_empty")));
  const back = open ? null : app.tools.find((tool) => tool.when === "closed");
  if (back) log.append(el("button.follow", { type: "button", onclick: () => pick(back) }, said(back.label)));
  if (follow) log.scrollTop = log.scrollHeight;
}

function line(bubble) {
  if (bubble.author === "system") return el("p.chat-note", {}, has(EVENTS[bubble.kind]) ? t(EVENTS[bubble.kind]) : bubble.text);
  const mine = bubble.author === "user" && (!bubble.sender || bubble.sender === person.name);
  const group = app.chats.find((one) => one.key === chat)?.is_group;
  return el(
    `div.chat-line.${mine ? "mine" : "theirs"}`,
    {},
    bubble.author === "user" ? avatar(bubble.sender ?? person.name) : el("span.avatar.shop", { "aria-hidden": "true" }, icon("heart")),
    el(
      "div.chat-said",
      {},
      group && !mine && bubble.sender && el("small.chat-sender", {}, bubble.sender),
      el(`div.chat-bubble.${shapeOf(bubble)}`, {}, content(bubble)),
    ),
  );
}

function shapeOf(bubble) {
  if (bubble.kind === "image" && bubble.media_id) return "photo";
  if (bubble.choices.length) return "text";
  return bubble.kind in CARDS ? "card" : "text";
}

function content(bubble) {
  if (bubble.media_id && bubble.kind === "image") return picture(bubble);
  if (bubble.media_id && bubble.kind in FILES) return download(bubble);
  if (bubble.choices.length) return choices(bubble);
  return bubble.kind in CARDS ? card(bubble) : bubble.text;
}

function mediaOf(bubble) {
  return `/api/media/${encodeURIComponent(app.key)}/${encodeURIComponent(bubble.media_id)}`;
}

function picture(bubble) {
  const made = el("img", { src: mediaOf(bubble), alt: t("picture"), loading: "lazy" });
  made.addEventListener("load", () => { log.scrollTop = log.scrollHeight; });
  made.addEventListener("error", () => made.replaceWith(el("span.lost", {}, icon("picture"), t("picture"))));
  return made;
}

function download(bubble) {
  return el("a.chat-file", { href: mediaOf(bubble), download: "" }, icon(FILES[bubble.kind]), el("span", {}, bubble.text));
}

function choices(bubble) {
  return [
    el("span", {}, bubble.text),
    bubble.choices.map(([choice, label]) => el("button.choice", { type: "button", onclick: () => act("choice", { choice, label }, null) }, label)),
    bubble.details.footer && el("span", {}, bubble.details.footer),
  ];
}

function card(bubble) {
  const { title: name, description, url } = bubble.details;
  const said = name && name !== bubble.text ? [el("b", {}, name), el("span", {}, bubble.text)] : el("b", {}, bubble.text);
  return [
    said,
    description && el("span", {}, description),
    bubble.kind === "location" ? el("span.map", {}, icon("pin")) : el("span.card-foot", {}, icon(CARDS[bubble.kind]), url && el("small", {}, url)),
  ];
}
