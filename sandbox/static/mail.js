// The mail app on the phone.

import { el, fill, icon } from "./dom.js";
import { t, clockTime, shortTime } from "./words.js";
import { post } from "./net.js";
import { store, touch } from "./store.js";
import { avatar } from "./inbox.js";
import { toast } from "./frame.js";
import { size } from "./thread.js";

let screen, person;
let view = { name: "list" };
const drafts = new Map();

export function setUpMail(place) {
  screen = place;
}

export function drawMail(owner) {
  if (person?.key !== owner.key) view = { name: "list" };
  person = owner;
  // What is being written is left alone when news comes in.
  const key = JSON.stringify([view, person.key, document.documentElement.lang, view.name === "write" ? 0 : person.letters.length]);
  if (screen.dataset.drawn === key) return;
  screen.dataset.drawn = key;
  if (view.name === "write") drawWriting();
  else if (view.name === "letter") drawLetter();
  else drawList();
}

function show(next) {
  view = next;
  touch("phone");
}

function drawList() {
  const letters = [...person.letters].reverse();
  fill(
    screen,
    el("header.mail-head", {}, el("h2", {}, t("mailbox")), el("small", {}, person.mail)),
    el("div.mail-list", {}, letters.length ? letters.map(row) : el("p.chat-time", {}, t("mail_empty"))),
    el("button.compose", { type: "button", onclick: () => show({ name: "write", answering: null }) }, icon("edit"), t("compose")),
  );
}

function row(letter) {
  const received = letter.direction === "received";
  return el(
    `button.mail-row.${letter.direction}`,
    { type: "button", onclick: () => show({ name: "letter", number: letter.number }) },
    avatar(received ? t("wechat_account") : person.name),
    el(
      "span.row-text",
      {},
      el("span.row-top", {}, el("b.row-name", {}, received ? nameOf(letter.sender) : `${t("to")}: ${store.phone.shop}`), el("time", {}, shortTime(new Date(letter.at * 1000)))),
      el("span.row-subject", {}, letter.subject),
      el("span.row-preview", {}, letter.text.slice(0, 120)),
    ),
  );
}

function drawLetter() {
  const letter = person.letters.find((each) => each.number === view.number);
  if (!letter) return show({ name: "list" });
  fill(
    screen,
    el("header.mail-bar", {}, el("button.quiet", { type: "button", onclick: () => show({ name: "list" }) }, icon("back"), t("mailbox"))),
    el(
      "article.mail-letter",
      {},
      el("h2", {}, letter.subject),
      el("p.mail-facts", {}, el("b", {}, nameOf(letter.sender)), el("time", {}, clockTime(new Date(letter.at * 1000)))),
      el("p.mail-text", {}, letter.text),
      letter.files.map((file) => el("p.file", {}, icon("file"), el("span", {}, file.filename), el("small", {}, size(file.size_bytes)))),
    ),
    el("button.compose", { type: "button", onclick: () => show({ name: "write", answering: letter.number }) }, icon("edit"), t("mail_answer")),
  );
}

function drawWriting() {
  const answered = person.letters.find((letter) => letter.number === view.answering);
  const key = `${person.key}:${view.answering}`;
  const draft = drafts.get(key) ?? { subject: answered ? against(answered.subject) : "", text: "" };
  drafts.set(key, draft);
  const subject = el("input", { type: "text", "aria-label": t("subject"), maxlength: "200" });
  const text = el("textarea", { rows: "8", "aria-label": t("mail_write"), placeholder: t("mail_write") });
  subject.value = draft.subject;
  text.value = draft.text;
  subject.addEventListener("input", () => { draft.subject = subject.value; });
  text.addEventListener("input", () => { draft.text = text.value; });
  const send = el("button.mail-send", { type: "submit" }, icon("send"), t("send"));
  const form = el(
    "form.mail-form",
    {},
    el("header.mail-bar", {}, el("button.quiet", { type: "button", onclick: () => show({ name: "list" }) }, icon("back"), t("mailbox")), send),
    el("p.mail-field", {}, el("span", {}, t("to")), store.phone.shop),
    el("label.mail-field", {}, el("span", {}, t("subject")), subject),
    text,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.disabled || !draft.text.trim()) return;
    send.disabled = true;
    try {
      await post(`/api/phone/${person.key}/mail`, { ...draft, answering: view.answering });
      drafts.delete(key);
      show({ name: "list" });
    } catch (error) {
      toast(error.message);
    }
    send.disabled = false;
  });
  fill(screen, form);
  (answered ? text : subject).focus();
}

function against(subject) {
  return /^re:/i.test(subject) ? subject : `Re: ${subject}`;
}

function nameOf(sender) {
  return sender.replace(/<[^>]*>/, "").replaceAll('"', "").trim() || sender.replace(/[<>]/g, "");
}
