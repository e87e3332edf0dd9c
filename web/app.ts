// What pages do beyond HTML: they read themselves anew when their fabric has
// moved on (htmx), keep ages growing, and take a few keys.
import "htmx.org/dist/htmx.esm.js";
import "htmx.org/dist/ext/hx-sse.js";

/** age writes a number of seconds as the server does: its two largest units. */
function age(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  const units: [number, string][] = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const i = units.findIndex(([size]) => s >= size);
  if (i < 0) return "0s";
  const [big, name] = units[i];
  const rest = units[i + 1];
  const more = rest ? Math.floor((s % big) / rest[0]) : 0;
  return `${Math.floor(s / big)}${name}${more ? `${more}${rest[1]}` : ""}`;
}

// The clock of this machine may be another than the server's: what counts is
// how much time has gone by since an element was made.
const made = new WeakMap<Element, { text: string; at: number; seconds: number }>();

function tick(): void {
  for (const el of document.querySelectorAll("time")) {
    const text = el.textContent ?? "";
    let m = made.get(el);
    if (!m || m.text !== text) {
      const parts = [...text.matchAll(/(\d+)([dhms])/g)];
      const size: Record<string, number> = { d: 86400, h: 3600, m: 60, s: 1 };
      m = { text, at: performance.now(), seconds: parts.reduce((sum, p) => sum + Number(p[1]) * size[p[2]], 0) };
      made.set(el, m);
    }
    const now = `${age(m.seconds + (performance.now() - m.at) / 1000)} ago`;
    if (now !== text) {
      el.textContent = now;
      m.text = now;
    }
  }
}
setInterval(tick, 1000);

// A page without its stream is as old as the stream's end, and says so. It also
// reads itself anew: if the session has ended, that leads to the sign-in.
const lost = document.querySelector<HTMLElement>(".stream-lost");
for (const [event, is] of [["htmx:sse:after:connection", false], ["htmx:sse:error", true], ["htmx:sse:close", true]] as const) {
  document.body.addEventListener(event, () => {
    if (lost) lost.hidden = !is;
    if (is) document.body.dispatchEvent(new CustomEvent("moved"));
  });
}

// A stream that never began is not tried again by its library: then the page is.
for (const event of ["htmx:error", "htmx:response:error"]) {
  document.body.addEventListener(event, (e) => {
    if (e.target !== document.body || !lost || !lost.hidden) return;
    lost.hidden = false;
    setTimeout(() => location.reload(), 5000);
  });
}

document.addEventListener("keydown", (e) => {
  const at = e.target as HTMLElement;
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || at.matches("input, textarea, select, [contenteditable]")) return;
  const field = document.querySelector<HTMLInputElement>(".search input");
  if (field) {
    e.preventDefault();
    field.select();
  }
});

const button = document.querySelector<HTMLButtonElement>("[data-theme-switch]");
if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const root = document.documentElement;
    root.dataset.bsTheme = root.dataset.bsTheme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.bsTheme);
  });
}
