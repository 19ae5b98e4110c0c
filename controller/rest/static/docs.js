"use strict";
// Shows openapi.json. Everything that comes from outside is put in as text, never as HTML.

const DEEPEST = 6; // levels of members that are shown one within the other

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child != null && child !== ""));
  return made;
}

// `code` within a description
function prose(text) {
  return String(text ?? "").split("`").map((part, i) => (i % 2 ? element("code", {}, part) : part));
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

class Page {
  constructor(api) {
    this.api = api;
  }

  resolve(thing) {
    const seen = new Set();
    while (thing && thing.$ref && !seen.has(thing.$ref)) {
      seen.add(thing.$ref);
      const { $ref, ...beside } = thing;
      const found = $ref.slice(2).split("/").reduce((at, part) => at?.[part], this.api);
      thing = { ...found, ...beside };
    }
    return thing ?? {};
  }

  // The type in a few words.
  type(schema) {
    const one = this.resolve(schema);
    if (one.properties && schema.$ref) return schema.$ref.split("/").pop();
    if (one.enum) return one.enum.map((value) => JSON.stringify(value)).join(" | ");
    if ("const" in one) return JSON.stringify(one.const);
    const branches = one.anyOf ?? one.oneOf;
    if (branches && !one.type) return [...new Set(branches.map((each) => this.type(each)))].join(" | ");
    if (one.type === "array") return `list of ${this.type(one.items ?? {})}`;
    if (one.type === "object" && one.additionalProperties?.constructor === Object && !one.properties) {
      return `object of ${this.type(one.additionalProperties)}`;
    }
    const type = Array.isArray(one.type) ? one.type.join(" | ") : one.type ?? "anything";
    const { minimum: low, maximum: high } = one;
    if (low != null && high != null) return `${type} ${low}–${high}`;
    return one.format ? `${type} (${one.format})` : type;
  }

  // The objects that a schema consists of, whose members are worth showing.
  objects(schema) {
    const one = this.resolve(schema);
    if (one.properties) return [one];
    const inner = [...(one.anyOf ?? one.oneOf ?? []), one.items, one.additionalProperties];
    return inner.filter((each) => each?.constructor === Object).flatMap((each) => this.objects(each));
  }

  members(schema, depth = 0) {
    const list = element("dl", { class: "members" });
    for (const [name, member] of Object.entries(schema.properties ?? {})) {
      const one = this.resolve(member);
      const required = (schema.required ?? []).includes(name);
      const row = this.row(name, member, { required: depth === 0 && required, readOnly: one.readOnly });
      const below = depth < DEEPEST ? this.objects(member) : [];
      for (const each of below) {
        const inner = this.members(each, depth + 1);
        row.lastChild.append(
          depth < 1 ? inner : element("details", { class: "more" }, element("summary", {}, "members"), inner),
        );
      }
      list.append(row);
    }
    return list;
  }

  row(name, schema, { required = false, readOnly = false, description = null } = {}) {
    const one = this.resolve(schema);
    const facts = [];
    if (one.default !== undefined && one.default !== null) facts.push(`default ${JSON.stringify(one.default)}`);
    if (readOnly) facts.push("read-only");
    const example = one.examples?.[0];
    if (example !== undefined) facts.push(`e.g. ${asText(example)}`);
    return element(
      "div", {},
      element("dt", {},
        element("code", {}, name),
        element("span", { class: "type" }, this.type(schema)),
        required ? element("span", { class: "flag must" }, "required") : null,
        facts.map((fact) => element("span", { class: "flag" }, fact))),
      element("dd", {}, prose(description ?? one.description)),
    );
  }

  content(content, open = false) {
    return Object.entries(content ?? {}).map(([mediaType, { schema, example }]) => {
      const parts = [element("p", { class: "hint" }, element("code", {}, mediaType), " ", element("span", { class: "type" }, schema ? this.type(schema) : ""))];
      if (example !== undefined) parts.push(element("pre", { tabindex: 0 }, asText(example)));
      const objects = schema ? this.objects(schema) : [];
      for (const each of objects) {
        const title = objects.length > 1 && each.title ? `Members of ${each.title}` : "Members";
        parts.push(element("details", { class: "more", open }, element("summary", {}, title), this.members(each)));
      }
      return element("div", {}, parts);
    });
  }

  responses(responses) {
    return Object.entries(responses).map(([status, given]) => {
      const one = this.resolve(given);
      const isProblem = given.$ref && one.content?.["application/problem+json"];
      const slug = isProblem && this.api["x-problems"].find((kind) => String(kind.status) === status)?.slug;
      return element("div", { class: "answer" },
        element("span", { class: `status ${status < 400 ? "good" : "bad"}` }, status), " ",
        one.description, " ",
        slug ? element("a", { href: `#${slug}` }, slug) : null,
        one.headers && !isProblem
          ? element("span", { class: "flag" }, ` headers: ${Object.keys(one.headers).join(", ")}`) : null,
        isProblem ? [] : this.content(one.content));
    });
  }

  operation(method, path, op) {
    const parameters = (op.parameters ?? []).map((each) => this.resolve(each));
    const inside = element("div", { class: "inside" });
    if (op.description) inside.append(element("p", {}, prose(op.description)));
    for (const [place, title] of [["path", "Path"], ["query", "Query"], ["header", "Headers"]]) {
      const here = parameters.filter((each) => each.in === place);
      if (!here.length) continue;
      inside.append(element("h3", {}, title), element("dl", { class: "members" },
        here.map((each) => this.row(each.name, each.schema, { required: each.required, description: each.description }))));
    }
    if (op.requestBody) {
      // The media types of a body share one schema.
      const [first] = Object.entries(op.requestBody.content);
      inside.append(element("h3", {}, "Body"), ...this.content({ [Object.keys(op.requestBody.content).join(" or ")]: first[1] }, true));
    }
    inside.append(element("h3", {}, "Answers"), ...this.responses(op.responses));
    if (method === "get") inside.append(element("h3", {}, "Try it"), this.attempt(path, op, parameters));
    return element("details", { class: "card", id: op.operationId, "data-words": `${method} ${path} ${op.summary}`.toLowerCase() },
      element("summary", {},
        element("span", { class: `method ${method}` }, method.toUpperCase()),
        element("span", { class: "path" }, path),
        element("span", { class: "what" }, op.summary),
        element("span", { class: "role", title: "The least role that may do this" }, op["x-role"])),
      inside);
  }

  attempt(path, op, parameters) {
    const fields = parameters.filter((each) => each.in !== "header").map((each) => {
      const example = each.schema?.examples?.[0] ?? each.schema?.default ?? "";
      return [each, element("input", {
        name: each.name, required: each.required, autocomplete: "off", spellcheck: "false",
        placeholder: each.in === "query" ? asText(example) : null, value: each.in === "path" ? asText(example) : null,
      })];
    });
    const button = element("button", { type: "submit" }, "Send");
    const result = element("div", { "aria-live": "polite" });
    const form = element("form", {}, fields.map(([each, input]) => element("label", {}, each.name, input)), button);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      let url = path;
      const query = new URLSearchParams();
      for (const [each, input] of fields) {
        if (each.in === "path") url = url.replace(`{${each.name}}`, encodeURIComponent(input.value));
        else if (input.value) query.append(each.name, input.value);
      }
      if ([...query].length) url += `?${query}`;
      button.disabled = true;
      try {
        result.replaceChildren(...await this.send(url, op));
      } catch (error) {
        result.replaceChildren(element("p", { class: "bad" }, String(error)));
      }
      button.disabled = false;
    });
    return element("div", {}, form, result);
  }

  async send(url, op) {
    const types = Object.keys(this.resolve(op.responses["200"]).content ?? {});
    // A stream of events never ends; where there is a page of them, it is asked for.
    const headers = { Accept: types.includes("application/json") ? "application/json" : types[0] ?? "*/*" };
    if (headers.Accept === "text/event-stream") return [element("p", {}, "A stream: try it with curl -N.")];
    const token = document.getElementById("token").value.trim();
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(url, { headers, credentials: "omit", cache: "no-store" });
    let text = await answer.text();
    if (/json/.test(answer.headers.get("Content-Type") ?? "")) {
      try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it came */ }
    }
    const shown = ["ETag", "Link", "Retry-After", "WWW-Authenticate"].filter((name) => answer.headers.get(name));
    return [
      element("p", {},
        element("span", { class: `status ${answer.ok ? "good" : "bad"}` }, `${answer.status} ${answer.statusText}`), " ",
        element("code", {}, url)),
      ...shown.map((name) => element("p", { class: "flag" }, `${name}: ${answer.headers.get(name)}`)),
      element("pre", { tabindex: 0 }, text || "(nothing)"),
    ];
  }

  show() {
    const { info, tags, paths } = this.api;
    document.title = `${info.title} REST API`;
    document.getElementById("intro").replaceChildren(
      element("p", {}, prose(info.description)),
      element("p", { class: "hint" }, `Version ${info.version} · OpenAPI ${this.api.openapi}: `, element("a", { href: "openapi.json" }, "openapi.json")));
    const index = document.getElementById("index");
    const main = document.getElementById("operations");
    for (const tag of tags) {
      const section = element("section", {}, element("h2", {}, tag.name), element("p", { class: "hint" }, prose(tag.description)));
      const links = element("div", {}, element("h2", {}, tag.name));
      for (const [path, methods] of Object.entries(paths)) {
        for (const [method, op] of Object.entries(methods)) {
          if (!op.tags.includes(tag.name)) continue;
          section.append(this.operation(method, path, op));
          links.append(element("a", { href: `#${op.operationId}` },
            element("span", { class: `method ${method}` }, method.toUpperCase()), element("span", {}, op.summary)));
        }
      }
      main.append(section);
      index.append(links);
    }
    index.append(element("div", {}, element("h2", {}, "Reference"), element("a", { href: "#problems" }, element("span", {}, "Problems"))));
    document.getElementById("kinds").append(...this.api["x-problems"].map((kind) =>
      element("article", { class: "card problem", id: kind.slug },
        element("h3", {}, element("span", { class: "status bad" }, String(kind.status)), ` ${kind.title} `, element("code", {}, kind.slug)),
        element("p", {}, kind.advice))));
    document.getElementById("problems").hidden = false;
  }
}

// Opens what the address names; the browser cannot scroll to it before it is there.
function visit() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  // :target does not find what was made after the page was loaded.
  document.querySelector(".meant")?.classList.remove("meant");
  target.classList.add("meant");
  target.scrollIntoView();
}

function filter(words) {
  const wanted = words.toLowerCase().split(/\s+/);
  document.querySelector("nav").classList.toggle("filtered", words.trim() !== "");
  for (const card of document.querySelectorAll("details.card")) {
    card.hidden = !wanted.every((word) => card.dataset.words.includes(word));
    const link = document.querySelector(`nav a[href="#${CSS.escape(card.id)}"]`);
    if (link) link.hidden = card.hidden;
  }
  for (const section of document.querySelectorAll("#operations > section")) {
    section.hidden = !section.querySelector("details.card:not([hidden])");
  }
  for (const group of document.querySelectorAll("#index > div")) {
    group.hidden = !group.querySelector("a:not([hidden])");
  }
}

async function start() {
  try {
    const answer = await fetch("openapi.json");
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    new Page(await answer.json()).show();
  } catch (error) {
    document.getElementById("intro").replaceChildren(element("p", { class: "bad" }, `openapi.json cannot be shown: ${error.message}`));
    return;
  }
  document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value));
  window.addEventListener("hashchange", visit);
  visit();
}

start();
