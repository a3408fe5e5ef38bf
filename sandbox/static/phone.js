// The phone on the right: you are the customer.

import { el, fill } from "./dom.js";
import { t, clockTime } from "./words.js";
import { icon } from "./dom.js";
import { store, touch, watch, currentPerson } from "./store.js";
import { avatar } from "./inbox.js";
import { drawChat, setUpChat } from "./chat.js";
import { drawMail, setUpMail } from "./mail.js";

let people, status, dock, screens;

export function setUpPhone() {
  const pane = document.getElementById("phone");
  people = el("div.people", { role: "tablist" });
  status = el("div.status-bar");
  screens = { wechat: el("div.screen.chat-screen"), mail: el("div.screen.mail-screen") };
  dock = el("nav.dock");
  pane.append(
    people,
    el("div.device", {}, el("div.glass", {}, status, screens.wechat, screens.mail, dock)),
    el("p.phone-hint"),
  );
  setUpChat(screens.wechat);
  setUpMail(screens.mail);
  watch(["phone"], draw);
  setInterval(drawStatus, 10_000);
}

function draw() {
  const person = currentPerson();
  document.getElementById("phone").hidden = !person;
  if (!person) return;
  if (store.app === "wechat") person.newWechat = false;
  else person.newMail = false;
  for (const [app, screen] of Object.entries(screens)) screen.hidden = app !== store.app;
  drawPeople();
  drawStatus();
  drawDock(person);
  document.querySelector(".phone-hint").textContent = t("phone_hint");
  drawChat(person);
  drawMail(person);
}

function drawPeople() {
  fill(
    people,
    store.phone.people.map((person) =>
      el(
        "button.person",
        { type: "button", role: "tab", "aria-selected": String(person.key === store.person), onclick: () => choose(person.key) },
        avatar(person.name),
        el("span", {}, person.name.split(" ")[0]),
        (person.newWechat || person.newMail) && person.key !== store.person && el("i.news"),
      ),
    ),
  );
}

function choose(key) {
  store.person = key;
  touch("phone");
}

function drawStatus() {
  if (status) fill(status, el("time", {}, clockTime(new Date())), el("span.signal", {}, el("i"), el("i"), el("i"), el("i")), el("span.battery", {}, el("i")));
}

function drawDock(person) {
  fill(dock, app("wechat", "wechat", t("channel_wechat"), person.newWechat), app("mail", "mail", t("channel_email"), person.newMail));
}

function app(name, shape, label, news) {
  return el(
    `button.app.${name}`,
    {
      type: "button",
      "aria-pressed": String(store.app === name),
      onclick: () => {
        store.app = name;
        touch("phone");
      },
    },
    el("span.app-icon", {}, icon(shape), news && el("i.news")),
    el("span", {}, label),
  );
}
