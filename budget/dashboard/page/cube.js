// The cells: what one session, prompt, model, agent, branch and user spent within an hour.

const DIMENSIONS = ["project", "session", "prompt", "model", "agent", "branch", "user"];
const UNATTRIBUTED = "(unattributed)";

function decoded(cells) {
  const columns = {};
  for (const [name, packed] of Object.entries(cells.columns)) {
    if (Array.isArray(packed)) {
      columns[name] = packed;
      continue;
    }
    const values = new Array(packed.length).fill(0);
    packed.at.forEach((place, number) => { values[place] = packed.values[number]; });
    columns[name] = values;
  }
  return { ...cells, columns, length: columns.time.length };
}

const none = () => Object.fromEntries(COUNTS.map((name) => [name, 0]));

function add(sum, cube, row) {
  for (const name of COUNTS) sum[name] += cube.columns[name][row];
  return sum;
}

const cost = (sum) => sum.micro + sum.unattributed_micro + Math.floor((sum.pico + sum.unattributed_pico) / 1e6);
const prompted = (sum) => sum.input + sum.read + sum.write_5m + sum.write_1h;
const allTokens = (sum) => prompted(sum) + sum.output;

function total(cube, rows) {
  const sum = none();
  for (const row of rows) add(sum, cube, row);
  return sum;
}

function grouping(cube, rows, key) {
  const sums = new Map();
  for (const row of rows) {
    const name = key(row);
    let sum = sums.get(name);
    if (!sum) sums.set(name, (sum = none()));
    add(sum, cube, row);
  }
  return sums;
}

const byDimension = (cube, rows, name) => grouping(cube, rows, (row) => cube.columns[name][row]);
const nameOf = (cube, dimension, number) => cube.names[dimension][number];

function rowsOf(cube, filter) {
  const rows = [];
  const set = DIMENSIONS.filter((name) => filter[name] !== null);
  const days = cube.times.map((time) => time.slice(0, 10));
  const inTime = days.map((day) => (!filter.from || day >= filter.from) && (!filter.to || day <= filter.to));
  for (let row = 0; row < cube.length; row++) {
    if (!inTime[cube.columns.time[row]]) continue;
    if (set.every((name) => cube.columns[name][row] === filter[name])) rows.push(row);
  }
  return rows;
}

// -- periods: an hour, a day, a week or a month of the wall clock ----------------------------------

const DAY_MS = 86400000;
const utc = (day) => Date.UTC(Number(day.slice(0, 4)), Number(day.slice(5, 7)) - 1, Number(day.slice(8, 10)));
const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);
const daysAfter = (day, count) => dayOf(utc(day) + count * DAY_MS);

function weekOf(day) {
  const thursday = utc(day) + (3 - ((new Date(utc(day)).getUTCDay() + 6) % 7)) * DAY_MS;
  const year = new Date(thursday).getUTCFullYear();
  const week = Math.floor((thursday - Date.UTC(year, 0, 1)) / (7 * DAY_MS)) + 1;
  return year + "-W" + String(week).padStart(2, "0");
}

function periodOf(time, period) {
  if (period === "hour") return time;
  const day = time.slice(0, 10);
  if (period === "day") return day;
  return period === "week" ? weekOf(day) : day.slice(0, 7);
}

// Every period from the first to the last day, the empty ones too.
function periodsBetween(first, last, period) {
  const found = [];
  for (let at = utc(first); at <= utc(last); at += DAY_MS) {
    const day = dayOf(at);
    if (period === "hour") for (let hour = 0; hour < 24; hour++) found.push(day + "T" + String(hour).padStart(2, "0"));
    else if (found[found.length - 1] !== periodOf(day, period)) found.push(periodOf(day, period));
  }
  return found;
}

function periodWords(key, period) {
  if (period === "hour") return dayWords(key) + " " + key.slice(11) + ":00";
  if (period === "day") return dayWords(key) + " " + key.slice(0, 4);
  if (period === "week") return "week " + Number(key.slice(6)) + " of " + key.slice(0, 4);
  return MONTHS[Number(key.slice(5, 7)) - 1] + " " + key.slice(0, 4);
}

function tickWords(key, period) {
  if (period === "hour") return key.slice(11) === "00" ? dayWords(key) : key.slice(11) + ":00";
  if (period === "day") return dayWords(key);
  return period === "week" ? "W" + Number(key.slice(6)) : MONTHS[Number(key.slice(5, 7)) - 1] + " " + key.slice(2, 4);
}
