// Small forms made from what the server says is to be filled in.

import { el } from "./dom.js";
import { t, said } from "./words.js";

/** A form for *fields* (and a file, if *accept* says which); submit(values, file) gets what was filled in. */
export function form({ fields, accept, hasSample, label, submit }) {
  const inputs = fields.map((field) => [field.key, input(field)]);
  const picker = accept ? el("input", { type: "file", accept, name: "file", "aria-label": t("pick_file") }) : null;
  const go = el("button.go", { type: "submit" }, label);
  const made = el(
    "form.fields",
    {},
    fields.map((field, number) => el("label.field", {}, el("span", {}, said(field.label)), inputs[number][1])),
    picker && el("label.field", {}, el("span", {}, t("pick_file")), picker),
    picker && hasSample && el("small", {}, t("use_sample")),
    go,
  );
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    try {
      await submit(Object.fromEntries(inputs.map(([key, one]) => [key, one.value])), picker?.files[0] ?? null);
    } finally {
      go.disabled = false;
    }
  });
  return made;
}

function input(field) {
  if (field.options.length) {
    const made = el("select", { name: field.key }, field.options.map((one) => el("option", { value: one.key }, said(one.label))));
    made.value = field.value || field.options[0].key;
    return made;
  }
  const made = field.kind === "long" ? el("textarea", { rows: "3", name: field.key }) : el("input", { type: "text", name: field.key, autocomplete: "off" });
  made.value = field.value;
  return made;
}
