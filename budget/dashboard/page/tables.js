// Tables that sort by every column, and tell how much they leave out.

const sorted = {};   // by table: [column, descending]; kept while the figures change
const widened = new Set();

const headClass = (column) => (column.num ? "num" : column.class === "bar" ? "bar" : "") + (column.wide ? " wide" : "");

// columns: {key, label, num, cell(row), value(row)}; rows hold `.rest` for what stands last.
// A `wide` column is left out on a phone.
function table(id, options) {
  const { caption, columns, rows, foot, first = 15, story } = options;
  const [by, descending] = sorted[id] || options.sort || [null, true];
  const column = columns.find((each) => each.key === by);
  const own = rows.filter((row) => !row.rest);
  if (column) {
    own.sort((one, other) => {
      const [a, b] = [column.value(one), column.value(other)];
      const order = a < b ? -1 : a > b ? 1 : 0;
      return descending ? -order : order;
    });
  }
  const shown = widened.has(id) ? own : own.slice(0, first);
  const again = () => {
    const focused = document.activeElement && document.activeElement.dataset.key;
    const fresh = table(id, options);
    holder.replaceWith(fresh);
    const next = focused && [...fresh.querySelectorAll("[data-key]")].find((each) => each.dataset.key === focused);
    if (next) next.focus();
  };
  const heads = columns.map((each) => {
    const attributes = { scope: "col", class: headClass(each) };
    if (!each.value) return el("th", attributes, each.label || el("span", { class: "unseen" }, each.unseen || ""));
    if (each.key === by) attributes["aria-sort"] = descending ? "descending" : "ascending";
    const sort = () => { sorted[id] = [each.key, each.key === by ? !descending : Boolean(each.num)]; again(); };
    return el("th", attributes, el("button", { type: "button", "data-key": each.key, onclick: sort }, each.label));
  });
  const body = el("tbody", {});
  const cells = (row) => columns.map((each) => el("td", { class: (each.class || (each.num ? "num" : "text")) + (each.wide ? " wide" : "") }, each.cell(row)));
  for (const row of shown) {
    const line = el("tr", {}, cells(row));
    body.append(line);
    if (story) story(row, line, columns.length);
  }
  for (const row of rows.filter((each) => each.rest)) body.append(el("tr", { class: "rest" }, cells(row)));
  const footer = foot && el("tfoot", {}, el("tr", {}, columns.map((each) => el("td", { class: headClass(each) }, each.foot ? each.foot(foot) : ""))));
  const made = el("table", { id: "table-" + id }, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads)), body, footer);
  const left = own.length - shown.length;
  const more = left > 0 && el("p", { class: "more" },
    el("button", { type: "button", class: "quiet", onclick: () => { widened.add(id); again(); } }, "Show " + many(left, "more row")));
  const holder = el("div", { class: "table" },
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made), more || null);
  return holder;
}

// What stands behind a chart.
function behind(id, words, build) {
  const holder = el("details", { id: "behind-" + id, open: opened.has(id) });
  const show = () => { if (holder.open && holder.children.length === 1) holder.append(build()); };
  holder.append(el("summary", {}, words));
  holder.addEventListener("toggle", () => { opened[holder.open ? "add" : "delete"](id); show(); });
  show();
  return holder;
}

const opened = new Set();

function barCell(micro, most, color) {
  return el("span", { "aria-hidden": "true", style: { width: (most ? Math.max(0, (micro / most) * 100) : 0) + "%", background: color || "var(--c0)" } });
}
