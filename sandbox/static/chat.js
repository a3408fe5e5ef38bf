// The chat app on the phone.

import { el, fill, icon } from "./dom.js";
import { t, clockTime, has } from "./words.js";
import { post, upload } from "./net.js";
import { avatar } from "./inbox.js";
import { toast } from "./frame.js";

const PLACE = { latitude: 31.23039, longitude: 121.473701 };
const PAUSE_SECONDS = 300;
const EVENTS = { subscribe: "followed", unsubscribe: "unfollowed", SCAN: "scanned" };

let title, log, bar, extras, input, sendButton, picker, shownFor;
let person;

export function setUpChat(screen) {
  title = el("header.chat-title");
  log = el("div.chat-log", { role: "log", "aria-live": "polite" });
  input = el("textarea", { rows: "1", maxlength: "2000", enterkeyhint: "send" });
  sendButton = el("button.chat-send", { type: "submit" });
  extras = el("div.extras", { hidden: true });
  picker = el("input", { type: "file", accept: "image/png,image/jpeg,image/gif", hidden: true });
  const more = el("button.round", { type: "button", "aria-label": "+", onclick: toggleExtras }, icon("plus"));
  bar = el("form.chat-bar", {}, input, more, sendButton, picker);
  screen.append(title, log, bar, extras);
  bar.addEventListener("submit", say);
  input.addEventListener("input", fit);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    bar.requestSubmit();
  });
  picker.addEventListener("change", sendPicture);
  fit();
}

export function drawChat(owner) {
  person = owner;
  fill(title, el("b", {}, t("wechat_account")));
  input.placeholder = t(person.following ? "wechat_write" : "not_following");
  input.setAttribute("aria-label", t("wechat_write"));
  input.disabled = !person.following;
  sendButton.textContent = t("send");
  fill(extras, tools());
  drawLog();
}

function tools() {
  if (!person.following) return [tool("heart", "follow", () => act({ action: "subscribe" }))];
  return [
    tool("picture", "photo", () => picker.click()),
    tool("pin", "location", () => act({ action: "location", ...PLACE, label: t("place_1") })),
    tool("scan", "scan", () => act({ action: "scan" })),
    tool("heart", "unfollow", () => act({ action: "unsubscribe" })),
  ];
}

function tool(shape, words, onclick) {
  return el("button.tool", { type: "button", onclick }, el("span.tool-icon", {}, icon(shape)), el("span", {}, t(words)));
}

function toggleExtras() {
  extras.hidden = !extras.hidden;
  log.scrollTop = log.scrollHeight;
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
  await act({ action: "text", text });
}

async function act(what) {
  if (!["text", "menu"].includes(what.action)) extras.hidden = true;
  try {
    await post(`/api/phone/${person.key}/wechat`, what);
  } catch (error) {
    toast(error.message);
  }
}

async function sendPicture() {
  const [file] = picker.files;
  picker.value = "";
  if (!file) return;
  extras.hidden = true;
  try {
    await upload(`/api/phone/${person.key}/picture`, file);
  } catch (error) {
    toast(error.message);
  }
}

function drawLog() {
  const follow = shownFor !== person.key || log.scrollHeight - log.scrollTop - log.clientHeight < 160;
  shownFor = person.key;
  const drawn = [];
  let before = 0;
  for (const bubble of person.bubbles) {
    if (bubble.at - before > PAUSE_SECONDS) drawn.push(el("p.chat-time", {}, clockTime(new Date(bubble.at * 1000))));
    before = bubble.at;
    drawn.push(line(bubble));
  }
  fill(log, drawn.length ? drawn : el("p.chat-time", {}, t("wechat_empty")));
  if (!person.following) log.append(el("button.follow", { type: "button", onclick: () => act({ action: "subscribe" }) }, t("follow")));
  if (follow) log.scrollTop = log.scrollHeight;
}

function line(bubble) {
  if (bubble.author === "system") return el("p.chat-note", {}, has(EVENTS[bubble.kind]) ? t(EVENTS[bubble.kind]) : bubble.text);
  const mine = bubble.author === "user";
  return el(
    `div.chat-line.${mine ? "mine" : "theirs"}`,
    {},
    mine ? avatar(person.name) : el("span.avatar.shop", { "aria-hidden": "true" }, icon("heart")),
    el(`div.chat-bubble.${bubbleKind(bubble)}`, {}, content(bubble)),
  );
}

function bubbleKind(bubble) {
  if (bubble.kind === "image" && bubble.media_id) return "photo";
  return bubble.kind === "location" ? "card" : "text";
}

function content(bubble) {
  if (bubble.kind === "image" && bubble.media_id) {
    const picture = el("img", { src: `/api/phone/media/${encodeURIComponent(bubble.media_id)}`, alt: t("photo"), loading: "lazy" });
    picture.addEventListener("load", () => { log.scrollTop = log.scrollHeight; });
    return picture;
  }
  if (bubble.kind === "location") return [el("b", {}, bubble.text), el("span.map", {}, icon("pin"))];
  if (bubble.choices.length) {
    return [
      el("span", {}, bubble.text),
      bubble.choices.map(([choice, label]) => el("button.choice", { type: "button", onclick: () => act({ action: "menu", text: label, choice }) }, label)),
      bubble.details.footer && el("span", {}, bubble.details.footer),
    ];
  }
  return bubble.text;
}

