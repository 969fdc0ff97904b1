// The part of witness.js that looks at the composer: its text, cards and tools, and what lies over it.
({ every, one, cssOf, outermost, usable }) => {
  const toolPill = cssOf("tool_pill");
  const pictureTool = cssOf("picture_tool");
  // What is written in the editor. A pill that is no tool's is an address: it shows neither scheme nor host.
  const editorText = (element) => {
    if (element instanceof HTMLTextAreaElement) return element.value;
    const lines = [];
    const lineOf = (...nodes) => {
      let text = "";
      const walk = (node) => {
        if (node.nodeType === Node.TEXT_NODE) text += node.data;
        else if (node.hasAttribute?.("data-inline-selection-pill")) text += node.matches(toolPill) ? "" : node.dataset.id || "";
        else if (node.nodeName === "BR") {
          if (!node.classList.contains("ProseMirror-trailingBreak") && node.nextSibling) text += "\n";
        } else if (node.nodeType === Node.ELEMENT_NODE && node.getAttribute("contenteditable") !== "false")
          node.childNodes.forEach(walk);
      };
      nodes.forEach(walk);
      return text;
    };
    const isBlock = (child) => /^(P|DIV|LI|PRE|H[1-6]|UL|OL)$/.test(child.nodeName) || child.hasAttribute?.("data-inline-selection-pill");
    if (![...element.children].some(isBlock)) return lineOf(element);
    // Of a field without an editor of its own the browser leaves the first line bare, and puts the others into blocks.
    let bare = [];
    for (const child of [...element.childNodes, null]) {
      if (child !== null && !isBlock(child)) {
        bare.push(child);
        continue;
      }
      if (lineOf(...bare).trim()) lines.push(lineOf(...bare));
      bare = [];
      if (child !== null) lines.push(lineOf(child));
    }
    return lines.join("\n");
  };
  const focusComposer = () => {
    const element = one("composer");
    if (element === null) return false;
    element.focus();
    return document.activeElement === element || element.contains(document.activeElement);
  };
  const composerText = () => {
    const element = one("composer");
    return element === null ? null : editorText(element);
  };
  const attachments = () => outermost(every("attachment"));
  const cardNames = (card) =>
    [card.getAttribute("aria-label"), card.querySelector("img")?.alt, card.innerText]
      .map((name) => (name || "").trim())
      .filter((name) => name.length > 2);
  // The control of a card that is none of `ours` (parts of file names). It is known by the card's own name in its own, in
  // any language, or by the role's names.
  const attachmentRemove = (ours) => {
    const strangers = attachments().filter((card) => !cardNames(card).some((name) => ours.some((part) => name.includes(part))));
    for (const card of strangers) {
      for (const button of card.querySelectorAll("button[aria-label]")) {
        const label = button.getAttribute("aria-label");
        if (cardNames(card).some((name) => label !== name && label.includes(name))) return button;
      }
    }
    return every("attachment_remove").find((button) => !attachments().some((card) => card.contains(button)) || strangers.some((card) => card.contains(button))) || null;
  };
  // Tools and apps that would go along with the prompt, but for the picture tool's own.
  const toolRemove = () => every("tool_remove").find((button) => !button.matches(pictureTool)) || null;
  const toolPills = () => {
    const element = one("composer");
    return element === null ? [] : every("tool_pill", element).filter((pill) => !pill.matches(pictureTool));
  };
  const toolsOff = () => toolRemove() === null && toolPills().length === 0;

  // What lies over an element's middle and is neither part of it nor around it: the outermost such layer.
  const covering = (element) => {
    if (element === null) return null;
    const box = element.getBoundingClientRect();
    let top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    if (top === null || element.contains(top) || top.contains(element)) return null;
    while (top.parentElement && !top.parentElement.contains(element)) top = top.parentElement;
    return top;
  };
  // Layers that may be in the way: dialogs, and whatever covers the composer or its send control.
  const layers = () => {
    const found = [...every("announcement"), ...every("cookie_banner"), ...every("dialog"), covering(one("composer")), covering(one("send"))];
    return [...new Set(found.filter((layer) => layer !== null && !layer.contains(one("composer"))))];
  };
  // One that lies under another layer cannot be pressed yet.
  const layerClose = () => {
    const found = [
      one("announcement_close"),
      ...every("cookie_banner").map((banner) => every("cookie_reject", banner)[0]),
      ...layers().map((layer) => every("dialog_close", layer)[0]),
    ].filter(Boolean);
    return found.find((control) => covering(control) === null) || found[0] || null;
  };
  const blocked = () => covering(one("composer")) !== null || covering(one("send")) !== null;

  return {
    layers, layerClose, blocked, focusComposer, composerText, attachments, attachmentRemove, toolRemove, toolPills, toolsOff,
  };
}
