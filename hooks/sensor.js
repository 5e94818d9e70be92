// Reports the client's own running total for the session, and decides nothing. Where no hook
// answers, because there is no Python to run it, it tells the person.
//
// After each model request, subagents' included, and whenever the client has measured the session
// anew (a compaction, a title), the total goes into a small file of the state folder:
//   <state folder>/client/<session id>/<this process>.json
// The client awaits it, so the figure is there before the step's hooks start. The rule for the
// state folder is that of budget/paths.py.

const instance = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
const ordered = new Set(); // orders that were carried out
let reporting = null; // the report that is being written
let session = null; // what this process counted from, in the session it is in
const loaded_ms = Date.now();
let warned = false; // that no hook answered
let interactive = true;

async function stateFolder($) {
  const chosen = await $.env.get("BUDGET_HOME");
  if (chosen) return chosen;
  const windows = await $.env.get("LOCALAPPDATA");
  if (windows) return `${windows}\\codebudget`;
  const home = await $.env.get("HOME");
  if (home.startsWith("/Users/")) return `${home}/Library/Application Support/codebudget`;
  return `${(await $.env.get("XDG_DATA_HOME")) || `${home}/.local/share`}/codebudget`;
}

async function sessionFolder($) {
  const id = await $.session.id();
  return `${await stateFolder($)}/client/${id.replace(/[^A-Za-z0-9_-]/g, "-").slice(0, 100)}`;
}

async function report($) {
  // One at a time: a report that overtakes another would be replaced by the older figure.
  while (reporting) await reporting;
  let done;
  reporting = new Promise((resolve) => { done = resolve; });
  try {
    const id = await $.session.id();
    const usage = await $.session.usage();
    const usd = usage.cost.usd;
    if (session === null || session.id !== id) {
      session = { id, base_usd: usd, since_ms: Date.now(), reported: usd };
    }
    if (usd < session.reported) return; // agents in parallel: a newer figure is already written
    session.reported = usd;
    const facts = {
      session: id,
      since_ms: session.since_ms,
      base_usd: session.base_usd,
      usd,
      context: usage.context,
      rate_limits: usage.rateLimits,
      at_ms: Date.now(),
    };
    await $.fs.write(`${await sessionFolder($)}/${instance}.json`, JSON.stringify(facts));
    session.written = true;
  } catch (error) {
    console.error(`the client's total was not reported: ${error}`);
  } finally {
    reporting = null;
    done();
  }
}

// What the Stop hook ordered: the hook has done the arithmetic, and only the client can compact.
// An order is good for this process's next pause only, so an old one is never carried out.
async function compactIfOrdered($) {
  try {
    const id = await $.session.id();
    const order = JSON.parse(await $.fs.read(`${await sessionFolder($)}/compact.order`));
    if (order.session !== id || ordered.has(order.id) || Date.now() - order.at_ms > 60000) return;
    ordered.add(order.id);
    await $.session.compact(order.instructions ? { instructions: order.instructions } : {});
  } catch (error) {
    console.error(`not compacted: ${error}`); // no order, or the client refuses
  }
}

// Whether a hook answered since this process began: true where it cannot be told, and once it was
// asked for in this session. The client waits for the hook of a prompt before the first step, however
// slow it is, and that hook leaves the time (tell_answered in budget/sensor.py).
async function hasHookAnswered($) {
  if (session === null || session.asked || !session.written) return true;
  session.asked = true;
  let answered_ms = 0;
  try {
    answered_ms = Number(await $.fs.read(`${await sessionFolder($)}/answered`));
  } catch {} // no such file: no hook ever answered in this session
  if (!(answered_ms >= loaded_ms)) return false;
  if (warned) $.ui.status(""); // in the session before this one
  warned = false;
  return true;
}

function warn($) {
  warned = true;
  $.ui.log(
    "nothing is counted and nothing is stopped in this session: the hooks did not run. Most likely " +
      "Claude Code finds no `python3` of 3.11 or newer on its PATH. Install Python 3.11 or newer, " +
      "start Claude Code again, and let `budget doctor` try the hooks.",
  );
  $.ui.status("counts nothing and stops nothing: its hooks did not run");
  if (interactive) return;
  // With -p as text only an error is shown, on stderr and cut off after 120 characters. The client
  // goes on with the result of the step.
  throw new Error(
    "nothing is counted or stopped: no hook ran. Is python3 3.11 or newer on the PATH? Try `budget doctor`.",
  );
}

export function register(on) {
  on("turn.complete", async ($, e, next) => {
    const result = await next(e);
    await compactIfOrdered($);
    return result;
  });
  on("session.start", async ($, e, next) => {
    interactive = e.isInteractive !== false;
    await report($);
    return next(e);
  });
  on("turn.step", async function* ($, e, next) {
    if (session === null || session.id !== (await $.session.id())) await report($);
    const answered = e.agentId ? true : hasHookAnswered($); // asked while the model is at work
    const result = yield* next(e);
    await report($);
    if (!(await answered)) warn($);
    return result;
  });
  on("session.compact", async ($, e, next) => {
    const result = await next(e);
    await report($);
    return result;
  });
  on("session.measure", async ($, e, next) => {
    await report($);
    return next(e);
  });
}
