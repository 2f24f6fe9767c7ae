"use strict";
(() => {
  const text = document.getElementById("text"), differ = document.getElementById("differ"), shown = document.getElementById("shown");
  const rows = [...document.querySelectorAll("tr.item")].map((node) => ({ node, words: node.cells[0].textContent.toLowerCase() }));
  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const good = words.every((word) => row.words.includes(word)) && (!differ.checked || row.node.classList.contains("differs"));
      row.node.hidden = !good;
      count += good;
    }
    for (const body of document.querySelectorAll("tbody[data-area]")) body.hidden = ![...body.querySelectorAll("tr.item")].some((node) => !node.hidden);
    shown.textContent = `${count} of ${rows.length}`;
  };
  const form = document.querySelector("form");
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  const theme = document.getElementById("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = (on) => { document.documentElement.dataset.theme = on ? "dark" : "light"; theme.setAttribute("aria-pressed", String(on)); };
  paint(dark.matches);
  dark.addEventListener("change", (event) => paint(event.matches));
  theme.addEventListener("click", () => paint(document.documentElement.dataset.theme !== "dark"));
  document.documentElement.dataset.ready = "yes";
})();
