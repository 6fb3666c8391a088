// What htmx does not do: the theme, times that stay right, copying, live lists, and saying when an answer failed.
"use strict";
(() => {
  const root = document.documentElement;

  // The choice is kept in a cookie, so that the next page is drawn right from the beginning.
  const themes = ["system", "light", "dark"];
  const label = () => {
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.textContent = "Theme: " + root.dataset.theme;
    }
  };
  label();

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if ("themeToggle" in button.dataset) {
      root.dataset.theme = themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length];
      document.cookie = "theme=" + root.dataset.theme + "; Path=/console; Max-Age=31536000; SameSite=Strict";
      label();
    }
    if (button.dataset.copy) {
      const from = document.getElementById(button.dataset.copy);
      const said = button.textContent;
      navigator.clipboard.writeText(from.value ?? from.textContent).then(() => {
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = said; }, 1500);
      });
    }
  });

  // One unit, as the server writes it.
  const ago = (ms) => {
    const s = Math.floor(Math.abs(ms) / 1000);
    if (s < 2) return "now";
    const text = s < 120 ? s + " s" : s < 7200 ? Math.floor(s / 60) + " min"
      : s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " days";
    return ms < 0 ? "in " + text : text + " ago";
  };
  setInterval(() => {
    for (const time of document.querySelectorAll("time[datetime]:not([data-exact])")) {
      time.textContent = ago(Date.now() - Date.parse(time.dateTime));
    }
  }, 5000);

  // Whoever sends a form twice in impatience sends it once.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // Live parts ask for themselves again when the service says that there is news, at most once a second, and now and then
  // without that. Nobody who has paused, looks elsewhere or is writing is disturbed.
  let paused = false;
  let due = null;
  let stream = null;
  const refresh = () => {
    due = null;
    if (paused || document.hidden) return;
    for (const part of document.querySelectorAll("[data-refresh]")) {
      if (!part.contains(document.activeElement) || document.activeElement === document.body) {
        part.dispatchEvent(new Event("refresh"));
      }
    }
  };
  const soon = () => { due ??= setTimeout(refresh, 1000); };
  const listen = () => {
    const wanted = document.querySelector("[data-refresh]") && !document.hidden;
    if (wanted && !stream) {
      stream = new EventSource("/console/live");
      // What has come is shown at once, and once more when it has been applied.
      stream.addEventListener("news", () => { soon(); setTimeout(soon, 2500); });
    } else if (!wanted && stream) {
      stream.close();
      stream = null;
    }
  };
  if (document.querySelector("[data-refresh]")) {
    listen();
    document.addEventListener("visibilitychange", () => { listen(); soon(); });
    addEventListener("pagehide", () => { stream?.close(); stream = null; });
    addEventListener("pageshow", listen);
    setInterval(soon, 10000);
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-pause]");
    if (!button) return;
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? "Go on" : "Pause";
    for (const sign of document.querySelectorAll("[data-live]")) sign.textContent = paused ? "paused" : "live";
    if (!paused) refresh();
  });

  // A live part that is not live any more must say so.
  const live = (works) => {
    if (paused) return;
    for (const sign of document.querySelectorAll("[data-live]")) {
      sign.textContent = works ? "live" : "not live: the service does not answer";
      sign.classList.toggle("lost", !works);
    }
  };
  document.addEventListener("htmx:afterOnLoad", () => live(true));
  document.addEventListener("htmx:responseError", () => live(false));
  document.addEventListener("htmx:sendError", () => live(false));
})();
