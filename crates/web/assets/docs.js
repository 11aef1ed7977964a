// Shows the OpenAPI document as one page. Nothing is fetched from elsewhere, and every text is set as text.

const METHODS = ["get", "post", "put", "patch", "delete"];

function element(name, content = [], attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...[content].flat());
  return made;
}

function table(head, rows) {
  const header = element("tr", head.map((text) => element("th", text, { scope: "col" })));
  return element("table", [element("thead", header), element("tbody", rows)]);
}

const code = (text) => element("code", text);

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const of = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (of) return of.map(typeOf).filter(Boolean).join(" | ");
  if (schema.type === "array") return `${typeOf(schema.items)}[]`;
  if (schema.enum?.length === 1) return JSON.stringify(schema.enum[0]);
  return [schema.type].flat().filter(Boolean).join(" | ") || "any";
}

function schemaIn(body) {
  return Object.values(body?.content ?? {})[0]?.schema;
}

function fieldsOf(schema) {
  const parts = schema.allOf ?? schema.oneOf ?? [schema];
  return parts.flatMap((part) => {
    if (part.$ref) return [element("tr", element("td", `and all of ${typeOf(part)}`, { colspan: "3" }))];
    const required = new Set(part.required ?? []);
    return Object.entries(part.properties ?? {}).map(([name, field]) =>
      element("tr", [
        element("td", code(required.has(name) ? name : `${name}?`)),
        element("td", code(typeOf(field))),
        element("td", field.description ?? ""),
      ]),
    );
  });
}

function showCall(path, method, call) {
  const id = `${method}${path}`;
  const parts = [
    element("h3", [element("b", method.toUpperCase()), path], { id }),
    element("p", [call.summary, call.description].filter(Boolean).join(" ")),
  ];
  const asked = (call.parameters ?? []).map((parameter) =>
    element("tr", [
      element("td", code(`${parameter.name}${parameter.required ? "" : "?"}`)),
      element("td", parameter.in),
      element("td", parameter.description ?? ""),
    ]),
  );
  if (asked.length > 0) parts.push(table(["parameter", "in", ""], asked));
  const body = schemaIn(call.requestBody);
  if (body) parts.push(element("p", ["Body: ", code(typeOf(body))]));
  const answers = Object.entries(call.responses ?? {}).map(([status, answer]) =>
    element("tr", [
      element("td", code(status)),
      element("td", code(typeOf(schemaIn(answer)))),
      element("td", answer.description ?? ""),
    ]),
  );
  parts.push(table(["status", "body", ""], answers));
  return { id, title: `${method.toUpperCase()} ${path}`, section: element("section", parts) };
}

function callsByTag(api) {
  const groups = new Map((api.tags ?? []).map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = item[method].tags?.[0] ?? "other";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(showCall(path, method, item[method]));
    }
  }
  return groups;
}

function showProblems(codes) {
  const rows = codes.map(({ code: name, status, meaning }) =>
    element("tr", [element("td", code(name)), element("td", String(status)), element("td", meaning)], { id: name }),
  );
  return [element("h2", "Problem codes", { id: "problems" }), table(["code", "status", "meaning"], rows)];
}

function showSchemas(schemas) {
  const shown = Object.entries(schemas ?? {}).flatMap(([name, schema]) => [
    element("h3", name),
    element("p", schema.description ?? ""),
    table(["field", "type", ""], fieldsOf(schema)),
  ]);
  return [element("h2", "Shapes"), ...shown];
}

const api = await (await fetch("/api/openapi.json")).json();
document.querySelector("#about").replaceChildren(
  `${api.info.description ?? ""} `,
  element("a", "/api/openapi.json", { href: "/api/openapi.json" }),
);
for (const [tag, calls] of callsByTag(api)) {
  if (calls.length === 0) continue;
  const links = calls.map(({ id, title }) => element("li", element("a", title, { href: `#${id}` })));
  document.querySelector("#contents").append(element("ul", links));
  document.querySelector("#calls").append(element("h2", tag), ...calls.map(({ section }) => section));
}
document.querySelector("#calls").append(
  ...showProblems(api["x-problem-codes"] ?? []),
  ...showSchemas(api.components?.schemas),
);
if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
