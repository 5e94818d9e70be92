// Sessions and prompts by cost, and the story of each.

const told = new Set();

function sessionTable(cube, rows, whole) {
  const sums = byDimension(cube, rows, "session");
  const known = cube.names.session;
  const listed = [...sums].map(([number, sum]) => ({ number, sum, rest: number >= known.length, story: DATA.stories[known[number]] }));
  const of = (row, name) => (INFO.get(row.number) ? INFO.get(row.number)[name].map((number) => nameOf(cube, name === "branches" ? "branch" : "model", number) || "others") : []);
  const list = (names) => (names.length > 2 ? names.slice(0, 2).join(", ") + " +" + (names.length - 2) : names.join(", "));
  const column = (key, label, value, words) => ({ key, label, num: true, wide: true, value: (row) => (row.story ? value(row.story) : -1), cell: (row) => (row.story ? words(row.story) : "") });
  fill("sessions", table("sessions", {
    caption: "Sessions by cost", rows: listed, foot: whole, sort: ["cost", true],
    columns: [
      { key: "first", label: "Started", class: "text start", value: (row) => sessionStart(cube, row.number), cell: (row) => (row.rest ? "other sessions (" + grouped(cube.others.session) + ")" : atWords(sessionStart(cube, row.number))), foot: () => "total" },
      { key: "id", label: "Session", wide: true, value: (row) => known[row.number] || "", cell: (row) => (row.rest ? "" : bdi(shortId(known[row.number]), { title: plain(known[row.number]) })) },
      { key: "branch", label: "Branch", value: (row) => of(row, "branches").join(), cell: (row) => (row.rest ? "" : bdi(list(of(row, "branches")))) },
      { key: "model", label: "Models", wide: true, value: (row) => of(row, "models").join(), cell: (row) => (row.rest ? "" : bdi(list(of(row, "models").map(modelWords)), { title: plain(of(row, "models").join(", ")) })) },
      column("prompts", "Prompts", (story) => story.prompts, (story) => grouped(story.prompts)),
      column("agents", "Agents", (story) => agentCount(story), (story) => grouped(agentCount(story))),
      column("context", "Largest context", (story) => largest(story), (story) => short(largest(story))),
      ...amountColumns(whole).filter((each) => each.key !== "tokens" && each.key !== "cached"),
    ],
    story: (row, line, width) => { if (row.story) unfolding(cube, row, line, width); },
  }));
}

const agentCount = (story) => story.agents.length + (story.more_agents ? story.more_agents.count : 0);
const largest = (story) => Math.max(0, ...story.context.map((each) => each[1]));

function unfolding(cube, row, line, width) {
  const id = cube.names.session[row.number];
  const chart = "story-" + row.number;
  const button = el("button", { type: "button", class: "twist", "data-key": "twist" + row.number, "aria-expanded": "false", "aria-label": "The story of session " + plain(shortId(id)) });
  line.querySelector(".start").prepend(button);
  let unfolded = null;
  const turn = () => {
    if (unfolded) {
      if (charts[chart]) { charts[chart].destroy(); delete charts[chart]; }
      unfolded.remove();
      unfolded = null;
      told.delete(id);
    } else {
      unfolded = el("tr", { class: "story" }, el("td", { colspan: String(width) }, el("div", { class: "story-in" }, story(cube, row, chart))));
      line.after(unfolded);
      told.add(id);
      requestAnimationFrame(() => { if (unfolded && unfolded.isConnected) contextChart(chart, row.story); });
    }
    button.setAttribute("aria-expanded", String(Boolean(unfolded)));
  };
  button.addEventListener("click", turn);
  line.querySelector(".start").classList.add("opens");
  line.querySelector(".start").addEventListener("click", (event) => { if (event.target !== button) turn(); });
  if (told.has(id)) turn();
}

function story(cube, row, chart) {
  const found = row.story;
  const id = cube.names.session[row.number];
  const stops = DATA.stops.filter((each) => each.sessions.includes(id));
  const advice = DATA.advice.filter((each) => each.session === id);
  const words = [];
  words.push("From " + atWords(found.first) + " to " + (found.last.slice(0, 10) === found.first.slice(0, 10) ? found.last.slice(11) : atWords(found.last)) + " (" + lasting(found.minutes) + "), " + many(found.prompts, "prompt") + ".");
  if (found.context.length) {
    const [from, to] = [found.context[0][1], found.context[found.context.length - 1][1]];
    words.push("The context began with " + short(from) + " tokens, was " + short(largest(found)) + " at its largest and " + short(to) + " at the end: every step reads all of it.");
  }
  if (found.compacted) words.push("It was compacted " + many(found.compacted, "time") + ": " + found.compactions.slice(0, 4).map((each) => short(each.before) + " → " + short(each.after) + (each.automatic ? " by the client" : "")).join(", ") + (found.compacted > 4 ? " and so on" : "") + ".");
  else if (largest(found) > 100000) words.push("It was never compacted.");
  if (agentCount(found)) {
    const all = found.agents.reduce((sum, each) => sum + each.micro, 0) + (found.more_agents ? found.more_agents.micro : 0);
    words.push(many(agentCount(found), "agent") + " took " + money(all) + " of it.");
  }
  if (row.sum.unattributed_micro) words.push(money(row.sum.unattributed_micro) + " is unattributed.");
  if (stops.length) words.push("Stopped by " + [...new Set(stops.map((each) => "“" + plain(each.budget) + "”"))].join(", ") + ", last " + atWords(stops[0].at) + ".");
  if (advice.length) words.push("Advised " + many(advice.length, "time") + ", taken " + advice.filter((each) => each.taken).length + ".");
  return [
    el("p", {}, words.join(" ")),
    found.context.length > 1 ? el("div", {}, el("h3", {}, "Context of the main thread"), canvas(chart, "Tokens of context over the session", "story")) : null,
    storyPrompts(row, found),
    agentCount(found) ? storyAgents(row, found) : null,
    el("p", { class: "note" }, "Session ", bdi(id), " ", state.filter.session === row.number ? "" : el("button", { type: "button", class: "name", onclick: () => pick("session", row.number) }, "show only this session")),
  ];
}

function contextChart(id, found) {
  if (!byId("chart-" + id)) return;
  const after = new Set();
  for (const each of found.compactions) {
    const next = found.context.findIndex(([second]) => second >= each.after_s);
    if (next >= 0) after.add(next);
  }
  const keys = found.context.map((each, number) => number);
  draw(id, {
    type: "line", keys, format: (value) => grouped(value) + " tokens", axis: short,
    label: (key) => lasting(Math.floor(found.context[key][0] / 60)) + " in" + (after.has(key) ? ", after a compaction" : ""),
    tick: (key) => minutesWords(Math.floor(found.context[key][0] / 60)),
    series: [{ name: "context", color: "--c0", values: found.context.map((each) => each[1]), points: keys.map((key) => (after.has(key) ? 5 : 0)), styles: "triangle" }],
  });
}

const minutesWords = (minutes) => (minutes < 60 ? minutes + " min" : Math.floor(minutes / 60) + " h " + (minutes % 60));

const money1 = (row) => [money(row.micro), row.unpriced ? el("span", { class: "tag", title: "steps without a price are not in it" }, "+?") : null];

function storyPrompts(row, found) {
  const rows = found.dearest_prompts.map((each) => ({ ...each }));
  if (found.more_prompts) rows.push({ rest: true, first: many(found.more_prompts.count, "more prompt"), steps: "", micro: found.more_prompts.micro });
  return table("story-prompts-" + row.number, { caption: "Its prompts", rows, first: 6, sort: ["cost", true], columns: [
    { key: "at", label: "Prompt of", value: (each) => each.first, cell: (each) => (each.rest ? each.first : atWords(each.first)) },
    { key: "id", label: "Id", wide: true, value: (each) => each.prompt, cell: (each) => (each.rest ? "" : bdi(shortId(each.prompt || "(none)"), { title: plain(each.prompt) })) },
    { key: "steps", label: "Steps", num: true, value: (each) => each.steps, cell: (each) => String(each.steps) },
    { key: "agents", label: "Agents", num: true, wide: true, value: (each) => each.agents, cell: (each) => (each.rest ? "" : String(each.agents)) },
    { key: "context", label: "Context", num: true, value: (each) => each.context_to, cell: (each) => (each.rest || !each.context_to ? "" : short(each.context_from) + " → " + short(each.context_to)) },
    { key: "cost", label: "Cost", num: true, value: (each) => each.micro, cell: money1 },
  ] });
}

function storyAgents(row, found) {
  const rows = found.agents.map((each) => ({ ...each }));
  if (found.more_agents) rows.push({ rest: true, agent: many(found.more_agents.count, "more agent"), micro: found.more_agents.micro });
  return table("story-agents-" + row.number, { caption: "Its agents", rows, first: 6, sort: ["cost", true], columns: [
    { key: "agent", label: "Agent", value: (each) => each.agent, cell: (each) => bdi(each.agent, { title: plain(each.id || "") }) },
    { key: "first", label: "Started", wide: true, value: (each) => each.first, cell: (each) => (each.rest ? "" : atWords(each.first)) },
    { key: "models", label: "Models", value: (each) => each.models.join(), cell: (each) => (each.rest ? "" : bdi(each.models.map(modelWords).join(", "), { title: plain(each.models.join(", ")) })) },
    { key: "steps", label: "Steps", num: true, value: (each) => each.steps, cell: (each) => (each.rest ? "" : grouped(each.steps)) },
    { key: "cost", label: "Cost", num: true, value: (each) => each.micro, cell: money1 },
  ] });
}

function promptTable(cube, rows, whole) {
  const sums = byDimension(cube, rows, "prompt");
  const known = cube.names.prompt;
  const apart = (number) => number >= known.length || known[number] === UNATTRIBUTED || known[number] === "(none)";
  const listed = [...sums].map(([number, sum]) => ({ number, sum, rest: apart(number), prompt: DATA.prompts[known[number]] }));
  const label = (row) => (row.number >= known.length ? "other prompts" + (filtered() ? "" : " (" + grouped(cube.others.prompt) + ")") : known[row.number] === "(none)" ? "without a prompt" : known[row.number] === UNATTRIBUTED ? "unattributed" : "");
  const of = (row, words) => (row.rest || !row.prompt ? "" : words(row.prompt));
  fill("prompts", table("prompts", {
    caption: "Prompts by cost; their texts are not kept", rows: listed, foot: whole, sort: ["cost", true], first: 10,
    columns: [
      { key: "first", label: "Sent", value: (row) => of(row, (each) => each.first), cell: (row) => (row.rest ? label(row) : of(row, (each) => atWords(each.first))), foot: () => "total" },
      { key: "id", label: "Prompt", wide: true, value: (row) => known[row.number], cell: (row) => (row.rest ? "" : bdi(shortId(known[row.number]), { title: plain(known[row.number]) })) },
      { key: "session", label: "Session", wide: true, value: (row) => of(row, (each) => each.session), cell: (row) => of(row, (each) => ofSession(cube, each.session)) },
      { key: "agents", label: "Agents", num: true, wide: true, value: (row) => of(row, (each) => each.agents) || 0, cell: (row) => of(row, (each) => grouped(each.agents)) },
      { key: "context", label: "Context", num: true, wide: true, value: (row) => of(row, (each) => each.context_to) || 0, cell: (row) => of(row, (each) => (each.context_to ? short(each.context_from) + " → " + short(each.context_to) : "")) },
      ...amountColumns(whole).filter((each) => each.key !== "tokens" && each.key !== "cached"),
    ],
  }));
}
