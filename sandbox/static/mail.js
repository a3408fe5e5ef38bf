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
  else if (view.name === "thread") drawThread();
  else drawList();
}

function show(next) {
  view = next;
  touch("phone");
}

// The letters by thread, the thread with the newest letter first.
function threads() {
  const found = new Map();
  for (const letter of person.letters) {
    const letters = found.get(letter.thread) ?? [];
    found.delete(letter.thread);
    found.set(letter.thread, [...letters, letter]);
  }
  return [...found.values()].reverse();
}

function drawList() {
  const all = threads();
  fill(
    screen,
    el("header.mail-head", {}, el("h2", {}, t("mailbox")), el("small", {}, person.mail)),
    el("div.mail-list", {}, all.length ? all.map(row) : el("p.chat-time", {}, t("mail_empty"))),
    el("button.compose", { type: "button", onclick: () => show({ name: "write", answering: null }) }, icon("edit"), t("compose")),
  );
}

function row(letters) {
  const last = letters.at(-1);
  const received = last.direction === "received";
  const count = letters.length > 1 ? [el("small.mail-count", { "aria-label": t("mail_count", { n: letters.length }) }, String(letters.length))] : [];
  return el(
    `button.mail-row.${last.direction}`,
    { type: "button", onclick: () => show({ name: "thread", number: last.thread }) },
    avatar(received ? t("wechat_account") : person.name),
    el(
      "span.row-text",
      {},
      el("span.row-top", {}, el("b.row-name", {}, received ? nameOf(last.sender) : `${t("to")}: ${store.phone.shop}`), count, el("time", {}, shortTime(new Date(last.at * 1000)))),
      el("span.row-subject", {}, letters[0].subject),
      el("span.row-preview", {}, last.text.slice(0, 120)),
    ),
  );
}

function drawThread() {
  const letters = person.letters.filter((each) => each.thread === view.number);
  if (!letters.length) return show({ name: "list" });
  fill(
    screen,
    el("header.mail-bar", {}, el("button.quiet", { type: "button", onclick: () => show({ name: "list" }) }, icon("back"), t("mailbox"))),
    el("div.mail-thread", {}, el("h2", {}, letters[0].subject), letters.map(article)),
    el("button.compose", { type: "button", onclick: () => show({ name: "write", answering: letters.at(-1).number }) }, icon("edit"), t("mail_answer")),
  );
  screen.querySelector(".mail-letter:last-of-type").scrollIntoView({ block: "nearest" });
}

function article(letter) {
  return el(
    `article.mail-letter.${letter.direction}`,
    {},
    el("p.mail-facts", {}, el("b", {}, nameOf(letter.sender)), el("time", {}, clockTime(new Date(letter.at * 1000)))),
    el("p.mail-text", {}, letter.text),
    letter.files.map((file) => el("p.file", {}, icon("file"), el("span", {}, file.filename), el("small", {}, size(file.size_bytes)))),
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
  const leave = () => show(answered ? { name: "thread", number: answered.thread } : { name: "list" });
  const send = el("button.mail-send", { type: "submit" }, icon("send"), t("send"));
  const form = el(
    "form.mail-form",
    {},
    el("header.mail-bar", {}, el("button.quiet", { type: "button", onclick: leave }, icon("back"), t("mailbox")), send),
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
      leave();
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
