// Building the page from nodes only: text is always text, whoever wrote it.

const ATTRIBUTES = new Set([
  "alt", "accept", "autocomplete", "datetime", "disabled", "download", "for", "hidden", "href", "id", "lang",
  "maxlength", "multiple", "name", "placeholder", "rel", "role", "rows", "src", "tabindex", "target", "title",
  "type", "value", "loading", "spellcheck", "enterkeyhint", "required", "step", "selected",
]);

/**
 * A new element: el("button.primary", { type: "button", onclick: send }, "Send").
 * Children are nodes or strings; null and false are left out.
 */
export function el(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) setProperty(element, key, value);
  element.append(...flat(children));
  return element;
}

function setProperty(element, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key.startsWith("on") && typeof value === "function") element.addEventListener(key.slice(2), value);
  else if (key.startsWith("aria-") || key.startsWith("data-") || ATTRIBUTES.has(key)) {
    element.setAttribute(key, value === true ? "" : String(value));
  } else throw new Error(`not an attribute that this page sets: ${key}`);
}

function flat(children) {
  return children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Put new children into *element*. */
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A line icon of 24 by 24, drawn with the colour of the text around it. */
export function icon(name, label = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else svg.setAttribute("aria-hidden", "true");
  for (const line of SHAPES[name] ?? []) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", line);
    svg.append(path);
  }
  return svg;
}

const SHAPES = {
  wechat: [
    "M9.300 4C5.300 4 2 6.700 2 10.100c0 1.900 1.100 3.600 2.800 4.700l-.6 2 2.300-1.200c.9.300 1.800.4 2.800.4",
    "M22 14.600c0-2.800-2.800-5-6.300-5s-6.300 2.200-6.300 5 2.800 5 6.300 5c.8 0 1.600-.1 2.300-.3l1.900 1-.5-1.700c1.600-.9 2.600-2.400 2.600-4z",
  ],
  mail: ["M3 6.500A1.500 1.500 0 0 1 4.500 5h15A1.500 1.500 0 0 1 21 6.500v11a1.500 1.500 0 0 1-1.500 1.500h-15A1.500 1.500 0 0 1 3 17.500z", "m3.500 7 8.500 6 8.500-6"],
  qq: ["M12 3a5.500 5.500 0 0 1 5.500 5.500v2.500l2 4.500-1.500.500c-.300 1-.800 2-1.500 2.700l1.500 1.800H6l1.500-1.800C6.800 18 6.300 17 6 16l-1.500-.500 2-4.500V8.500A5.500 5.500 0 0 1 12 3z", "M10 8h.01", "M14 8h.01", "M9.500 11.500c1.500 1 3.500 1 5 0"],
  chat: ["M5 5h14a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-7l-4.500 3.500V17H5a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2z"],
  phone: ["M8 3h8a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H8a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2z", "M11 18h2"],
  inbox: ["M4 13 6.300 5.500A2 2 0 0 1 8.200 4h7.600a2 2 0 0 1 1.900 1.500L20 13v5a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2z", "M4 13h4.500l1.200 2.500h4.600l1.200-2.500H20"],
  send: ["M20.500 3.500 10 14", "m20.500 3.500-6.500 17-4-6.500-6.500-4z"],
  clip: ["m19.500 11.500-7.600 7.600a4.800 4.800 0 0 1-6.800-6.800l8-8a3.200 3.200 0 0 1 4.500 4.500l-8 8a1.600 1.600 0 0 1-2.200-2.200l7.200-7.300"],
  picture: ["M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1z", "m4 16 4.500-4.500 4 4 3-3L20 17", "M15 8.500h.01"],
  pin: ["M12 21s-7-6-7-11.300A7 7 0 0 1 19 9.700C19 15 12 21 12 21z", "M12 12.200a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5z"],
  plus: ["M12 5v14", "M5 12h14"],
  close: ["m6 6 12 12", "M18 6 6 18"],
  back: ["m14.500 5-7 7 7 7"],
  check: ["m5 12.500 4.500 4.500L19 7.500"],
  checks: ["m2.500 12.500 4.500 4.500 9-9.500", "m12 16.500.8.500 8.700-9.500"],
  clock: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M12 7.500V12l3 2"],
  alert: ["M12 3.500 2.500 20h19z", "M12 10v4.500", "M12 17.300h.01"],
  help: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M9.500 9.500a2.500 2.500 0 1 1 3.500 2.300c-.7.300-1 .8-1 1.700", "M12 16.800h.01"],
  pause: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M10 9v6", "M14 9v6"],
  again: ["M19.500 12a7.500 7.500 0 1 1-2.200-5.300L20 9.500", "M20 4.500v5h-5"],
  heart: ["M12 20s-8-4.700-8-10.500A4.500 4.500 0 0 1 12 6.700a4.500 4.500 0 0 1 8 2.800C20 15.300 12 20 12 20z"],
  scan: ["M4 8V5.500A1.500 1.500 0 0 1 5.500 4H8", "M16 4h2.500A1.500 1.500 0 0 1 20 5.500V8", "M20 16v2.500a1.500 1.500 0 0 1-1.500 1.500H16", "M8 20H5.500A1.500 1.500 0 0 1 4 18.500V16", "M4 12h16"],
  file: ["M6 3h8l5 5v12a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1z", "M14 3v5h5"],
  sun: ["M12 16.500a4.500 4.500 0 1 0 0-9 4.500 4.500 0 0 0 0 9z", "M12 2.500v2", "M12 19.500v2", "m5.300 5.300 1.400 1.400", "m17.300 17.300 1.400 1.400", "M2.500 12h2", "M19.500 12h2", "m5.300 18.700 1.400-1.400", "m17.300 6.700 1.400-1.400"],
  moon: ["M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z"],
  search: ["M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14z", "m20 20-4-4"],
  edit: ["M4 20h4.500L20 8.500 15.500 4 4 15.500z", "m13 6.500 4.500 4.500"],
  shield: ["M12 3 5 6v5.500c0 4.300 2.900 7.700 7 9.500 4.100-1.800 7-5.200 7-9.500V6z", "m9 11.800 2.200 2.200L15.200 10"],
  mic: ["M12 14.500a3 3 0 0 0 3-3v-5a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3z", "M6 11.500a6 6 0 0 0 12 0", "M12 17.500V21"],
  film: ["M4.500 6h10A1.500 1.500 0 0 1 16 7.500v9a1.500 1.500 0 0 1-1.500 1.500h-10A1.500 1.500 0 0 1 3 16.500v-9A1.500 1.500 0 0 1 4.500 6z", "m16 11 5-3v8l-5-3"],
  link: ["M10 14a4 4 0 0 0 6 .400l3-3a4 4 0 0 0-5.700-5.700l-1.500 1.500", "M14 10a4 4 0 0 0-6-.400l-3 3a4 4 0 0 0 5.700 5.700l1.500-1.500"],
  smile: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M8.500 14a4.200 4.200 0 0 0 7 0", "M9 9.500h.01", "M15 9.500h.01"],
  menu: ["M4 6.500h16", "M4 12h16", "M4 17.500h10"],
  card: ["M4.500 5h15A1.500 1.500 0 0 1 21 6.500v11a1.500 1.500 0 0 1-1.500 1.500h-15A1.500 1.500 0 0 1 3 17.500v-11A1.500 1.500 0 0 1 4.500 5z", "M7 10h5", "M7 14h10"],
  people: ["M9 11.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7z", "M2.500 20a6.500 6.500 0 0 1 13 0", "M16 11.200a3.300 3.300 0 0 0 0-6.400", "M18 14.200a6 6 0 0 1 3.500 5.800"],
  bug: ["M8 9a4 4 0 0 1 8 0v5a4 4 0 0 1-8 0z", "M12 9v9", "m8 10-4-2", "m16 10 4-2", "M8 13.500H3.500", "M16 13.500h4.500", "m8 16.500-3.500 2.500", "m16 16.500 3.500 2.500", "m9.500 5.500-1.500-2", "m14.500 5.500 1.500-2"],
  door: ["M6 21V4.500A1.500 1.500 0 0 1 7.500 3h9A1.500 1.500 0 0 1 18 4.500V21", "M4 21h16", "M14.500 12h.01"],
  undo: ["M8 9H15a5 5 0 0 1 0 10h-4", "M11.500 5.500 8 9l3.500 3.500"],
  book: ["M5 4.500A1.500 1.500 0 0 1 6.500 3H19v15H6.500A1.500 1.500 0 0 0 5 19.500z", "M5 19.500A1.500 1.500 0 0 0 6.500 21H19v-3"],
  code: ["m8.500 7-5 5 5 5", "m15.500 7 5 5-5 5"],
};
