// Talking to the helpdesk's server.

export class Refusal extends Error {}

export async function get(path) {
  return answered(await fetch(path, { headers: { Accept: "application/json" } }));
}

export async function post(path, document = {}) {
  return answered(
    await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(document) }),
  );
}

export async function upload(path, file) {
  const form = new FormData();
  form.append("file", file, file.name);
  return answered(await fetch(path, { method: "POST", body: form }));
}

/** *document* as the field "asked" of a form, beside a file. */
export async function postWithFile(path, document, file) {
  const form = new FormData();
  form.append("asked", JSON.stringify(document));
  form.append("file", file, file.name);
  return answered(await fetch(path, { method: "POST", body: form }));
}

async function answered(response) {
  const document = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(document.error ?? `${response.status} ${response.statusText}`);
  return document;
}

/**
 * Live news: calls news(topic, document) for each, begin() whenever the
 * connection stands (again), and lost() when it breaks.
 */
export function listen(topics, { news, begin, lost }) {
  const source = new EventSource("/api/news");
  source.onopen = begin;
  source.onerror = () => {
    lost();
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(topics, { news, begin, lost }), 2000);
  };
  for (const topic of topics) source.addEventListener(topic, (event) => news(topic, JSON.parse(event.data)));
}
