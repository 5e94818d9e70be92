// Everything below the filters: each view sums the rows that the filters leave.

const FIRST_COLUMNS = (dimension) => ({ project: "Project", session: "Session", prompt: "Prompt", model: "Model", agent: "Agent", branch: "Branch", user: "User" })[dimension];

const PLURAL = (dimension) => (dimension === "branch" ? "branches" : dimension + "s");

function amountColumns(whole) {
  return [
    { key: "steps", label: "Steps", num: true, value: (row) => row.sum.steps, cell: (row) => grouped(row.sum.steps), foot: (sum) => grouped(sum.steps) },
    { key: "tokens", label: "Tokens", num: true, value: (row) => allTokens(row.sum), cell: (row) => el("span", { title: grouped(allTokens(row.sum)) }, short(allTokens(row.sum))), foot: (sum) => short(allTokens(sum)) },
    { key: "cached", label: "Cached", num: true, wide: true, value: (row) => (prompted(row.sum) ? row.sum.read / prompted(row.sum) : -1), cell: (row) => share(row.sum.read, prompted(row.sum)), foot: (sum) => share(sum.read, prompted(sum)) },
    costColumn(whole),
  ];
}

const costColumn = () => ({
  key: "cost", label: "Cost", num: true, value: (row) => cost(row.sum),
  cell: (row) => [el("span", { title: "$" + usd6(row.sum.micro, row.sum.pico) + " and $" + usd6(row.sum.unattributed_micro, row.sum.unattributed_pico) + " unattributed" }, money(cost(row.sum))), row.sum.unpriced ? el("span", { class: "tag", title: row.sum.unpriced + " steps without a price are not in it" }, "+?") : null],
  foot: (sum) => el("span", {}, money(cost(sum))),
});

function figures(cube, rows, sum) {
  const count = (name) => new Set(rows.map((row) => cube.columns[name][row])).size;
  const sessions = count("session");
  const cell = (label, value, ...below) => [el("dt", {}, label), el("dd", { id: "sum-" + label.toLowerCase().replace(/ /g, "-") }, value, below.some(Boolean) ? el("small", {}, below) : null)];
  const hasOthers = rows.some((row) => cube.columns.session[row] >= cube.names.session.length);
  fill("figures",
    ...[
      cell("Cost", money(cost(sum)), sum.unattributed_micro ? money(sum.unattributed_micro) + " of it unattributed" : "", sum.unpriced ? el("span", {}, (sum.unattributed_micro ? ", " : "") + many(sum.unpriced, "step") + " unpriced") : ""),
      cell("Steps", grouped(sum.steps), "responses of the API"),
      cell("Tokens", short(allTokens(sum)), short(sum.output) + " of them output"),
      cell("Cache hits", share(sum.read, prompted(sum)) || "–", "of the tokens models read came from the cache"),
      cell("Sessions", grouped(hasOthers ? sessions - 1 + cube.others.session : sessions), hasOthers && filtered() ? "at most" : ""),
    ].map((pair) => el("div", {}, pair)));
  const extent = extentOf(cube, rows);
  const days = extent ? dateWords(extent[0]) + (extent[0] === extent[1] ? "" : " to " + dateWords(extent[1])) : "";
  fill("h-total", "Total", days ? el("small", {}, " " + days) : null);
  // For programs: the exact figures, as `budget report --json` has them.
  const exact = { usd: usd6(sum.micro, sum.pico), unattributed_usd: usd6(sum.unattributed_micro, sum.unattributed_pico), steps: sum.steps, input_tokens: sum.input, output_tokens: sum.output, cache_read_tokens: sum.read, cache_write_5m_tokens: sum.write_5m, cache_write_1h_tokens: sum.write_1h, web_searches: sum.searches, unpriced_steps: sum.unpriced };
  byId("figures").dataset.exact = JSON.stringify(exact);
}

// -- over time -------------------------------------------------------------------------------------

const MOST_BARS = 400;

function extentOf(cube, rows) {
  let [first, last] = ["9", "0"];
  for (const row of rows) {
    const day = cube.times[cube.columns.time[row]].slice(0, 10);
    if (day < first) first = day;
    if (day > last) last = day;
  }
  return rows.length ? [state.filter.from && state.filter.from > first ? state.filter.from : first, last] : null;
}

function fitting(extent) {
  const days = (utc(extent[1]) - utc(extent[0])) / DAY_MS + 1;
  return days <= 2 ? "hour" : days <= 92 ? "day" : days <= 500 ? "week" : "month";
}

function periodsShown(cube, extent, period) {
  const keys = periodsBetween(extent[0], extent[1], period);
  const kept = period === "hour" ? keys.filter((key) => key >= cube.hours_since) : keys;
  return { keys: kept.slice(-MOST_BARS), less: kept.length > MOST_BARS || kept.length < keys.length };
}

function overTime(cube, rows) {
  const extent = extentOf(cube, rows);
  if (!extent) {
    fill("time", el("p", { class: "dim" }, emptyWords()));
    return null;
  }
  const period = state.period || fitting(extent);
  const { keys, less } = periodsShown(cube, extent, period);
  const places = new Map(keys.map((key, number) => [key, number]));
  const values = new Map();
  const sums = grouping(cube, rows, (row) => periodOf(cube.times[cube.columns.time[row]], period));
  for (const row of rows) {
    const place = places.get(periodOf(cube.times[cube.columns.time[row]], period));
    if (place === undefined) continue;
    const model = cube.columns.model[row];
    if (!values.has(model)) values.set(model, new Array(keys.length).fill(0));
    values.get(model)[place] += cube.columns.micro[row] + cube.columns.unattributed_micro[row] + (cube.columns.pico[row] + cube.columns.unattributed_pico[row]) / 1e6;
  }
  const order = [...values.keys()].sort((a, b) => a - b);
  const label = (number) => (number < cube.names.model.length ? modelWords(nameOf(cube, "model", number)) : many(cube.others.model, "other model"));
  const series = order.map((number) => ({ name: label(number), color: colorName(cube, "model", number), values: values.get(number) }));
  const whole = total(cube, rows);
  fill("time",
    canvas("time", "Spend by " + period + ", stacked by model, from " + periodWords(keys[0], period) + " to " + periodWords(keys[keys.length - 1], period) + "; the table below has the figures"),
    legend(series.map((each) => [each.name, each.color, money(Math.floor(each.values.reduce((a, b) => a + b, 0)))]).filter((each) => each[2] !== "$0.00" || series.length < 6)),
    less ? el("p", { class: "note" }, "Of so long a time only the last " + grouped(keys.length) + " " + period + "s are drawn; the figures above and the tables count all.") : null,
    behind("time", "Show as a table", () => table("time", {
      caption: "Spend by " + period, rows: [...sums].map(([key, sum]) => ({ key, sum })), foot: whole, sort: ["key", true],
      columns: [{ key: "key", label: period[0].toUpperCase() + period.slice(1), value: (row) => row.key, cell: (row) => row.key.replace("T", " ") + (row.key.length === 13 && row.key[10] === "T" ? ":00" : ""), foot: () => "total" }, ...amountColumns(whole)],
    })));
  draw("time", {
    keys, series, format: (value) => money(Math.floor(value)), axis: axisMoney, least: 1e4, label: (key) => periodWords(key, period), tick: (key) => tickWords(key, period),
    onPick: (key) => pickPeriod(key, period),
  });
  return { period, keys };
}

const axisMoney = (value) => (value >= 1e6 || value === 0 ? "$" + grouped(Math.round(value / 1e4) / 100) : "$" + (value / 1e6).toFixed(value >= 1e5 ? 2 : 4));
const emptyWords = () => (DATA.cells.columns.time.length === 0 ? "Nothing is booked here yet. `budget import` books older sessions." : "Nothing was spent that fits the filters.");

// -- tokens ----------------------------------------------------------------------------------------

const KINDS = [["read", "read from the cache", "--c0"], ["write_5m", "written to the cache (5 min)", "--c1"], ["write_1h", "written to the cache (1 h)", "--c5"], ["input", "plain input", "--c2"], ["output", "output", "--c3"]];

function tokens(cube, rows, time) {
  if (!time) {
    fill("kinds", el("p", { class: "dim" }, emptyWords()));
    fill("cache");
    return;
  }
  const { period, keys } = time;
  const sums = grouping(cube, rows, (row) => periodOf(cube.times[cube.columns.time[row]], period));
  const at = (key) => sums.get(key);
  const whole = total(cube, rows);
  const kinds = KINDS.filter(([name]) => whole[name] > 0);
  const byPeriod = { label: (key) => periodWords(key, period), tick: (key) => tickWords(key, period), keys };
  const kindColumns = KINDS.map(([name, words]) => ({ key: name, label: words[0].toUpperCase() + words.slice(1), num: true, value: (row) => row.sum[name], cell: (row) => grouped(row.sum[name]), foot: (sum) => grouped(sum[name]) }));
  const timeColumn = { key: "key", label: period[0].toUpperCase() + period.slice(1), value: (row) => row.key, cell: (row) => row.key.replace("T", " "), foot: () => "total" };
  const listed = [...sums].map(([key, sum]) => ({ key, sum }));
  fill("kinds", el("h3", {}, "Tokens by kind"), canvas("kinds", "Tokens by kind and " + period + "; the table below has the figures", "small"),
    legend(kinds.map(([name, words, color]) => [words, color, short(whole[name])])),
    behind("kinds", "Show as a table", () => table("kinds", { caption: "Tokens by kind", rows: listed, foot: whole, sort: ["key", true], columns: [timeColumn, ...kindColumns] })));
  draw("kinds", { ...byPeriod, series: kinds.map(([name, words, color]) => ({ name: words, color, values: keys.map((key) => (at(key) ? at(key)[name] : 0)) })), format: short, axis: short });
  fill("cache", el("h3", {}, "Cache hit rate"), canvas("cache", "Share of the tokens read that came from the cache, by " + period + "; the table below has the figures", "small"),
    el("p", { class: "note" }, (share(whole.read, prompted(whole)) || "None") + " of all tokens that were read came from the cache, at about a tenth of the price."),
    behind("cache", "Show as a table", () => table("cache", {
      caption: "Cache hit rate", rows: listed.filter((row) => prompted(row.sum)), foot: whole, sort: ["key", true],
      columns: [timeColumn,
        { key: "rate", label: "From the cache", num: true, value: (row) => row.sum.read / prompted(row.sum), cell: (row) => ((row.sum.read / prompted(row.sum)) * 100).toFixed(1) + " %", foot: (sum) => (prompted(sum) ? ((sum.read / prompted(sum)) * 100).toFixed(1) + " %" : "") },
        { key: "prompted", label: "Tokens read", num: true, value: (row) => prompted(row.sum), cell: (row) => grouped(prompted(row.sum)), foot: (sum) => grouped(prompted(sum)) }],
    })));
  draw("cache", { ...byPeriod, type: "line", max: 1, series: [{ name: "from the cache", color: "--c0", values: keys.map((key) => (at(key) && prompted(at(key)) ? at(key).read / prompted(at(key)) : null)) }], format: (value) => (value * 100).toFixed(1) + " %", axis: (value) => Math.round(value * 100) + " %" });
}

// -- models, agents, branches, users, projects -----------------------------------------------------

function parts(cube, rows, whole) {
  const shown = ["model", "agent", "branch", "user", "project"].filter((name) => name !== "project" || cube.names.project.length > 1);
  fill("parts", shown.map((name) => el("div", { id: "part-" + name }, part(cube, rows, whole, name))));
}

function part(cube, rows, whole, name) {
  const sums = byDimension(cube, rows, name);
  const known = cube.names[name];
  const listed = [...sums].map(([number, sum]) => ({ number, sum, rest: number >= known.length }));
  const most = Math.max(1, ...listed.map((row) => cost(row.sum)));
  const label = (row) => (row.rest ? "other " + PLURAL(name) + " (" + grouped(cube.others[name]) + ")" : known[row.number]);
  const set = (row) => (row.rest ? label(row) : el("button", { type: "button", class: "name", "data-key": name + row.number, title: "Show only this", onclick: () => pick(name, row.number) }, name === "model" ? bdi(modelWords(label(row)), { title: plain(label(row)) }) : bdi(label(row))));
  return table("part-" + name, {
    caption: "By " + name, rows: listed, foot: whole, sort: ["cost", true], first: 8,
    columns: [
      { key: "name", label: FIRST_COLUMNS(name), value: (row) => plain(label(row)).toLowerCase(), cell: (row) => (name === "model" ? [dot(colorName(cube, "model", row.number)), " ", set(row)] : set(row)), foot: () => "total" },
      { key: "bar", label: "", unseen: "Bar", class: "bar", cell: (row) => barCell(cost(row.sum), most, name === "model" ? modelBar(cube, row.number) : undefined) },
      { key: "share", label: "Share", num: true, wide: true, value: (row) => cost(row.sum), cell: (row) => share(cost(row.sum), cost(whole)) },
      ...amountColumns(whole).filter((each) => each.key !== "tokens"),
    ],
  });
}

function modelBar(cube, number) {
  const name = colorName(cube, "model", number);
  return "var(" + (name === "hatched" ? "--rest" : name) + ")";
}

// -- what happened ---------------------------------------------------------------------------------

const inTime = (each) => (!state.filter.from || each.at.slice(0, 10) >= state.filter.from) && (!state.filter.to || each.at.slice(0, 10) <= state.filter.to);

function ofSession(cube, id) {
  const number = cube.names.session.indexOf(id);
  return number < 0 ? bdi(shortId(id)) : el("button", { type: "button", class: "name", "data-key": "s" + number, title: "Show only this session", onclick: () => pick("session", number) }, bdi(sessionLabel(cube, number)));
}

function happened(cube) {
  const wanted = state.filter.session === null ? null : cube.names.session[state.filter.session];
  const stops = DATA.stops.filter((each) => inTime(each) && (!wanted || each.sessions.includes(wanted)));
  const given = DATA.advice.filter((each) => inTime(each) && (!wanted || each.session === wanted));
  const warned = wanted ? [] : DATA.warnings.filter(inTime);
  const when = { key: "at", label: "When", value: (row) => row.at, cell: (row) => atWords(row.at) };
  const text = (key, label, words) => ({ key, label, value: (row) => plain(words(row)), cell: (row) => bdi(words(row)) });
  const found = [];
  if (stops.length) {
    found.push(table("stops", { caption: "Stops: a budget ended the work", rows: stops, sort: ["at", true], first: 8, columns: [when,
      text("budget", "Budget", (row) => row.budget + (DATA.every ? " in " + row.project : "")),
      text("spent", "Spent", (row) => row.spent_of + (row.over ? " " + row.over : "")), text("why", "Why", (row) => row.why),
      { key: "times", label: "Times", num: true, value: (row) => row.times, cell: (row) => grouped(row.times) },
      { key: "session", label: "Session", cell: (row) => ofSession(cube, row.sessions[0]) }] }));
  }
  if (given.length) {
    const taken = given.filter((each) => each.taken !== null).length;
    found.push(table("advice", { caption: "Advice: " + many(given.length, "time") + " given, " + taken + " taken", rows: given, sort: ["at", true], first: 8, columns: [when,
      text("kind", "Advice", (row) => ({ compact: "/compact", clear: "/clear", ordered: "compacted by itself" })[row.kind] || row.kind),
      text("taken", "Taken", (row) => (row.taken ? "yes, " + row.taken.slice(11) : row.open ? "not yet" : "no")),
      { key: "context", label: "Context", num: true, value: (row) => row.before, cell: (row) => (row.before ? short(row.before) + " → " + short(row.after) : "") },
      { key: "session", label: "Session", cell: (row) => ofSession(cube, row.session) }] }));
    found.push(el("p", { class: "note" }, "That advice was given is in the ledger. That it was taken is derived: the session was compacted within 30 minutes, or it ended there and the person's next one began within 30 minutes. What was advised beside a warning is not kept."));
  }
  if (warned.length) {
    found.push(table("warnings", { caption: "Warnings: a mark was passed", rows: warned, sort: ["at", true], first: 8, columns: [when, text("budget", "Budget", (row) => row.budget), text("mark", "Passed", (row) => row.mark), text("limit", "Limit", (row) => row.limit)] }));
  }
  if (DATA.grants.length && !wanted) {
    found.push(el("h3", {}, "Grants: a person added to a limit"), el("ul", {}, DATA.grants.map((line) => el("li", {}, bdi(line)))));
  }
  fill("events", found.length ? found : el("p", { class: "dim" }, "No budget has stopped or warned, and no advice was given in this time."));
}

function beyond(sum) {
  const lines = [];
  lines.push(sum.unattributed_micro || sum.unattributed_pico
    ? el("p", {}, el("strong", {}, money(sum.unattributed_micro)), " is unattributed: the client counted it beyond the steps of its transcripts, for compaction, titles and other requests in the background. It is in the cost, and budgets count it. It has a session, and no model, agent, branch or prompt.")
    : el("p", {}, "Nothing is unattributed here: the client counted no more than the steps."));
  if (sum.unpriced) {
    lines.push(el("p", {}, el("strong", {}, many(sum.unpriced, "step")), " of unknown models have no price and are not in the cost: ", bdi(DATA.unpriced_models.join(", ")), ". Budgets count them at the dearest known rates, " + money(sum.bound) + " at most."));
  } else lines.push(el("p", {}, "Every step has a price."));
  if (DATA.skipped_lines) lines.push(el("p", {}, many(DATA.skipped_lines, "damaged line") + " of transcripts could not be counted: what is shown may be too low."));
  const hidden = state.filter.model !== null || state.filter.agent !== null || state.filter.branch !== null || state.filter.prompt !== null || state.filter.user !== null;
  if (hidden) lines.push(el("p", { class: "note" }, "The filters leave unattributed amounts out: they have no model, agent, branch, prompt or user."));
  fill("beyond", lines);
}
