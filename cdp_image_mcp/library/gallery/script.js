"use strict";
(() => {
  const PER_PAGE = 48;
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = data.cards;
  const byId = (id) => document.getElementById(id);
  const list = byId("list"), query = byId("query"), state = byId("state"), backend = byId("backend");
  const days = new Intl.DateTimeFormat("en-GB", {weekday: "long", day: "numeric", month: "long", year: "numeric"});
  const hours = new Intl.DateTimeFormat("en-GB", {hour: "2-digit", minute: "2-digit"});
  const numbers = new Intl.NumberFormat("en-GB");
  const STATES = {
    queued: "Waiting for its turn", starting: "Starting", needs_sign_in: "Needs sign-in",
    needs_verification: "Needs verification", submitting: "Being sent", generating: "Being drawn", saving: "Being saved",
    saved: "Saved", partial: "Partly saved", refused: "Refused", failed: "Failed", cancelled: "Cancelled",
    interrupted: "Interrupted",
  };
  const ENDED = new Set(["saved", "partial", "refused", "failed", "cancelled", "interrupted"]);
  const BACKENDS = {"api": "API", "chatgpt-web": "ChatGPT on the web"};

  let shown = all;
  let page = 0;

  // Everything that comes from records goes into the page as text, never as markup.
  const make = (name, props = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(props)) {
      if (value === undefined || value === null || value === false) continue;
      if (key === "text") node.textContent = value;
      else if (key === "on") node.addEventListener("click", value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  };
  const plural = (count, one, many) => `${numbers.format(count)} ${count === 1 ? one : many}`;
  const size = (bytes) => bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)}\u00a0MB` : `${Math.max(1, Math.round(bytes / 1e3))}\u00a0kB`;
  const told = (value) => Array.isArray(value) ? value.map(told).join(", ")
    : value === true ? "yes" : value === false ? "no"
    : typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);

  const copy = async (button, text) => {
    const before = button.textContent;
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      // Without the clipboard's permission the old way still works in some browsers.
      const field = make("textarea", {class: "unseen", "aria-hidden": "true"});
      field.value = text;
      document.body.append(field);
      field.select();
      done = document.execCommand("copy");
      field.remove();
      button.focus();
    }
    button.textContent = done ? "Copied" : "Copying is not allowed here";
    button.setAttribute("aria-live", "polite");
    setTimeout(() => { button.textContent = before; }, 1600);
  };

  const picture = (card, image, first) => {
    const name = `Picture ${image.number} of ${card.images.length}: ${card.prompt.slice(0, 150)}`;
    const link = make("a", {href: image.href, class: (first ? "first" : "") + (image.alpha ? " alpha" : "")});
    const img = make("img", {
      src: image.href, alt: name, width: image.width, height: image.height, loading: "lazy", decoding: "async",
    });
    img.addEventListener("error", () => {
      link.replaceChildren(make("span", {class: "gone", text: "The file is not there any more"}));
    }, {once: true});
    link.append(img);
    return link;
  };

  const chip = (text, kind = "") => make("span", {class: `chip ${kind}`, text});
  const chips = (card) => {
    const found = [];
    if (card.state === "partial") found.push(chip(STATES.partial, "warn"));
    else if (card.images.length && !ENDED.has(card.state)) found.push(chip(STATES[card.state] ?? card.state, "busy"));
    else if (card.images.length && card.state !== "saved") found.push(chip(STATES[card.state] ?? card.state, "bad"));
    if (card.missed.length && card.images.length) found.push(chip(`Not as asked: ${card.missed.join(", ").replaceAll("_", " ")}`, "warn"));
    return found.length ? make("div", {class: "chips"}, ...found) : null;
  };

  const compared = (card) => {
    const names = [...new Set([...Object.keys(card.asked), ...Object.keys(card.got)])];
    const rows = names.map((name) => make("tr", {class: card.missed.includes(name) ? "missed" : undefined},
      make("th", {scope: "row", text: name.replaceAll("_", " ")}),
      make("td", {text: name in card.asked ? told(card.asked[name]) : "–"}),
      make("td", {text: name in card.got ? told(card.got[name]) : "–"})));
    return make("table", {}, make("caption", {class: "unseen", text: "Asked and got"}),
      make("thead", {}, make("tr", {}, make("th", {scope: "col", text: "Setting"}),
        make("th", {scope: "col", text: "Asked"}), make("th", {scope: "col", text: "Got"}))),
      make("tbody", {}, ...rows));
  };

  const details = (card) => {
    const box = make("details", {}, make("summary", {}, make("span", {text: "Details"}),
      make("span", {class: "unseen", text: ` of “${card.prompt.slice(0, 60)}”`})));
    // Filled when opened: five thousand tables nobody looks at would only cost memory.
    box.addEventListener("toggle", () => {
      if (!box.open || box.children.length > 1) return;
      box.append(make("p", {class: "full", dir: "auto", tabindex: "0", role: "region", "aria-label": "Whole prompt", text: card.prompt + (card.cut ? " …" : "")}));
      if (card.sent) {
        box.append(make("p", {class: "facts", text: "Sent with an added line:"}),
          make("p", {class: "full", dir: "auto", tabindex: "0", role: "region", "aria-label": "Prompt as sent", text: card.sent}));
      }
      box.append(compared(card));
      const facts = make("dl");
      for (const [name, value] of card.facts) facts.append(make("dt", {text: name}), make("dd", {text: told(value)}));
      if (card.conversation) {
        facts.append(make("dt", {text: "Conversation"}),
          make("dd", {}, make("a", {href: card.conversation, rel: "noreferrer noopener", target: "_blank", text: "open at the site"})));
      }
      facts.append(make("dt", {text: "Record"}), make("dd", {}, make("a", {href: card.record, text: "metadata.json"})));
      box.append(facts);
    });
    return box;
  };

  const element = (card) => {
    const at = new Date(card.at);
    const [first, ...more] = card.images;
    const parts = [hours.format(at), BACKENDS[card.backend] ?? card.backend];
    if (first) parts.push(`${first.width}\u00a0×\u00a0${first.height}`, `${first.kind}, ${size(first.bytes)}`);
    if (card.images.length > 1) parts.push(`${card.images.length}\u00a0pictures`);
    const copyCall = card.cut ? null : make("button", {type: "button", text: "Copy call",
      "aria-label": `Copy the call of “${card.prompt.slice(0, 60)}”`, on: (event) => copy(event.currentTarget, JSON.stringify(card.call, null, 2))});
    const copyPath = make("button", {type: "button", text: "Copy path",
      "aria-label": `Copy the path of “${card.prompt.slice(0, 60)}”`, on: (event) => copy(event.currentTarget, card.path)});
    const top = first ? picture(card, first, true) : make("div", {class: "none"},
      make("div", {class: "chips"}, chip(STATES[card.state] ?? card.state, ENDED.has(card.state) ? "bad" : "busy")),
      card.error ? make("p", {dir: "auto", text: card.error}) : null);
    return make("li", {class: "card"}, top,
      more.length ? make("div", {class: "more"}, ...more.map((image) => picture(card, image, false))) : null,
      make("div", {class: "words"},
        make("h3", {dir: "auto", text: card.prompt.slice(0, 400)}),
        make("p", {class: "facts", text: parts.join(" · ")}),
        chips(card),
        first && card.error ? make("p", {class: "facts", dir: "auto", text: card.error}) : null,
        make("div", {class: "acts"}, copyCall, copyPath),
        details(card)));
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PER_PAGE));
    page = Math.min(Math.max(0, page), pages - 1);
    const nodes = [];
    let day = "", group = null;
    for (const card of shown.slice(page * PER_PAGE, (page + 1) * PER_PAGE)) {
      const name = days.format(new Date(card.at));
      if (name !== day) {
        day = name;
        group = make("ul", {class: "day", "aria-label": name});
        nodes.push(make("section", {}, make("h2", {text: name}), group));
      }
      group.append(element(card));
    }
    if (!nodes.length) {
      nodes.push(make("p", {class: "empty", text: all.length ? "No generation fits this search." : "There are no pictures yet. They appear here as soon as the first one is made."}));
    }
    list.replaceChildren(...nodes);
    const pictures = shown.reduce((sum, card) => sum + card.images.length, 0);
    byId("count").textContent = `${plural(pictures, "picture", "pictures")} in ${plural(shown.length, "generation", "generations")}`;
    byId("pages").hidden = pages < 2;
    byId("place").textContent = `Page ${page + 1} of ${pages}`;
    byId("newer").disabled = page === 0;
    byId("older").disabled = page === pages - 1;
  };

  const filter = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = all.filter((card) => {
      if (backend.value && card.backend !== backend.value) return false;
      if (state.value === "done" && !card.images.length) return false;
      if (state.value === "open" && ENDED.has(card.state)) return false;
      if (state.value === "lost" && (card.images.length || !ENDED.has(card.state))) return false;
      return words.every((word) => (card.low ??= card.prompt.toLowerCase()).includes(word));
    });
    page = 0;
    draw();
  };

  const turn = (to) => {
    const place = `#page-${to + 1}`;
    // After a search the address still says the page from before, and to name the same one again tells nobody.
    if (location.hash === place) read(); else location.hash = place;
  };
  const read = () => {
    const found = /^#page-(\d+)$/.exec(location.hash);
    if (!found) return;
    page = Number(found[1]) - 1;
    draw();
    scrollTo(0, 0);
    list.focus({preventScroll: true});
  };

  byId("written").textContent = `${days.format(new Date(data.written))}, ${hours.format(new Date(data.written))}`;
  byId("written").setAttribute("datetime", data.written);
  byId("newer").addEventListener("click", () => turn(page - 1));
  byId("older").addEventListener("click", () => turn(page + 1));
  query.addEventListener("input", filter);
  state.addEventListener("change", filter);
  backend.addEventListener("change", filter);
  addEventListener("hashchange", read);
  filter();
  read();
})();
