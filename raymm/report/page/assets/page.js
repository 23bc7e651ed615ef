"use strict";
(() => {
  const tip = document.getElementById("tip");
  const hide = () => { tip.hidden = true; };
  const show = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
    tip.style.top = (y - box.height - 12 < 8 ? y + 18 : y - box.height - 12) + "px";
  };
  const said = (event) => event.target.closest && event.target.closest("[data-tip]");
  for (const kind of ["pointermove", "pointerdown"]) {
    document.addEventListener(kind, (event) => {
      const place = said(event);
      if (place) show(place.dataset.tip, event.clientX, event.clientY); else hide();
    });
  }
  addEventListener("scroll", hide, { passive: true });

  // A model's button takes its line out of every plot, and puts it back.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.toggle !== undefined) {
      const on = button.getAttribute("aria-pressed") === "false";
      const name = button.dataset.toggle;
      for (const each of document.querySelectorAll("button[data-toggle]"))
        if (each.dataset.toggle === name) each.setAttribute("aria-pressed", String(on));
      for (const line of document.querySelectorAll("[data-model]"))
        if (line.dataset.model === name) line.classList.toggle("off", !on);
    }
    // One of several views of the same thing.
    if (button.dataset.view !== undefined) {
      const [group, view] = button.dataset.view.split("|");
      for (const each of button.parentElement.querySelectorAll("button[data-view]"))
        each.setAttribute("aria-pressed", String(each === button));
      for (const each of document.querySelectorAll("[data-of]"))
        if (each.dataset.of === group) each.hidden = each.dataset.is !== view;
    }
  });

  for (const input of document.querySelectorAll("input[data-filter]")) {
    const rows = [...document.getElementById(input.dataset.filter).querySelectorAll("tbody tr")];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const count = input.parentElement.querySelector("output");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, place) => {
        const fits = words.every((word) => texts[place].includes(word));
        row.hidden = !fits;
        shown += fits;
      });
      count.textContent = `${shown} of ${rows.length} cells`;
    });
  }
})();
