// Runs in an isolated world of each document of our own tab: it looks and tells, it changes nothing.
// Called as (roles, bindingName, composer); `roles` is locators.json's table after the user's overrides, `composer` the
// function of composer.js.
(roles, bindingName, composer) => {
  // A selector that this browser cannot read throws wherever it is tried: it is passed over, for those behind it to be
  // tried, and told. Users write some of them.
  const readable = (selector) => {
    try {
      // In a list, as cssOf makes one: an end that is missing goes unpunished in the last of them alone.
      document.createDocumentFragment().querySelector(`${selector}, *`);
      return true;
    } catch {
      return false;
    }
  };
  const unread = [];
  for (const role of Object.keys(roles))
    roles[role] = roles[role].filter((locator) => {
      const wrong = [locator.css, locator.outside ?? "*"].find((selector) => !readable(selector));
      if (wrong !== undefined) unread.push({ role, css: wrong });
      return wrong === undefined;
    });

  const MESSAGE_IDS = ["data-message-id", "data-chatgpt-selection-message-id"];

  const inVisibleTree = (element) => {
    if (element.closest('[hidden], [inert], [aria-hidden="true"]')) return false;
    const style = getComputedStyle(element);
    if (style.visibility !== "visible" || style.display === "none") return false;
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.height > 0;
  };
  const usable = (button) =>
    button !== null && !button.disabled && button.getAttribute("aria-disabled") !== "true" && inVisibleTree(button);
  const nameOf = (element) =>
    (element.getAttribute("aria-label") || element.innerText || element.textContent || "").trim().replace(/\s+/g, " ");

  const fits = (locator, element) =>
    (locator.hidden || inVisibleTree(element)) &&
    !(locator.outside && element.closest(locator.outside)) &&
    (!locator.text || locator.text.includes(nameOf(element))) &&
    (!locator.begins || locator.begins.some((start) => nameOf(element).startsWith(start)));
  const candidates = (locator, root) =>
    [...(root || document).querySelectorAll(locator.css)].filter((element) => fits(locator, element));
  // All matches of the first locator that matches anything.
  const all = (role, root) => {
    for (const locator of roles[role] || []) {
      const found = candidates(locator, root);
      if (found.length) return found;
    }
    return [];
  };
  // Matches of every locator: for signs of which one account shows this and another that.
  const every = (role, root) => [...new Set((roles[role] || []).flatMap((locator) => candidates(locator, root)))];
  // The one element of a role: the first locator with exactly one match wins; two matches are no answer.
  const one = (role, root) => {
    for (const locator of roles[role] || []) {
      const found = candidates(locator, root);
      if (found.length === 1) return found[0];
    }
    return null;
  };
  const explain = (role) => [
    ...(roles[role] || []).map((locator) => ({ css: locator.css, found: candidates(locator).length })),
    ...unread.filter((one) => one.role === role).map(({ css }) => ({ css, found: 0, unread: true })),
  ];

  const has = (role, root) => all(role, root).length > 0;
  const fileId = (address) => {
    const match = /[?&]id=(file[-_][A-Za-z0-9_-]+)/.exec(address) || /\/(file[-_][A-Za-z0-9_-]{8,})/.exec(address);
    return match ? match[1] : null;
  };

  const cssOf = (role) => (roles[role] || []).map((locator) => locator.css).join(", ") || ":not(*)";
  const outermost = (list) => list.filter((element) => !list.some((other) => other !== element && other.contains(element)));

  // --- turns -------------------------------------------------------------------------------------------------
  const turnIds = (element) => {
    const own = ["data-turn-key", "data-content-search-turn-key", "data-turn-id", ...MESSAGE_IDS];
    const ids = own.map((name) => element.getAttribute(name));
    for (const name of MESSAGE_IDS)
      for (const inner of element.querySelectorAll(`[${name}]`)) ids.push(inner.getAttribute(name));
    for (const inner of element.querySelectorAll("[data-chatgpt-search-message-ids]"))
      ids.push(...inner.getAttribute("data-chatgpt-search-message-ids").split(/[\s,]+/));
    return [...new Set(ids.filter(Boolean))];
  };
  const userPart = cssOf("user_part");
  const referencePart = cssOf("reference");
  const isUser = (element) => element.matches(userPart) || element.querySelector(userPart) !== null;
  const turns = () => outermost(every("turn"));

  // Our turn: the container that carries our message's id and what follows it up to the next person's turn.
  // Without an id yet: the last container of a person that was not there before the prompt was sent, below all that
  // were: a page that mounts turns as they are needed may mount older ones later. With an id that guess is no longer
  // made: another person's turn may be new as well; nor where there is nothing to go by.
  const ourTurns = (watched) => {
    const list = turns();
    let start = -1;
    if (watched.user) start = list.findIndex((element) => turnIds(element).includes(watched.user));
    else if (watched.known) {
      const was = (element) => turnIds(element).some((id) => watched.known.includes(id));
      const asked = list.findLastIndex((element) => isUser(element) && turnIds(element).length > 0);
      if (asked >= 0 && !list.slice(asked).some(was)) start = asked;
    }
    if (start < 0) return { list, first: null, group: [] };
    let end = start + 1;
    while (end < list.length && !isUser(list[end])) end += 1;
    return { list, first: list[start], group: list.slice(start, end), next: list[end] || null };
  };

  const addressOf = (img) => img.currentSrc || img.src || "";
  const fileOf = (img) => fileId(addressOf(img)) || fileId(img.getAttribute("srcset") || "");
  // The size in the file's own pixels: an image chosen from a srcset tells its own divided by the candidate's density.
  const pixels = (img) => {
    const lists = [img, ...(img.closest("picture")?.querySelectorAll("source") || [])].map((one) => one.srcset || "");
    let scale = 1;
    for (const [address, size] of lists.flatMap((list) => list.split(/,\s+/)).map((one) => one.trim().split(/\s+/))) {
      const told = /^([\d.]+)([xw])$/.exec(size || "");
      if (!told || !URL.canParse(address, document.baseURI)) continue;
      if (new URL(address, document.baseURI).href !== img.currentSrc) continue;
      scale = told[2] === "x" ? Number(told[1]) : Number(told[1]) / (img.naturalWidth || 1);
      break;
    }
    return { width: Math.round(img.naturalWidth * scale), height: Math.round(img.naturalHeight * scale) };
  };
  const imageFacts = (img) => ({
    file: fileOf(img),
    blob: addressOf(img).startsWith("blob:") ? addressOf(img) : null,
    ...pixels(img),
    complete: img.complete && img.naturalWidth > 0,
  });
  // The person's own: inside the bubble or an attachment's element, or above the bubble in our turn.
  const isReference = (img, ours) => {
    if (img.closest(userPart) || img.closest(referencePart)) return true;
    if (ours.first === null || !ours.first.contains(img)) return false;
    const bubbles = ours.first.querySelectorAll(userPart);
    const last = bubbles[bubbles.length - 1];
    return last !== undefined && (last.compareDocumentPosition(img) & Node.DOCUMENT_POSITION_PRECEDING) !== 0;
  };
  const ourImages = (ours) => {
    const found = new Map();
    for (const img of every("picture")) {
      if (isReference(img, ours) || img.closest("form, nav, aside, [role=alert], [role=status]")) continue;
      const inGroup = ours.group.some((element) => element.contains(img));
      const loose =
        !inGroup &&
        ours.first !== null &&
        img.closest("main") !== null &&
        !ours.list.some((element) => element.contains(img)) &&
        (ours.first.compareDocumentPosition(img) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0 &&
        (!ours.next || (ours.next.compareDocumentPosition(img) & Node.DOCUMENT_POSITION_PRECEDING) !== 0);
      if (!inGroup && !loose) continue;
      const image = imageFacts(img);
      const key = image.file || image.blob;
      const before = found.get(key);
      const better = !before || image.width > before.width || (image.complete && !before.complete);
      if (key && better) found.set(key, image);
    }
    return [...found.values()];
  };
  const mounted = () => (watched === null ? "" : JSON.stringify(ourImages(ourTurns(watched)).map((one) => one.file || one.blob)));
  // The control of our own turn that mounts its next pictures, once each mounted picture has been given an address.
  const pictureNext = () => {
    if (watched === null) return null;
    const { group } = ourTurns(watched);
    const ours = (element) =>
      group.some((turn) => turn.contains(element)) && !element.closest(userPart) && !element.closest(referencePart);
    if (every("picture").some((img) => ours(img) && !(img.currentSrc || img.src || img.srcset))) return null;
    const found = every("picture_next").filter(
      (button) => ours(button) && usable(button) && !button.closest("form, a, [role=dialog], [role=menu]"),
    );
    return found.length === 1 ? found[0] : null;
  };
  const spokenText = (element) => {
    let text = "";
    const walk = (node) => {
      if (text.length > 6000) return;
      if (node.nodeType === Node.TEXT_NODE) {
        text += node.data;
        return;
      }
      if (node.nodeType !== Node.ELEMENT_NODE) return;
      if (node.matches(userPart) || node.matches(referencePart) || node.matches("button, script, style, .sr-only, [hidden], [aria-hidden=true]")) return;
      for (const child of node.childNodes) walk(child);
      if (node.matches("p, div, li, br, h1, h2, h3, h4, pre")) text += "\n";
    };
    walk(element);
    return text;
  };

  // Cut at a whole character: half of one alone is no text outside JavaScript.
  const cut = (text, length) => text.slice(0, length).toWellFormed();
  const told = (role) => every(role).map((element) => cut((element.innerText || "").trim(), 500)).filter(Boolean);

  // In our turn, or outside of every turn.
  const aboutOurs = (role, ours) =>
    every(role).filter((element) => {
      if (ours.group.some((turn) => turn.contains(element))) return true;
      return element.closest("main") !== null && !ours.list.some((turn) => turn.contains(element)) && ours.first !== null;
    });
  // Of the panel that asks which of our pictures is better.
  const panelSkip = () => (watched === null ? null : aboutOurs("ab_skip", ourTurns(watched))[0] || null);

  const snapshot = (watched) => {
    const ours = ourTurns(watched);
    const within = (role) => every(role).filter((element) => ours.group.some((turn) => turn.contains(element)));
    const drawing = aboutOurs("drawing", ours);
    const percent = drawing.map((element) => /(\d{1,3})\s?%/.exec((element.parentElement || element).textContent || ""));
    const stop = has("stop");
    const errors = within("turn_error");
    const answer = ours.group.map(spokenText).join("\n").trim();
    return {
      address: location.href,
      found: ours.group.length > 0,
      images: ourImages(ours),
      drawing: drawing.length > 0,
      percent: percent.filter(Boolean).map((match) => Number(match[1]))[0] ?? null,
      stop,
      error: errors.length ? cut(errors[0].innerText || "", 2000) : null,
      retry: within("retry").length > 0,
      text: stop ? "" : cut(answer, 4000),
      panel: aboutOurs("ab_panel", ours).length > 0,
      rate_dialog: has("rate_dialog"),
      expired: has("expired_modal"),
      approval: within("tool_approval").length > 0,
      alerts: told("alert").slice(0, 3),
    };
  };

  // --- telling -----------------------------------------------------------------------------------------------
  let watched = null;
  let last = "";
  let timer = null;
  const tell = () => {
    timer = null;
    if (watched === null) return;
    let text;
    try {
      text = JSON.stringify({ kind: "turn", ...snapshot(watched) });
    } catch (error) {
      text = JSON.stringify({ kind: "fault", message: String(error) });
    }
    if (text === last) return;
    last = text;
    globalThis[bindingName](text);
  };
  // One report per burst of changes. The delay only gathers a burst: nothing runs while the page is still.
  const changed = () => {
    if (watched !== null && timer === null) timer = setTimeout(tell, 60);
  };
  const watch = (what) => {
    watched = what;
    last = "";
    changed();
  };
  // What waits for a condition on the page is woken by the same changes.
  const waiting = new Set();
  let checked = 0;
  let later = null;
  // At once after a pause, else once for a burst: a streamed answer changes the page hundreds of times a second.
  const recheck = () => {
    if (!waiting.size || later !== null) return;
    const pause = checked + 30 - performance.now();
    if (pause > 0) {
      later = setTimeout(() => {
        later = null;
        recheck();
      }, pause);
      return;
    }
    for (const check of [...waiting]) check();
    checked = performance.now();
  };
  const until = (test, milliseconds) =>
    new Promise((resolve) => {
      const finish = (value) => {
        waiting.delete(check);
        clearTimeout(limit);
        resolve(value);
      };
      const check = () => {
        const value = test();
        if (value) finish(value);
      };
      // A last look: not every change is one that the observer is told of.
      const limit = setTimeout(() => finish(test() || null), milliseconds);
      waiting.add(check);
      check();
    });

  const observer = new MutationObserver(() => {
    changed();
    recheck();
  });
  observer.observe(document, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["src", "srcset", "class", "hidden", "disabled", "aria-disabled", "aria-hidden", "aria-busy",
      "aria-pressed", "aria-label", "style", "data-testid", "data-upload-state", "inert", "aria-checked",
      "aria-selected", "aria-expanded", "data-state", "open"],
  });
  document.addEventListener("load", (event) => event.target instanceof HTMLImageElement && changed(), true);

  // Whether nobody asked for anything after this message, and this picture came of it; one whose address does not name it
  // may be that.
  const standsLast = ({ user, file }) => {
    const ours = ourTurns({ user, known: [] });
    const files = ourImages(ours).map((image) => image.file).filter(Boolean);
    return ours.first !== null && !ours.next && (!files.length || files.includes(file));
  };
  const known = () => [...new Set(turns().flatMap(turnIds))];
  // Pictures that stand anywhere on the page: none of them can be a result of what is sent from now on.
  const shown = () => [...new Set([...document.images].map(imageFacts).map((one) => one.file || one.blob).filter(Boolean))];

  // Whether the side bar says of a conversation that it is Work's.
  const isWork = (conversation) =>
    every("history_link").some(
      (link) =>
        (link.getAttribute("href") || "").includes(conversation) &&
        every("work_badge", link.closest("li, [role=listitem]") || link).length > 0,
    );
  // The roles that the page shows; the composer only where it is known which it is.
  const present = () => Object.keys(roles).filter((role) => (role === "composer" ? one(role) : every(role).length));

  globalThis.witness = {
    all, every, one, has, explain, present, snapshot, watch, until, known, shown, usable, nameOf, mounted, pictureNext, panelSkip,
    told, isWork, standsLast, ...composer({ every, one, cssOf, outermost, usable }),
  };
  return unread;
}
