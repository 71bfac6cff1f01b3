// Comfort only: the form works without it, and the server checks every value again.
(() => {
  const root = document.currentScript.closest(".hpc-form");
  const cards = [...root.querySelectorAll(".hpc-card")];

  function choose() {
    for (const card of cards) {
      const fields = card.querySelector(".hpc-fields");
      // What can't be seen must neither be sent nor keep the browser from sending.
      if (fields) fields.disabled = !card.querySelector(".hpc-radio").checked;
    }
  }

  function limit(input, part) {
    input.min = part.low;
    input.max = part.high;
  }

  function follow(card, partition) {
    for (const input of card.querySelectorAll("[data-parts]")) {
      const part = JSON.parse(input.dataset.parts)[partition];
      if (!part) continue;
      const note = card.querySelector("#" + CSS.escape(input.id + "-note"));
      input.disabled = Boolean(part.off);
      input.closest(".hpc-field").classList.toggle("hpc-off", Boolean(part.off));
      if (input.type === "number") limit(input, part);
      const kept = input.value;
      if (!part.off && input.type === "number" && part.high && Number(kept) > Number(part.high)) input.value = part.high;
      note.textContent = part.off ? "Not used in " + partition + "." : input.value !== kept ? "Now " + input.value + ", the most in " + partition + "." : "";
    }
  }

  for (const input of root.querySelectorAll("[data-number]")) {
    if (!/^\d*$/.test(input.value)) continue; // a refused text stays to be seen
    input.type = "number";
    input.step = 1;
    limit(input, { low: input.dataset.low, high: input.dataset.high });
  }
  for (const card of cards) {
    card.querySelector(".hpc-radio").addEventListener("change", choose);
    const partition = card.querySelector("select[data-option=partition]");
    if (!partition) continue;
    partition.addEventListener("change", () => follow(card, partition.value));
    follow(card, partition.value);
  }
  choose();
  window.addEventListener("pageshow", choose);
})();
