// The drawer of switches: what can be made to go wrong on the platform of the app in hand.

import { el, fill, icon } from "./dom.js";
import { t, said } from "./words.js";
import { post } from "./net.js";
import { toast } from "./frame.js";
import { form } from "./forms.js";

let drawer, pending;

export function setUpFaults(place) {
  drawer = place;
}

export function toggleFaults() {
  drawer.hidden = !drawer.hidden;
}

export function drawFaults(person, app) {
  if (!app.switches?.length) drawer.hidden = true;
  const key = JSON.stringify([person.key, app.key, document.documentElement.lang]);
  if (drawer.dataset.drawn !== key) {
    drawer.dataset.drawn = key;
    pending = el("p.pending");
    fill(
      drawer,
      el("header.sheet-head", {}, el("b", {}, t("faults")), el("button.quiet", { type: "button", "aria-label": t("close"), onclick: toggleFaults }, icon("close"))),
      el("p.sheet-hint", {}, t("faults_hint", { name: app.name ? said(app.name) : "" })),
      pending,
      (app.switches ?? []).map((each) => row(person, app, each)),
    );
  }
  const waiting = app.pending ?? [];
  fill(pending, waiting.length > 0 && [el("b", {}, t("pending")), " ", waiting.join(" · ")]);
}

function row(person, app, each) {
  return el(
    "section.switch",
    { "data-switch": each.key },
    el("b", {}, said(each.label)),
    el("p", {}, said(each.help)),
    form({ fields: each.fields, label: t("do_it"), submit: (fields) => flip(person, app, each, fields) }),
  );
}

async function flip(person, app, each, fields) {
  try {
    await post(`/api/switch/${encodeURIComponent(app.key)}/${encodeURIComponent(each.key)}`, { person: person.key, fields });
    toast(t("thrown", { name: said(each.label) }), "check");
  } catch (error) {
    toast(error.message);
  }
}
