// The page can be read without this. It adds sorting, filters and the details of runs; it fetches and keeps nothing.
"use strict";
(() => {
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const make = (tag, text = "", attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  // What a cell is sorted by: what it says first, without intervals and marks. "--" and nothing are no value.
  const said = (group, column) => {
    const cell = group.rows[0].cells[column];
    const first = cell.querySelector(".more") || cell.firstChild;
    const text = first ? first.textContent.trim() : "";
    return text === "--" ? "" : text;
  };
  const number = (text) => {
    const found = /^[-+−]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?(?=$|\s|%)/i.exec(text);
    return found ? Number(found[0].replaceAll(",", "").replace("−", "-")) : null;
  };
  const column = (groups, place) => {
    const texts = groups.map((group) => said(group, place));
    const numbers = texts.map(number);
    const known = texts.filter(Boolean).length;
    const numeric = known > 0 && 2 * numbers.filter((value) => value !== null).length >= known;
    return { numeric, values: numeric ? numbers : texts.map((text) => text || null) };
  };

  const sort = (table, heading, place) => {
    const { numeric, values } = column(table.groups, place);
    const downFirst = numeric && heading.textContent.trim() !== "#";
    const ways = downFirst ? ["descending", "ascending"] : ["ascending", "descending"];
    const way = [...ways, "none"][ways.indexOf(heading.getAttribute("aria-sort")) + 1];
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    const order = table.groups.map((_, i) => i);
    if (way !== "none") {
      heading.setAttribute("aria-sort", way);
      const sign = way === "ascending" ? 1 : -1;
      order.sort((a, b) => {
        if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null) || a - b;
        return sign * (numeric ? values[a] - values[b] : words.compare(values[a], values[b])) || a - b;
      });
    }
    // Lines between ratios mean something in the first order only.
    table.classList.toggle("sorted", way !== "none");
    table.order = order.map((i) => table.groups[i]);
    table.append(...table.order);
    show(table);
  };

  // Thousands of rows at once would make every click wait: of a long table so many are shown, and a button for the rest.
  const show = (table) => {
    const fitting = table.order.filter((group) => !group.left_out);
    for (const group of table.groups) group.hidden = true;
    for (const group of fitting.slice(0, table.limit)) group.hidden = false;
    const beyond = Math.max(0, fitting.length - table.limit);
    if (table.more) {
      table.more.hidden = !beyond;
      table.more.textContent = `Show ${beyond.toLocaleString("en")} more`;
    }
    return fitting.length;
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    table.groups = table.order = [...table.tBodies];
    table.limit = Number(table.dataset.limit) || Infinity;
    if (table.groups.length > table.limit) {
      table.more = make("button", "", { type: "button", class: "rest" });
      table.parentElement.after(table.more);
      table.more.addEventListener("click", () => {
        table.limit = Infinity;
        show(table);
      });
    }
    const names = [...table.tHead.rows[0].cells];
    names.forEach((heading, place) => {
      if (table.groups[0] && table.groups[0].rows[0].cells[place].tagName === "TH") heading.classList.add("name");
      const button = make("button", "", { type: "button" });
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, heading, place));
    });
  }

  // A form's fields that are named like a data attribute keep the groups that have its value, or lack the attribute.
  const fits = (group, form) => {
    const text = form.elements.text.value.trim().toLowerCase();
    if (text) {
      group.words ??= `${group.dataset.method || ""} ${group.textContent}`.toLowerCase();
      if (!text.split(/\s+/).every((word) => group.words.includes(word))) return false;
    }
    for (const field of form.querySelectorAll("select")) {
      const has = group.dataset[field.name];
      if (field.value && has !== undefined && has !== field.value) return false;
    }
    return !(form.elements.anchors && !form.elements.anchors.checked && "anchor" in group.dataset);
  };
  const filter = (form) => {
    const scope = document.getElementById(form.dataset.scope);
    let shown = 0, all = 0;
    for (const table of scope.querySelectorAll("table.sortable")) {
      for (const group of table.groups) group.left_out = !fits(group, form);
      const here = show(table);
      shown += here;
      all += table.groups.length;
      const section = table.closest("section.board");
      if (section) section.hidden = here === 0;
    }
    if (form.elements.paper) scope.classList.toggle("without-paper", !form.elements.paper.checked);
    if (form.elements.intervals) scope.classList.toggle("without-intervals", !form.elements.intervals.checked);
    const none = shown === 0 ? ": nothing fits the filter" : "";
    const counts = [shown, all].map((count) => count.toLocaleString("en"));
    form.querySelector("output").textContent = `${counts.join(" of ")} rows${none}`;
  };
  for (const form of document.querySelectorAll("form")) {
    form.hidden = false;
    form.addEventListener("input", () => filter(form));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => filter(form)));
    form.reset(); // browsers bring back what was typed before a reload
  }
  for (const table of document.querySelectorAll("table[data-limit]")) table.classList.add("ready");

  // Details of runs: made when they are asked for.
  const source = document.getElementById("run-details");
  let kept;
  const whole = (value) => {
    if (Array.isArray(value)) return value.map(whole);
    if (value === null || typeof value !== "object") return value;
    if (Object.hasOwn(value, "@")) return whole(kept.shared[value["@"]]);
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key.replace(/^@@/, "@"), whole(part)]));
  };
  const flat = (value, path, found) => {
    const inner = value !== null && typeof value === "object";
    if (inner && !Array.isArray(value) && Object.keys(value).length) {
      for (const [key, part] of Object.entries(value)) flat(part, path ? `${path}.${key}` : key, found);
    } else {
      found.push([path, inner ? JSON.stringify(value) : String(value)]);
    }
    return found;
  };
  const list = (pairs) => {
    const found = document.createElement("dl");
    for (const [name, value] of pairs) found.append(make("dt", name), make("dd", value));
    return found;
  };
  const told = (record) => {
    const inside = make("div", "", { class: "inside" });
    const blocks = Object.entries(record).filter(([, value]) => value !== null && value !== undefined);
    const plain = blocks.filter(([, value]) => typeof value !== "object");
    inside.append(make("h4", "record"), list(plain.map(([name, value]) => [name, String(value)])));
    for (const [name, value] of blocks) {
      if (typeof value === "object") inside.append(make("h4", name), list(flat(value, "", [])));
    }
    return inside;
  };
  const toggle = (group, button) => {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (group.rows.length > 1) {
      group.rows[1].hidden = open;
      return;
    }
    kept ??= JSON.parse(source.textContent);
    const cell = make("td", "", { colspan: group.rows[0].cells.length });
    cell.append(told(whole(kept.runs[Number(group.dataset.run)])));
    const row = make("tr", "", { class: "details" });
    row.append(cell);
    group.append(row);
  };
  for (const group of document.querySelectorAll("tbody[data-run]")) {
    const name = group.rows[0].querySelector("th");
    const button = make("button", "", { type: "button", class: "more", "aria-expanded": "false" });
    button.append(name.firstChild);
    name.prepend(button);
    button.addEventListener("click", () => toggle(group, button));
  }
})();
