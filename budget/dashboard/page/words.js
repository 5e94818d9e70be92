// Elements, numbers and names. Text from outside becomes text nodes only, never markup.

const NS = "http://www.w3.org/2000/svg";
const COUNTS = ["steps", "input", "output", "read", "write_5m", "write_1h", "searches",
  "micro", "pico", "bound", "unattributed_micro", "unattributed_pico", "unpriced"];

function el(tag, options, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(options || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") made.className = value;
    else if (key === "style") for (const [name, of] of Object.entries(value)) made.style.setProperty(name, of);
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

const byId = (id) => document.getElementById(id);
const fill = (id, ...children) => byId(id).replaceChildren(...children.flat().filter(Boolean));

// Control characters and those that turn the direction of text would let a name pose as another.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const plain = (text) => String(text).replace(HIDDEN, "\ufffd");
const bdi = (text, options) => el("bdi", options, plain(text));

function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

// The same rule as `budget report`: cents from a dollar on, else four places; rounded down.
function money(micro) {
  if (micro >= 1e6) {
    const cents = Math.floor(micro / 1e4);
    return "$" + grouped(Math.floor(cents / 100)) + "." + String(cents % 100).padStart(2, "0");
  }
  if (!micro) return "$0.00";
  return micro >= 100 ? "$0." + String(Math.floor(micro / 100)).padStart(4, "0") : "$0." + String(micro).padStart(6, "0");
}

// As programs read it: six places, rounded half up from whole picodollars.
function usd6(micro, pico) {
  const whole = micro + Math.floor((pico + 500000) / 1e6);
  return Math.floor(whole / 1e6) + "." + String(whole % 1e6).padStart(6, "0");
}

function short(count) {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (count >= size) return (count / size).toFixed(count < 100 * size ? 1 : 0) + " " + unit;
  }
  return String(count);
}

const many = (count, one, more) => grouped(count) + " " + (count === 1 ? one : more || one + "s");
const share = (part, whole) => (!whole ? "" : part > 0 && part * 100 < whole ? "<1 %" : Math.round((part / whole) * 100) + " %");

function lasting(minutes) {
  if (!minutes) return "less than a minute";
  if (minutes < 60) return many(minutes, "minute");
  if (minutes < 2880) return Math.floor(minutes / 60) + " h " + (minutes % 60) + " min";
  return many(Math.round(minutes / 1440), "day");
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const dayWords = (day) => MONTHS[Number(day.slice(5, 7)) - 1] + " " + Number(day.slice(8, 10));

const dateWords = (day) => dayWords(day) + (day.slice(0, 4) === DATA.now.slice(0, 4) ? "" : " " + day.slice(0, 4));

// `2026-11-27 09:05` -> `Nov 27 09:05`, with the year where it is another one than today's.
function atWords(at) {
  const year = at.slice(0, 4) === DATA.now.slice(0, 4) ? "" : " " + at.slice(0, 4);
  return dayWords(at) + year + at.slice(10);
}

// As `budget watch` has them: what all models' names have in common is left out.
const modelWords = (name) => plain(name).replace(/^claude-/, "");
const zoneWords = (zone) => plain(zone).replace(/^(Etc\/)?(GMT([+-]?0)?|UTC|UCT|Zulu|Universal|Greenwich)$/, "UTC");

const shortId = (id) => (id.length > 13 ? id.slice(0, 8) : id);
