// Filters, schemes, and the page as a whole.

let DATA, CUBE, INFO;
const state = {
  period: null,
  preset: "all",
  filter: { from: null, to: null, project: null, session: null, prompt: null, model: null, agent: null, branch: null, user: null },
};

const filtered = () => DIMENSIONS.some((name) => state.filter[name] !== null) || state.filter.from || state.filter.to;

function take(data) {
  // What was picked is found again by its name: the numbers of names change with the data.
  const picked = CUBE && Object.fromEntries(DIMENSIONS.map((name) => [name, state.filter[name] === null ? null : CUBE.names[name][state.filter[name]]]));
  DATA = data;
  CUBE = decoded(data.cells);
  INFO = sessionInfo(CUBE);
  for (const name of picked ? DIMENSIONS : []) {
    const number = picked[name] === null ? -1 : CUBE.names[name].indexOf(picked[name]);
    state.filter[name] = number < 0 ? null : number;
  }
  if (state.preset !== "all" && state.preset !== "own") setPreset(state.preset);
}

// -- filters ---------------------------------------------------------------------------------------

const PRESETS = [["today", "Today", 1], ["week", "7 days", 7], ["month", "30 days", 30], ["all", "All", 0]];

function setPreset(name) {
  const days = PRESETS.find((each) => each[0] === name)[2];
  const today = DATA.now.slice(0, 10);
  state.preset = name;
  state.filter.from = days ? daysAfter(today, 1 - days) : null;
  state.filter.to = days ? today : null;
}

function pick(name, number) {
  state.filter[name] = number;
  update();
  byId("filters").scrollIntoView({ block: "nearest" });
  byId("spoken").textContent = byId("filtered").textContent;
}

function pickPeriod(key, period) {
  let [from, to] = [key.slice(0, 10), key.slice(0, 10)];
  if (period === "month") [from, to] = [key + "-01", daysAfter(daysAfter(key + "-01", 31).slice(0, 8) + "01", -1)];
  if (period === "week") {
    from = periodsBetween(key.slice(0, 4) - 1 + "-12-20", Number(key.slice(0, 4)) + 1 + "-01-10", "day").find((day) => weekOf(day) === key);
    to = daysAfter(from, 6);
  }
  [state.filter.from, state.filter.to, state.preset, state.period] = [from, to, "own", null];
  update();
}

function filters() {
  const presets = PRESETS.map(([name, words]) => el("button", { type: "button", "aria-pressed": String(state.preset === name), onclick: () => { setPreset(name); state.period = null; update(); } }, words));
  const date = (key, words) => el("label", {}, words, el("input", { type: "date", id: "filter-" + key, value: state.filter[key] || "", onchange: (event) => { state.filter[key] = event.target.value || null; state.preset = "own"; update(); } }));
  const used = (name) => name !== "project" || CUBE.names.project.length > 1;
  const select = (name) => {
    const names = CUBE.names[name];
    const options = [["", "all " + PLURAL(name)], ...names.map((each, number) => [String(number), name === "session" ? sessionLabel(CUBE, number) : name === "model" ? modelWords(each) : plain(each)])];
    if (CUBE.others[name]) options.push([String(names.length), many(CUBE.others[name], "other " + name)]);
    const chosen = state.filter[name];
    return el("select", { id: "filter-" + name, "aria-label": FIRST_COLUMNS(name), class: chosen === null ? "" : "set", onchange: (event) => { state.filter[name] = event.target.value === "" ? null : Number(event.target.value); update(); } },
      options.map(([value, words]) => el("option", { value, selected: value === (chosen === null ? "" : String(chosen)) }, plain(words))));
  };
  const focused = document.activeElement && document.activeElement.id;
  document.querySelector("#filters .presets").replaceChildren(...presets);
  document.querySelector("#filters .fields").replaceChildren(date("from", "From"), date("to", "To"), ...["project", "model", "agent", "branch", "user", "session"].filter(used).map(select));
  if (focused && focused.startsWith("filter-") && byId(focused)) byId(focused).focus();
  const words = DIMENSIONS.filter((name) => state.filter[name] !== null).map((name) => name + " " + (name === "session" ? sessionLabel(CUBE, state.filter[name]) : (name === "model" ? modelWords : plain)(CUBE.names[name][state.filter[name]] || "others")));
  if (state.filter.from || state.filter.to) words.unshift((state.filter.from || "the beginning") + " to " + (state.filter.to || "now"));
  fill("filtered", words.length ? ["Below, only: " + words.join(" · ") + " ", el("button", { type: "button", class: "name", id: "clear", onclick: clear }, "show all")] : []);
}

function clear() {
  for (const name of Object.keys(state.filter)) state.filter[name] = null;
  [state.preset, state.period] = ["all", null];
  update();
}

function periods(time) {
  fill("periods", ["hour", "day", "week", "month"].map((name) => el("button", { type: "button", "aria-pressed": String(Boolean(time) && time.period === name), onclick: () => { state.period = name; update(); } }, name[0].toUpperCase() + name.slice(1))));
}

// -- the page --------------------------------------------------------------------------------------

function update() {
  for (const id of Object.keys(charts)) {
    charts[id].destroy();
    delete charts[id];
  }
  const rows = rowsOf(CUBE, state.filter);
  const sum = total(CUBE, rows);
  filters();
  figures(CUBE, rows, sum);
  const time = overTime(CUBE, rows);
  periods(time);
  tokens(CUBE, rows, time);
  parts(CUBE, rows, sum);
  sessionTable(CUBE, rows, sum);
  promptTable(CUBE, rows, sum);
  happened(CUBE);
  beyond(sum);
}

function whole() {
  document.title = "Budget · " + plain(DATA.title);
  fill("title", bdi(DATA.title));
  const span = DATA.since || DATA.until ? " · from " + (DATA.since || "the beginning") + " to " + (DATA.until || "now") : "";
  fill("as-of", "as of " + atWords(DATA.now) + " (" + zoneWords(DATA.timezone) + ")" + span);
  headline(CUBE);
  notices();
  budgets();
  update();
  fill("footer", el("p", {}, "Every figure is from the ledger of budget " + plain(DATA.version) + " on the machine that made this page: token counts, models, times, branches and ids. It holds no prompt and no file content, and this page loads nothing and sends nothing. Costs are those of `budget report`: what is unattributed is in them, what has no price is not. Hours are told apart from " + atWords(CUBE.hours_since) + " on. Charts by Chart.js (MIT licence)."));
}

function scheme(name) {
  document.documentElement.dataset.scheme = name;
  byId("scheme").textContent = name === "dark" ? "Light" : "Dark";
}

function start() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const apply = (name) => { scheme(name || chosen || (system.matches ? "dark" : "light")); if (DATA) update(); };
  apply();
  system.addEventListener("change", () => apply());
  byId("scheme").addEventListener("click", () => { chosen = document.documentElement.dataset.scheme === "dark" ? "light" : "dark"; apply(); });
  byId("print").addEventListener("click", () => print());
  addEventListener("beforeprint", () => apply("light"));
  addEventListener("afterprint", () => apply());
  take(JSON.parse(byId("data").textContent));
  whole();
  if (DATA.served) follow();
  // When it could be used, for who measures: milliseconds since the page was asked for.
  document.documentElement.dataset.drawn = String(Math.round(performance.now()));
}

// Served: the server says when something was booked, and the page fetches it.
function follow() {
  const live = byId("live");
  const say = (words, on) => { live.hidden = false; live.className = on ? "" : "off"; live.textContent = words; };
  let busy = false;
  let again = false;
  const load = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch("data", { cache: "no-store", credentials: "omit" });
      if (!answer.ok) throw new Error(String(answer.status));
      take(await answer.json());
      whole();
      say("live", true);
    } catch {
      say("not live: this is as of " + DATA.now, false);
    }
    busy = false;
    if (again) { again = false; load(); }
  };
  const listen = () => {
    const source = new EventSource("events");
    source.addEventListener("open", () => say("live", true));
    source.addEventListener("news", (event) => { if (Number(event.data) !== DATA.number) load(); });
    source.addEventListener("error", () => {
      say("not live: this is as of " + DATA.now, false);
      // After some answers a browser gives up for good.
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
    });
  };
  listen();
}

start();
