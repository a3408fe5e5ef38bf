// One conversation: its messages and the reply box.

import { el, fill, icon } from "./dom.js";
import { t, clockTime, dayName, span, has } from "./words.js";
import { post, upload } from "./net.js";
import { store, watch, selectedConversation } from "./store.js";
import { toast, showTab } from "./frame.js";
import { avatar, channelName, queueBadge, shortName, signOf } from "./inbox.js";

const SIGNS = { queued: "clock", sending: "clock", sent: "check", delivered: "checks", read: "checks", held: "pause", unknown: "help", failed: "alert" };
const NEAR_END = 120;

let head, log, composer, drawnFor;

export function setUpThread() {
  const pane = document.getElementById("thread");
  head = el("header.thread-head");
  log = el("div.log", { role: "log", "aria-live": "polite", tabindex: "0" });
  composer = el("form.composer");
  pane.append(head, log, composer);
  watch(["conversations", "selected"], drawHead);
  watch(["messages", "selected"], drawLog);
  watch(["selected"], drawComposer);
  setInterval(drawHead, 30_000);
  document.addEventListener("visibilitychange", markRead);
  drawHead();
  drawLog();
}

/** The agent looks at the open conversation: it is read. */
export function markRead() {
  const conversation = selectedConversation();
  if (!conversation?.unread || document.visibilityState !== "visible") return;
  conversation.unread = 0;
  post(`/api/conversations/${encodeURIComponent(conversation.id)}/read`).catch(() => {});
}

function drawHead() {
  const conversation = selectedConversation();
  head.hidden = composer.hidden = !conversation;
  if (!conversation) return;
  const resolved = conversation.state === "resolved";
  fill(
    head,
    el("button.quiet.only-icon.to-list", { type: "button", "aria-label": t("back"), onclick: () => showTab("inbox") }, icon("back")),
    avatar(conversation.name || conversation.address, conversation.channel),
    el(
      "div.who",
      {},
      el("h1", {}, shortName(conversation)),
      el("p.where", {}, icon(signOf(conversation.channel)), channelName(conversation.channel), " · ", conversation.account, queueBadge(conversation.queue)),
    ),
    window_(conversation.reply),
    el("button.plain", { type: "button", onclick: () => setState(conversation, resolved ? "open" : "resolved") }, t(resolved ? "reopen" : "resolve")),
  );
}

/** What the platform still lets us say. */
function window_(reply) {
  if (!reply) return null;
  const seconds = reply.until ? (new Date(reply.until) - Date.now()) / 1000 : null;
  if (seconds !== null && seconds <= 0) return el("p.window.closed", { title: t("window_closed") }, icon("clock"), el("span", {}, t("window_closed")));
  if (reply.remaining === 0) return el("p.window.closed", {}, icon("clock"), el("span", {}, t("no_reply_left")));
  if (reply.remaining === null && seconds === null) return el("p.window", {}, el("span", {}, t("any_time")));
  const parts = [];
  if (typeof reply.remaining === "number") parts.push(reply.remaining === 1 ? t("reply_left") : t("replies_left", { n: reply.remaining }));
  if (seconds !== null) parts.push(t("window_until", { time: span(seconds) }));
  return el(`p.window${reply.remaining === 1 ? ".low" : ""}`, {}, icon("clock"), el("span", {}, parts.join(" · ")));
}

async function setState(conversation, state) {
  try {
    await post(`/api/conversations/${encodeURIComponent(conversation.id)}/state`, { state });
  } catch (error) {
    toast(error.message);
  }
}

function drawLog() {
  const conversation = selectedConversation();
  if (!conversation) {
    const started = store.conversations.size > 0;
    fill(log, el("div.quiet-note", {}, icon("chat"), el("b", {}, t(started ? "pick_title" : "empty_title")), el("p", {}, t(started ? "pick_text" : "empty_text"))));
    return;
  }
  const follow = drawnFor !== conversation.id || log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;
  fill(log, lines([...store.messages.values()]));
  if (follow) log.scrollTop = log.scrollHeight;
  drawnFor = conversation.id;
}

function lines(messages) {
  const drawn = [];
  let day = "";
  let before = null;
  for (const [index, message] of messages.entries()) {
    const at = new Date(message.at || Date.now());
    if (dayName(at) !== day) {
      day = dayName(at);
      before = null;
      drawn.push(el("p.day", {}, el("span", {}, day)));
    }
    const more = continues(message, messages[index + 1]);
    const together = before?.direction === message.direction && before.sender === message.sender;
    drawn.push(line(message, at, { together, more }));
    before = message;
  }
  return drawn;
}

/** The next line says the same time and state: once is enough. */
function continues(message, next) {
  return next?.direction === message.direction && next.sender === message.sender && next.status === message.status && next.at.slice(0, 16) === message.at.slice(0, 16);
}

function line(message, at, { together, more }) {
  const mail = selectedConversation()?.channel === "email";
  const bad = ["failed", "unknown", "held"].includes(message.status) ? `.${message.status}` : "";
  return el(
    `article.line.${message.direction}${together ? ".together" : ""}${bad}`,
    {},
    el(
      `div.bubble${mail ? ".letter" : ""}${isPicture(message) ? ".only-picture" : ""}`,
      {},
      mail && message.subject && el("h2", {}, message.subject),
      message.sender && !together && el("b.who", {}, message.sender),
      content(message),
    ),
    (!more || bad) && el("footer", {}, el("time", { datetime: message.at }, clockTime(at)), message.status && state(message)),
    bad && reason(message),
  );
}

function content(message) {
  const parts = message.attachments.map(attachment);
  if (message.location) parts.push(place(message.location));
  else if (message.text && !(isBare(message) && parts.length)) parts.push(el("p.words", {}, message.text));
  return parts;
}

/** The text only stands in for a file: "[image]". */
function isBare(message) {
  return /^\[(image|voice|video|file)\]$/.test(message.text);
}

function isPicture(message) {
  return message.attachments.length > 0 && isBare(message) && message.attachments.every((file) => file.kind === "image" && file.state === "stored");
}

function attachment(file) {
  const path = `/api/attachments/${encodeURIComponent(file.id)}`;
  const name = file.filename || file.kind || "file";
  if (file.state !== "stored") {
    const words = has(`attachment_${file.state}`) ? t(`attachment_${file.state}`) : "";
    return el("p.file", {}, icon(file.kind === "image" ? "picture" : "file"), el("span", {}, name), el("small", {}, words));
  }
  if (file.kind === "image") {
    const picture = el("img.picture", { src: path, alt: name, loading: "lazy" });
    picture.addEventListener("load", () => { if (log.scrollHeight - log.scrollTop - log.clientHeight < 500) log.scrollTop = log.scrollHeight; });
    return el("a", { href: path, target: "_blank", rel: "noreferrer noopener" }, picture);
  }
  return el("a.file", { href: path, download: name }, icon("file"), el("span", {}, name), file.size_bytes && el("small", {}, size(file.size_bytes)));
}

function place(location) {
  const coordinates = `${Number(location.latitude).toFixed(5)}, ${Number(location.longitude).toFixed(5)}`;
  return el("p.place", {}, icon("pin"), el("span", {}, el("b", {}, location.label || t("place")), el("small", {}, coordinates)));
}

export function size(bytes) {
  return bytes < 1024 * 1024 ? `${Math.max(1, Math.round(bytes / 1024))} kB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

function state(message) {
  const words = has(message.status) ? t(message.status) : message.status;
  return el(`span.state.${SIGNS[message.status] ? message.status : "other"}`, {}, SIGNS[message.status] && icon(SIGNS[message.status]), el("span", {}, words));
}

function reason(message) {
  const hint = message.detail || (has(`${message.status}_hint`) ? t(`${message.status}_hint`) : "");
  const decide = (decision) => () => post(`/api/messages/${encodeURIComponent(message.id)}/${decision}`).catch((error) => toast(error.message));
  return el(
    "div.reason",
    {},
    hint && el("p", {}, hint),
    el("button.plain", { type: "button", onclick: decide("resend") }, icon("again"), t("send_again")),
    message.status !== "failed" && el("button.plain", { type: "button", onclick: decide("cancel") }, t(message.status === "unknown" ? "leave_it" : "cancel")),
  );
}

// The reply box ------------------------------------------------------------

const drafts = new Map();

function drawComposer() {
  const conversation = selectedConversation();
  if (!conversation || (composer.dataset.for === conversation.id && composer.dataset.lang === document.documentElement.lang)) return;
  composer.dataset.for = conversation.id;
  composer.dataset.lang = document.documentElement.lang;
  const draft = drafts.get(conversation.id) ?? { text: "", files: [], menu: null, key: crypto.randomUUID() };
  drafts.set(conversation.id, draft);
  const box = el("textarea", { rows: "1", placeholder: t("write_reply"), "aria-label": t("write_reply"), title: t("enter_hint"), enterkeyhint: "send" });
  box.value = draft.text;
  const files = el("div.chips");
  const choices = el("input.choices", { type: "text", maxlength: "300", placeholder: t("choices_hint"), "aria-label": t("choices"), autocomplete: "off", hidden: draft.menu === null });
  choices.value = draft.menu ?? "";
  choices.addEventListener("input", () => {
    draft.menu = choices.value;
    draft.key = crypto.randomUUID();
  });
  const offer = () => {
    choices.hidden = !choices.hidden;
    draft.menu = choices.hidden ? null : choices.value;
    draft.key = crypto.randomUUID();
    (choices.hidden ? box : choices).focus();
  };
  const picker = el("input", { type: "file", hidden: true, multiple: true });
  const send = el("button.primary", { type: "submit", "aria-label": t("send") }, icon("send"), el("span", {}, t("send")));
  box.addEventListener("input", () => {
    draft.text = box.value;
    draft.key = crypto.randomUUID();
    grow(box);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    composer.requestSubmit();
  });
  picker.addEventListener("change", async () => {
    await addFiles(draft, [...picker.files]);
    picker.value = "";
    drawChips(files, draft);
  });
  composer.onsubmit = async (event) => {
    event.preventDefault();
    if (send.disabled || (!draft.text.trim() && !draft.files.length)) return;
    send.disabled = true;
    if (await say(conversation.id, draft)) {
      box.value = "";
      choices.value = "";
      choices.hidden = true;
      grow(box);
      drawChips(files, draft);
    }
    send.disabled = false;
    box.focus();
  };
  fill(
    composer,
    files,
    choices,
    el(
      "div.write",
      {},
      el("button.quiet.only-icon", { type: "button", "aria-label": t("attach"), title: t("attach"), onclick: () => picker.click() }, icon("clip")),
      el("button.quiet.only-icon.offer", { type: "button", "aria-label": t("choices"), title: t("choices"), onclick: offer }, icon("menu")),
      picker,
      box,
      send,
    ),
  );
  drawChips(files, draft);
  grow(box);
}

/** True when the hub has taken it. The same draft keeps its key, so trying again cannot say it twice. */
async function say(id, draft) {
  try {
    const attachments = draft.files.map((file) => file.id);
    const labels = (draft.menu ?? "").split(/[,，、]/).map((label) => label.trim()).filter(Boolean);
    await post(`/api/conversations/${encodeURIComponent(id)}/reply`, { text: draft.text, attachments, choices: labels, key: draft.key });
    Object.assign(draft, { text: "", files: [], menu: null, key: crypto.randomUUID() });
    return true;
  } catch (error) {
    toast(t("not_sent", { why: error.message }));
    return false;
  }
}

async function addFiles(draft, files) {
  for (const file of files) {
    try {
      const answer = await upload("/api/attachments", file);
      draft.files.push({ id: answer.id ?? answer.attachment?.id, name: file.name });
      draft.key = crypto.randomUUID();
    } catch (error) {
      toast(error.message);
    }
  }
}

function drawChips(place, draft) {
  fill(
    place,
    draft.files.map((file) =>
      el("span.chip", {}, icon("file"), file.name, el("button.quiet.only-icon", { type: "button", "aria-label": t("remove"), onclick: () => {
        draft.files.splice(draft.files.indexOf(file), 1);
        drawChips(place, draft);
      } }, icon("close"))),
    ),
  );
}

function grow(box) {
  box.rows = Math.min(8, Math.max(1, box.value.split("\n").length));
}
