// The phone on the right: you are the customer. Which apps it has, the server says.

import { el, fill, icon } from "./dom.js";
import { t, said, clockTime } from "./words.js";
import { currentApp, currentPerson, hasNews, store, touch, watch } from "./store.js";
import { avatar } from "./inbox.js";
import { drawChat, setUpChat } from "./chat.js";
import { drawMail, setUpMail } from "./mail.js";
import { drawFaults, setUpFaults } from "./faults.js";

const MAIL = { key: "mail", icon: "mail", colour: "#3f7fd0" };

let people, status, dock, glass, screens;

export function setUpPhone() {
  const pane = document.getElementById("phone");
  people = el("div.people", { role: "tablist" });
  status = el("div.status-bar");
  screens = { chat: el("div.screen.chat-screen"), mail: el("div.screen.mail-screen") };
  const faults = el("div.sheet.faults", { hidden: true });
  dock = el("nav.dock");
  glass = el("div.glass", {}, status, screens.chat, screens.mail, dock, faults);
  pane.append(people, el("div.device", {}, glass), el("p.phone-hint"));
  setUpChat(screens.chat);
  setUpMail(screens.mail);
  setUpFaults(faults);
  watch(["phone"], draw);
  setInterval(drawStatus, 10_000);
}

function draw() {
  const person = currentPerson();
  document.getElementById("phone").hidden = !person;
  if (!person) return;
  const app = currentApp();
  person.news?.delete(app.key);
  screens.chat.hidden = app.key === "mail";
  screens.mail.hidden = app.key !== "mail";
  glass.style.setProperty("--app", app.colour ?? MAIL.colour);
  drawPeople();
  drawStatus();
  drawDock(person, app);
  document.querySelector(".phone-hint").textContent = t("phone_hint");
  if (app.key === "mail") drawMail(person);
  else drawChat(person, app);
  drawFaults(person, app);
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
        hasNews(person) && person.key !== store.person && el("i.news"),
      ),
    ),
  );
}

function choose(key) {
  store.person = key;
  touch("phone");
}

function drawStatus() {
  fill(status, el("time", {}, clockTime(new Date())), el("span.signal", {}, el("i"), el("i"), el("i"), el("i")), el("span.battery", {}, el("i")));
}

function drawDock(person, current) {
  const apps = [...store.phone.apps.map((app) => ({ ...app, label: said(app.name) })), { ...MAIL, label: t("channel_email") }];
  const key = JSON.stringify([apps.map((app) => [app.label, hasNews(person, app.key)]), current.key]);
  if (dock.dataset.drawn === key) return;
  dock.dataset.drawn = key;
  fill(dock, apps.map((app) => button(app, person, current)));
}

function button(app, person, current) {
  const made = el(
    "button.app",
    {
      type: "button",
      "data-app": app.key,
      "aria-pressed": String(current.key === app.key),
      onclick: () => {
        store.app = app.key;
        touch("phone");
      },
    },
    el("span.app-icon", {}, icon(app.icon), hasNews(person, app.key) && el("i.news")),
    el("span.app-name", {}, app.label),
  );
  made.style.setProperty("--app", app.colour);
  return made;
}
