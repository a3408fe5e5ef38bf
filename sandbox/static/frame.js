// What stands around the three panes: the header, the footer, the tabs of a small screen, short notes.

import { el, fill, icon } from "./dom.js";
import { has, switchLanguage, t, clockTime } from "./words.js";
import { hasNews, store, touch, watch } from "./store.js";

const THEME = "helpdesk.theme";
let troublesShown = false;

export function setUpFrame() {
  applyTheme(localStorage.getItem(THEME));
  watch(["hub"], drawTop);
  watch(["health"], drawHealth);
  watch(["conversations", "phone", "tab"], drawTabs);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTop);
  drawTop();
  drawTabs();
}

/** Show one pane on a small screen; a wide one shows all three. */
export function showTab(tab) {
  document.body.dataset.tab = tab;
  touch("tab");
}

/** A note that goes away by itself. */
export function toast(text, shape = "alert") {
  const note = el("div.toast", {}, icon(shape), el("span", {}, text));
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), 6000);
}

function drawTop() {
  const links = [
    store.links.readme && outside(store.links.readme, "book", t("readme")),
    store.links.api && outside(store.links.api, "code", t("api")),
  ];
  fill(
    document.getElementById("top"),
    el("div.brand", {}, el("img.mark", { src: "/static/mark.svg", alt: "" }), el("b", {}, t("brand")), el("span.sub", {}, t("helpdesk"))),
    hubPill(),
    el("div.spacer"),
    links,
    el("button.quiet", { type: "button", title: t("language_label"), onclick: changeLanguage }, t("language")),
    el("button.quiet.only-icon", { type: "button", title: t("theme"), "aria-label": t("theme"), onclick: changeTheme }, icon(isDark() ? "sun" : "moon")),
  );
}

function hubPill() {
  if (!store.connected) return el("span.pill.bad", {}, el("i.dot"), el("span", {}, t("reconnecting")));
  if (!store.hub) return null;
  const words = store.hub.ok ? "hub_ready" : store.hub.status ? "hub_busy" : "hub_gone";
  return el(`span.pill.${store.hub.ok ? "good" : "bad"}`, { title: store.hub.detail }, el("i.dot"), el("span", {}, t(words)));
}

function outside(href, name, label) {
  return el("a.quiet", { href, target: "_blank", rel: "noreferrer noopener" }, icon(name), el("span", {}, label));
}

function changeLanguage() {
  switchLanguage();
  touch("all");
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function changeTheme() {
  applyTheme(isDark() ? "light" : "dark");
  drawTop();
}

function applyTheme(theme) {
  if (theme !== "dark" && theme !== "light") return;
  document.documentElement.dataset.theme = theme;
  localStorage.setItem(THEME, theme);
}

function drawHealth() {
  const { received = 0, refused = 0, repeat = 0, gap = 0, disorder = 0 } = store.health.counts;
  const bad = refused + gap + disorder > 0;
  const counts = Object.entries({ refused, repeat, gap, disorder }).filter(([, n]) => n > 0);
  fill(
    document.getElementById("health"),
    el(
      "button.health-line",
      { type: "button", "aria-expanded": String(troublesShown), onclick: toggleTroubles },
      el(`span.health-mark.${bad ? "bad" : "good"}`, {}, icon(bad ? "alert" : "shield")),
      el("span", {}, t("webhooks", { n: received + refused })),
      counts.length ? counts.map(([name, n]) => el(`span.count.${name}`, {}, t(name, { n }))) : el("span.count", {}, t("all_verified")),
    ),
    troublesShown && el("ul.troubles", {}, troubles()),
  );
}

function toggleTroubles() {
  troublesShown = !troublesShown;
  drawHealth();
}

function troubles() {
  const shown = [...store.health.troubles].reverse();
  if (!shown.length) return [el("li", {}, t("nothing_wrong"))];
  return shown.map((trouble) => {
    const name = has(`trouble_${trouble.kind}`) ? t(`trouble_${trouble.kind}`) : trouble.kind;
    return el("li", {}, el("time", {}, clockTime(new Date(trouble.at * 1000))), el("b", {}, name), el("span", {}, trouble.text));
  });
}

function drawTabs() {
  const unread = [...store.conversations.values()].reduce((sum, each) => sum + each.unread, 0);
  const news = store.phone?.people.some(hasNews);
  fill(
    document.getElementById("tabs"),
    tab("inbox", "inbox", unread > 0 && String(unread)),
    tab("conversation", "chat", null),
    tab("phone", "phone", news && "•"),
  );
}

function tab(name, shape, badge) {
  const current = document.body.dataset.tab === name;
  return el(
    "button.tab",
    { type: "button", "aria-current": current ? "page" : null, onclick: () => showTab(name) },
    el("span.tab-icon", {}, icon(shape), badge && el("span.badge", {}, badge)),
    el("span", {}, t(name)),
  );
}
