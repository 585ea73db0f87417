// Numbers and times as people read them.

let ahead = 0;

/** Notes the server's time: this machine's clock may differ. */
export const setClock = (text) => { ahead = Date.parse(text) - Date.now(); };

/** The server's time, in milliseconds. */
export const now = () => Date.now() + ahead;

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A count. */
export const count = (value) => (Math.abs(value) < 10_000 ? plain.format(value) : compact.format(value));

/** A rate, with as many digits as mean something. */
export function rate(value) {
  if (value === 0) return "0";
  if (value < 10) return value.toFixed(value < 1 ? 2 : 1);
  return count(value);
}

export const percent = (value) => (value === null ? "–" : (value * 100).toFixed(value > 0 && value < 0.9995 ? 1 : 0) + " %");

const UNITS = [[86_400, "d"], [3_600, "h"], [60, "min"]];

/** A length of time. */
export function seconds(value) {
  if (value === null || value === undefined) return "–";
  // What is over is not told in parts of a second.
  if (value < 0) return "0 s";
  for (const [size, unit] of UNITS) if (value >= size) return (value / size).toFixed(value / size < 10 ? 1 : 0) + " " + unit;
  if (value >= 10) return value.toFixed(0) + " s";
  if (value >= 1) return value.toFixed(1) + " s";
  if (value >= 0.001) return (value * 1000).toFixed(0) + " ms";
  return value === 0 ? "0 s" : (value * 1e6).toFixed(0) + " µs";
}

/** How many seconds ago a time was. */
export const age = (text) => (text === null ? null : Math.max(0, (now() - Date.parse(text)) / 1000));

export const ago = (text) => {
  const passed = age(text);
  if (passed === null) return "never";
  return passed < 1 ? "just now" : seconds(passed) + " ago";
};

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** The time of day here. */
export const timeOfDay = (milliseconds) => clock.format(new Date(milliseconds));

export function bytes(value) {
  if (value === null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  for (; value >= 1024 && step < units.length - 1; step += 1) value /= 1024;
  return (step > 0 && value < 10 ? value.toFixed(1) : value.toFixed(0)) + " " + units[step];
}
