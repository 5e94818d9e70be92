// What is left, what it went on, and how every budget stands.

function sessionInfo(cube) {
  const found = new Map();
  for (let row = 0; row < cube.length; row++) {
    const id = cube.columns.session[row];
    const time = cube.times[cube.columns.time[row]];
    let known = found.get(id);
    if (!known) found.set(id, (known = { first: time, last: time, micro: 0, branches: new Map(), models: new Map() }));
    if (time < known.first) known.first = time;
    if (time > known.last) known.last = time;
    const micro = cube.columns.micro[row] + cube.columns.unattributed_micro[row];
    known.micro += micro;
    for (const [sums, name] of [[known.branches, "branch"], [known.models, "model"]]) {
      const number = cube.columns[name][row];
      if (cube.names[name][number] !== UNATTRIBUTED) sums.set(number, (sums.get(number) || 0) + micro);
    }
  }
  for (const known of found.values()) {
    for (const name of ["branches", "models"]) known[name] = [...known[name]].sort((a, b) => b[1] - a[1]).map(([number]) => number);
  }
  return found;
}

function sessionStart(cube, number) {
  const story = DATA.stories[cube.names.session[number]];
  if (story) return story.first;
  const info = INFO.get(number);
  return info ? info.first.replace("T", " ") + (info.first.length > 10 ? ":00" : "") : "";
}

function sessionLabel(cube, number) {
  if (number >= cube.names.session.length) return many(cube.others.session, "other session");
  const info = INFO.get(number);
  const branch = info && info.branches.length ? nameOf(cube, "branch", info.branches[0]) : null;
  return atWords(sessionStart(cube, number)) + (branch && branch !== "(none)" ? " · " + branch : "") + " · " + shortId(cube.names.session[number]);
}

// For people who look at today: the time alone.
function sessionWords(cube, number) {
  const label = sessionLabel(cube, number);
  const today = dayWords(DATA.now) + " ";
  return label.startsWith(today) ? label.slice(today.length) : label;
}

function headline(cube) {
  const told = DATA.headline;
  const parts = [];
  if (told.kind === "none") {
    parts.push(el("h1", { class: "left", id: "left" }, told.today.words, el("span", { class: "when" }, " spent today")));
    parts.push(el("p", { class: "lead" }, "No budget in dollars is set here, so nothing limits it. ",
      el("code", {}, "budget init --day 20"), " sets one."));
  } else {
    parts.push(...leftWords(told));
    parts.push(spentBar(cube, told));
  }
  if (told.went_on.micro > 0) parts.push(wentOn(cube, told));
  fill("headline", ...parts);
}

function leftWords(told) {
  const state = told.state === "exceeded" ? "exceeded" : told.stopped ? "stopped" : told.state;
  const words = told.state === "exceeded" ? "Nothing" : told.left;
  const big = el("h1", { class: "left " + state, id: "left" }, words, el("span", { class: "when" }, " left " + told.period));
  const lead = el("p", { class: "lead" }, told.spent + " of " + told.limit + " is spent" + (told.whose ? " " : ""), told.whose ? bdi(told.whose) : "", ". ");
  if (told.held) lead.append(told.held + " more is held for steps under way. ");
  if (state === "warned") lead.append("It is past its warning at " + told.mark + ". ");
  if (state === "stopped") lead.append("The work was stopped: the next step does not fit into what is left. ");
  const stops = state === "exceeded" && !told.advises;
  lead.append(stops ? "Claude Code makes no further step here until the budget " : "The budget ", bdi("“" + told.budget + "”"), " resets " + told.resets + ".");
  if (state === "exceeded" && told.advises) lead.append(" It only advises: work goes on.");
  if (told.kind === "other") lead.append(" Spent today" + (DATA.every ? " in all projects" : "") + ": " + told.today.words + ".");
  return [big, lead, told.pace ? el("p", { class: "lead pace", id: "pace" }, bdi(told.pace)) : null].filter(Boolean);
}

// As in the charts below; models of other projects take the colours that are left.
function partColors(cube, parts) {
  const known = parts.map((part) => (part.name === null ? -1 : cube.names.model.indexOf(part.name)));
  const colors = known.map((number) => (number < 0 ? null : colorName(cube, "model", number)));
  const free = Array.from({ length: COLORS }, (_, number) => "--c" + number).filter((name) => !colors.includes(name));
  return colors.map((color, number) => color || (parts[number].name === null ? "--rest" : free.shift() || "--rest"));
}

function spentBar(cube, told) {
  const whole = Math.max(told.limit_micro, told.spent_micro + told.held_micro, 1);
  const bar = el("div", { class: "spent", role: "img", "aria-label": told.spent + " of " + told.limit + " is spent" });
  const piece = (micro, color, title) => {
    const made = el("span", { title: plain(title), class: color === "hatched" ? "hatched" : "" });
    made.style.width = (micro / whole) * 100 + "%";
    if (color !== "hatched") made.style.background = "var(" + color + ")";
    if (micro > 0) bar.append(made);
  };
  const colors = partColors(cube, told.went_on.model);
  told.went_on.model.forEach((part, number) => piece(part.micro, colors[number], (part.name || "others") + " " + part.words));
  if (told.went_on.unattributed) piece(told.went_on.unattributed.micro, "hatched", "unattributed " + told.went_on.unattributed.words);
  if (told.held_micro) piece(told.held_micro, "hatched", "held for steps under way " + told.held);
  if (whole > told.limit_micro) bar.append(el("i", { title: "the limit, " + told.limit, style: { left: (told.limit_micro / whole) * 100 + "%" } }));
  return bar;
}

function wentOn(cube, told) {
  const went = told.went_on;
  const row = (marker, name, words) => el("li", {}, marker, name, el("span", { class: "amount" }, words));
  const item = (marker, name, words, title) => row(marker, bdi(name, { class: "name", title: plain(title || name) }), words);
  const others = (part) => many(part.count, "other");
  const colors = partColors(cube, went.model);
  const models = went.model.map((part, number) => item(dot(colors[number]), part.name === null ? others(part) : modelWords(part.name), part.words, part.name || ""));
  if (went.unattributed) models.push(item(dot("hatched"), "unattributed", went.unattributed.words, "What the client counted beyond the steps"));
  const list = (heading, items) => el("div", {}, el("h2", {}, heading), el("ul", {}, items));
  const named = (kind) => went[kind].map((part) => item(null, part.name === null ? others(part) : part.name, part.words));
  const sessions = went.session.slice(0, 4).map((part) => {
    const number = part.name === null ? -1 : cube.names.session.indexOf(part.name);
    if (number < 0) return item(null, part.name === null ? others(part) : shortId(part.name), part.words, part.name || "");
    const show = el("button", { type: "button", class: "name", title: "Show only this session", onclick: () => pick("session", number) }, bdi(sessionWords(cube, number)));
    return row(null, show, part.words);
  });
  const columns = [list("It went on these models", models), list("in these sessions", sessions)];
  if (went.branch.length > 1 || went.branch.some((part) => part.name !== "(none)")) columns.push(list("on these branches", named("branch")));
  if (went.agent.length > 1) columns.push(list("by the main thread and agents", named("agent")));
  return el("div", { class: "went" }, columns);
}

function notices() {
  fill("notices", DATA.notices.map((text) => el("p", { class: "notice" }, bdi(text))));
}

function budgets() {
  if (!DATA.budgets.length) {
    fill("budgets", el("p", { class: "dim" }, "No budget is set. ", el("code", {}, "budget init --session 5 --day 20"), " writes one."));
    return;
  }
  fill("budgets", el("ul", { class: "budgets" }, DATA.budgets.map(gauge)));
}

const STATES = { ok: "", warned: "warning", exceeded: "used up", unknown: "not known" };

function gauge(budget) {
  const state = budget.stopped && budget.state !== "exceeded" ? "stopped" : STATES[budget.state];
  const looks = budget.stopped ? "exceeded" : budget.state;
  const width = (value) => Math.min(100, Math.max(0, value * 100)) + "%";
  const bar = el("div", { class: "gauge", role: "meter", "aria-label": plain(budget.name) + ": " + budget.spent_of, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": Math.min(100, Math.round(budget.fraction * 100)), "aria-valuetext": budget.percent + " spent" },
    el("span", { style: { width: width(budget.fraction) } }),
    budget.held ? el("span", { class: "held hatched", style: { left: width(budget.fraction), width: width(budget.held) } }) : null,
    budget.marks.map((mark) => el("i", { style: { left: width(mark) }, title: "warns at " + Math.round(mark * 100) + " %" })));
  const stops = DATA.stops.filter((stop) => stop.budget === budget.name && (!budget.project || stop.project === budget.project));
  return el("li", { class: "budget " + looks },
    el("p", { class: "line" }, el("span", {}, bdi(budget.name, { class: "name" }), " ", el("span", { class: "dim" }, bdi(budget.what))),
      el("span", { class: "state " + looks }, budget.percent + (state ? " " + state : ""))),
    bar,
    el("p", { class: "line" }, el("span", {}, bdi(budget.spent_of)), el("span", {}, el("strong", {}, budget.left), " left")),
    el("p", { class: "note" }, "resets " + budget.resets + " · ", bdi(budget.source), budget.project && DATA.every ? [" · ", bdi(budget.project)] : "",
      budget.advises ? " · only advises" : "", budget.granted ? " · " + budget.granted + " granted" : "", budget.held_words ? " · " + budget.held_words + " held" : "",
      budget.note ? [" · ", bdi(budget.note)] : ""),
    past(budget), stops.length ? el("p", { class: "note" }, "Stopped the work " + many(stops.reduce((sum, stop) => sum + stop.times, 0), "time") + " in " + many(stops.length, "window") + ", last " + atWords(stops[0].at) + ".") : null);
}

function past(budget) {
  const found = budget.history;
  if (found.length < 2) return null;
  const highest = Math.max(1, ...found.map((each) => each.fraction));
  const over = found.filter((each) => each.fraction >= 1).length;
  const words = "The last " + found.length + " " + budget.per + "s against the limit of now; " + (over || "none") + " reached it.";
  return el("div", {},
    el("div", { class: "past", role: "img", "aria-label": words + ": " + found.map((each) => each.from + " " + each.spent).join(", ") },
      el("i", { style: { bottom: 100 / highest + "%" } }),
      found.map((each) => el("span", { class: each.fraction >= 1 ? "over" : "", title: each.from + ": " + each.spent, style: { height: (each.fraction / highest) * 100 + "%" } }))),
    el("p", { class: "note" }, words));
}
