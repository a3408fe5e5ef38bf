"use strict";
// Draws the page from the two documents; text is set as text, never as markup.

const element = (name, properties = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((one) => one !== null && one !== undefined));
  return made;
};

// `code` in a sentence becomes <code>; there is no other markup.
const sentence = (text, name = "p", properties = {}) => {
  const parts = (text || "").split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
  return element(name, properties, ...parts);
};

const schemaOf = (api, schema) => {
  const found = schema && schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
  return found || {};
};

const typeOf = (api, schema) => {
  if (!schema) return "any";
  if (schema.$ref) {
    const target = schemaOf(api, schema);
    return target.enum ? target.enum.join(" | ") : schema.$ref.split("/").pop();
  }
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(api, one)).join(" or ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${schema.items === undefined ? "any" : typeOf(api, schema.items)}`;
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return `map of ${typeOf(api, schema.additionalProperties)}`;
  }
  const limits = [];
  if ("minimum" in schema) limits.push(`≥ ${schema.minimum}`);
  if ("maximum" in schema) limits.push(`≤ ${schema.maximum}`);
  if ("maxLength" in schema) limits.push(`≤ ${schema.maxLength} characters`);
  const name = { "date-time": "time" }[schema.format] || schema.type || "any";
  return limits.length ? `${name} (${limits.join(", ")})` : name;
};

const inner = (api, schema) => {
  for (const one of [schema, schema.items, ...(schema.anyOf || [])]) {
    if (!one) continue;
    const found = schemaOf(api, one.items && one.type === "array" ? one.items : one);
    if (found.properties) return found;
  }
  return null;
};

const fields = (api, schema, depth = 0) => {
  const must = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([name, one]) => {
    const below = depth < 3 ? inner(api, one) : null;
    const about = one.description || (one.anyOf || []).map((each) => each.description).find(Boolean);
    return element("tr", {},
      element("td", {}, element("code", {}, name), must.has(name) ? element("span", { class: "must" }, " required") : null),
      element("td", {},
        about ? sentence(about) : null,
        element("span", { class: "type" }, typeOf(api, one)),
        "default" in one && one.default !== null ? element("span", { class: "type" }, `, ${JSON.stringify(one.default)} if unset`) : null,
        below ? element("details", { class: "deep" }, element("summary", {}, "its fields"),
          element("div", {}, fields(api, below, depth + 1))) : null));
  });
  return element("table", {}, element("tbody", {}, ...rows));
};

const example = (api, schema, depth = 0) => {
  const one = schemaOf(api, schema);
  if (!one || depth > 4) return null;
  if ("const" in one) return one.const;
  if ("default" in one && one.default !== null && depth > 0) return one.default;
  if (one.enum) return one.enum[0];
  if (one.anyOf) return example(api, one.anyOf.find((each) => each.type !== "null"), depth);
  if (one.type === "array") return one.items ? [example(api, one.items, depth + 1)] : [];
  if (one.properties) {
    const must = new Set(one.required || []);
    const chosen = Object.entries(one.properties).filter(([name]) => must.has(name) || depth === 0 && name === "text");
    return Object.fromEntries(chosen.map(([name, each]) => [name, name === "text" ? "您好!" : example(api, each, depth + 1)]));
  }
  if (one.format === "date-time") return "2026-01-02T03:04:05Z";
  return { string: "…", integer: 1, number: 1.5, boolean: true, object: {} }[one.type] ?? null;
};

const SAMPLES = {
  send_message: { text: "您好!" },
  change_conversation: { state: "resolved" },
  open_conversation: { account: "mailbox", to: { scheme: "email", value: "ann@example.com" }, subject: "Your order", text: "It is on its way." },
  replay_deliveries: { destination: "desk" },
};

const curl = (api, method, path, operation) => {
  const shown = path.replace("{id}", { conversations: "cnv_…", messages: "msg_…", attachments: "att_…", deliveries: "dlv_…" }[path.split("/")[2]] || "…")
    .replace("{type}", "message.received").replace("{file}", "docs.css");
  const lines = [`curl${method === "get" ? "" : ` -X ${method.toUpperCase()}`}${path.endsWith("/stream") ? " -N" : ""} '${location.origin}${shown}'`];
  if (operation.security.length) lines.push(`-H "Authorization: Bearer $HUB_TOKEN"`);
  const content = operation.requestBody ? operation.requestBody.content : {};
  if (operation.operationId === "send_message") lines.push(`-H 'Idempotency-Key: order-4711-thanks'`);
  if (content["multipart/form-data"]) lines.push("-F 'file=@picture.png'");
  if (content["application/json"]) {
    const body = SAMPLES[operation.operationId] || example(api, content["application/json"].schema) || {};
    lines.push(`-H 'Content-Type: application/json'`, `-d '${JSON.stringify(body)}'`);
  }
  return lines.join(" \\\n  ");
};

const sample = (text) => {
  const button = element("button", { class: "copy", type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return element("div", { class: "sample" }, element("pre", {}, text), button);
};

const fold = (title, content, open = false) => element("details", { open }, element("summary", {}, title), element("div", {}, content));

const answers = (api, responses) => element("table", {}, element("tbody", {}, ...Object.entries(responses).map(([status, one]) => {
  const schema = Object.values(one.content || {})[0]?.schema;
  const below = schema && status < "300" ? inner(api, schema) : null;
  return element("tr", {},
    element("td", {}, element("span", { class: "status" }, status)),
    element("td", {}, sentence(one.description),
      schema?.$ref ? element("span", { class: "type" }, schema.$ref.split("/").pop()) : null,
      below ? element("details", { class: "deep", open: true }, element("summary", {}, "its fields"), element("div", {}, fields(api, below))) : null));
})));

const operationCard = (api, path, method, one) => {
  const parameters = (one.parameters || []).filter((each) => each.in !== "path");
  const body = one.requestBody?.content["application/json"]?.schema;
  const scope = one["x-scope"] ? `scope ${one["x-scope"]}` : "open";
  const asked = parameters.length ? {
    properties: Object.fromEntries(parameters.map((each) => [each.name, { ...each.schema, description: each.description }])),
    required: parameters.filter((each) => each.required).map((each) => each.name),
  } : null;
  const known = body ? schemaOf(api, body) : null;
  return element("article", { id: one.operationId, "data-text": `${path} ${one.summary} ${one.description}`.toLowerCase() },
    element("header", {},
      element("h3", {}, one.summary),
      element("div", { class: "call" },
        element("span", { class: `method ${method}` }, method.toUpperCase()),
        element("span", { class: "scope" }, scope),
        element("span", {}, path))),
    element("div", { class: "body" }, one.description === `${one.summary}.` ? null : sentence(one.description), sample(curl(api, method, path, one))),
    asked ? fold("Parameters and headers", fields(api, asked)) : null,
    known?.properties && Object.keys(known.properties).length ? fold("Body", fields(api, known)) : null,
    fold("Answers", answers(api, one.responses)));
};

const eventCard = (api, name, one) => {
  const data = schemaOf(api, one.payload.properties.data);
  return element("article", { id: `event-${name}`, "data-text": `${one.name} ${one.summary}`.toLowerCase() },
    element("header", {}, element("h3", {}, one.summary), element("div", { class: "call" },
      element("span", { class: "method send" }, "EVENT"), element("span", {}, one.name))),
    fold("data", fields(api, data)),
    fold("JSON Schema", element("p", {}, element("a", { href: `/v1/schemas/${one.name}` }, `/v1/schemas/${one.name}`))));
};

const about = (api) => element("section", { id: "about" },
  element("h1", {}, api.info.title, " API"),
  ...api.info.description.split("\n\n").map((text) => sentence(text, "p", { class: "lead" })),
  element("ul", { class: "links" },
    element("li", {}, element("a", { href: "/v1/openapi.json" }, "OpenAPI 3.1")),
    element("li", {}, element("a", { href: "/v1/asyncapi.json" }, "AsyncAPI 3"))));

const entry = (id, text) => element("li", {}, element("a", { href: `#${id}` }, text));

const draw = (api, events) => {
  const main = document.getElementById("main");
  const side = document.getElementById("side");
  const sections = [about(api)];
  const contents = [element("h2", {}, "Start"), element("ul", {}, entry("about", "About"))];
  for (const tag of api.tags.length ? [...api.tags] : []) {
    const cards = [];
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, one] of Object.entries(methods)) {
        if (one.tags[0] === tag.name) cards.push(operationCard(api, path, method, one));
      }
    }
    sections.push(element("section", { id: `tag-${tag.name}` }, element("h2", {}, tag.name),
      sentence(tag.description, "p", { class: "quiet" }), ...cards));
    contents.push(element("h2", {}, tag.name), element("ul", {}, ...cards.map((card) => entry(card.id, card.querySelector("h3").textContent))));
  }
  const told = Object.entries(events.components.messages);
  sections.push(element("section", { id: "webhooks" }, element("h2", {}, "Webhooks"),
    sentence(events.info.description, "p", { class: "lead quiet" }), ...told.map(([name, one]) => eventCard(events, name, one))));
  contents.push(element("h2", {}, "Webhooks"), element("ul", {}, ...told.map(([name, one]) => entry(`event-${name}`, one.name))));
  main.replaceChildren(...sections);
  side.replaceChildren(...contents);
  document.getElementById("version").textContent = api.info.version;
};

const watch = () => {
  const side = document.getElementById("side");
  const menu = document.getElementById("menu");
  const show = (open) => {
    side.classList.toggle("open", open);
    menu.setAttribute("aria-expanded", String(open));
  };
  menu.addEventListener("click", () => show(!side.classList.contains("open")));
  side.addEventListener("click", (event) => { if (event.target.closest("a")) show(false); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") show(false); });
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const card of document.querySelectorAll("article")) {
      const hide = !card.dataset.text.includes(wanted);
      card.classList.toggle("none", hide);
      document.querySelector(`nav a[href="#${CSS.escape(card.id)}"]`)?.parentElement.classList.toggle("none", hide);
    }
    for (const section of document.querySelectorAll("main > section")) {
      const cards = section.querySelectorAll("article");
      section.classList.toggle("none", Boolean(wanted) && (!cards.length || [...cards].every((card) => card.classList.contains("none"))));
    }
  });
  const seen = new IntersectionObserver((entries) => {
    for (const one of entries) {
      if (!one.isIntersecting) continue;
      for (const link of side.querySelectorAll("a.here")) link.classList.remove("here");
      side.querySelector(`a[href="#${CSS.escape(one.target.id)}"]`)?.classList.add("here");
    }
  }, { rootMargin: "-10% 0px -75% 0px" });
  for (const one of document.querySelectorAll("article, #about")) seen.observe(one);
};

const read = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
};

Promise.all([read("/v1/openapi.json"), read("/v1/asyncapi.json")]).then(([api, events]) => {
  draw(api, events);
  watch();
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}).catch((error) => {
  document.getElementById("main").replaceChildren(element("p", { class: "quiet" }, `The documents cannot be read (${error.message}). Reload the page.`));
});
