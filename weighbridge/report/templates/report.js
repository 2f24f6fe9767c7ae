"use strict";
/* Fills what is opened and draws what comes into view. Text of a target goes into text nodes only. */
(() => {
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];

  /* ---- building ---- */
  const fill = (node, props, kids) => {
    for (const [name, value] of Object.entries(props || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : String(value));
    }
    node.append(...kids.flat(Infinity).filter((kid) => kid !== null && kid !== undefined && kid !== false));
    return node;
  };
  const h = (tag, props, ...kids) => fill(document.createElement(tag), props, kids);
  const s = (tag, props, ...kids) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), props, kids);

  const say = (text) => {
    const node = $("#said");
    node.textContent = text;
    node.classList.add("on");
    clearTimeout(say.timer);
    say.timer = setTimeout(() => node.classList.remove("on"), 1600);
  };

  /* ---- data: gzip in Base64, unpacked once when first wanted ---- */
  const unpack = async (id) => {
    const bytes = Uint8Array.from(atob($(id).textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };
  const once = (make) => { let made; return () => (made ??= make()); };
  const rows = once(() => unpack("#rows-data"));
  const evidence = once(async () => {
    const data = await unpack("#evidence-data");
    data.byId = new Map(data.exchanges.map((exchange) => [exchange.id, exchange]));
    return data;
  });

  /* ---- copying ---- */
  const copy = async (text, what) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = h("textarea", { "aria-hidden": "true" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say(`${what} copied`);
  };
  const copyButton = (text, what) => h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}`, onclick: () => copy(text, what) }, "Copy");
  const command = (text, what) => h("div", { class: "command" }, h("pre", { tabindex: 0, "aria-label": what }, h("code", null, text)), copyButton(text, what));

  /* ---- bodies ---- */
  /* Indents JSON by its text alone: numbers keep every digit, and a body that was cut still reads well. */
  const indent = (text) => {
    let out = "", depth = 0, inside = false, escaped = false;
    const line = () => { out += "\n" + "  ".repeat(Math.max(0, depth)); };
    for (let at = 0; at < text.length; at++) {
      const letter = text[at];
      if (inside) {
        out += letter;
        if (escaped) escaped = false;
        else if (letter === "\\") escaped = true;
        else if (letter === '"') inside = false;
      } else if (letter === '"') { inside = true; out += letter; }
      else if (letter === "{" || letter === "[") {
        const rest = /^\s*[}\]]/.exec(text.slice(at + 1, at + 40));
        out += letter;
        if (rest) { out += text[at + rest[0].length]; at += rest[0].length; } else if (depth < 60) { depth++; line(); }
      } else if (letter === "}" || letter === "]") { if (depth > 0) { depth--; line(); } out += letter; }
      else if (letter === ",") { out += letter; line(); }
      else if (letter === ":") out += ": ";
      else if (!/\s/.test(letter)) out += letter;
    }
    return out;
  };
  const isJson = (text) => /^\s*[{[]/.test(text);

  const marked = (text, needles) => {
    const found = needles.filter((needle) => text.includes(needle));
    if (!found.length) return [text];
    const parts = [];
    let rest = text;
    while (rest) {
      let best = -1, length = 0;
      for (const needle of found) {
        const at = rest.indexOf(needle);
        if (at >= 0 && (best < 0 || at < best || (at === best && needle.length > length))) { best = at; length = needle.length; }
      }
      if (best < 0) { parts.push(rest); break; }
      parts.push(rest.slice(0, best), h("mark", null, rest.slice(best, best + length)));
      rest = rest.slice(best + length);
    }
    return parts;
  };

  const events = (text, needles, hits) => {
    const blocks = text.split(/\r\n\r\n|\n\n|\r\r/);
    if (blocks.at(-1) === "") blocks.pop();
    return blocks.map((block, index) => h("span", { class: hits.has(index) ? "event hit" : "event" },
      h("span", { class: "n" }, `${index}  `), ...(hits.has(index) ? [block] : marked(block, needles)), "\n"));
  };

  const bodyOf = (body, streamed, needles, hits, name) => {
    if (!body || !body.size) return h("p", { class: "small soft" }, "no body");
    const pre = h("pre", { tabindex: 0, role: "group", "aria-label": name });
    if (body.binary) pre.append(`${body.size} bytes that are no text`);
    else if (streamed && /^(data|event|id|retry)?:/m.test(body.text)) pre.append(...events(body.text, needles, hits));
    else pre.append(...marked(isJson(body.text) ? indent(body.text) : body.text, needles));
    return [pre, body.sha256 && h("p", { class: "cutoff" }, `Cut: ${body.text.length.toLocaleString("en")} of ${body.size.toLocaleString("en")} bytes shown; SHA-256 of the whole body `, h("code", { class: "hash" }, body.sha256))];
  };

  const headersOf = (list, hits) => h("div", null, ...list.map(([name, value]) => h("div", { class: hits.has(name.toLowerCase()) ? "hit" : null }, h("b", null, name), `: ${value}`)));

  /* ---- an exchange ---- */
  const drawExchange = (data, exchange, marks = [], said = "", level = 4) => {
    const of = (where) => marks.filter((mark) => mark.in === where);
    const has = (where) => of(where).length > 0;
    const texts = (where) => of(where).map((mark) => mark.text);
    const hits = new Set(of("event").map((mark) => mark.index));
    const headers = new Set(of("header").map((mark) => mark.name));
    const answered = exchange.status !== undefined;
    const streamed = /event-stream/.test((answered ? data.headers[exchange.received] : []).map(([, value]) => value).join()) || exchange.streamed;
    const ending = `${exchange.ending}${exchange.detail ? `: ${exchange.detail}` : ""}, after ${(exchange.took * 1000).toFixed(1)} ms`;
    const picture = data.streams.find((stream) => stream.id === exchange.id);
    const node = h("div", { class: "exchange", "data-exchange": exchange.id },
      h(`h${level}`, { class: "caption" }, h("span", { class: "id" }, exchange.id), h("span", null, exchange.label), h("span", { class: "soft" }, exchange.probe)),
      picture && h("div", { class: "side" }, drawStream(data, picture, false)),
      h("div", { class: "sides" },
        h("div", { class: "side" }, h(`h${level + 1}`, { class: "part" }, "Request"),
          h("div", { class: "head" }, h("div", null, h("b", null, exchange.method), ` ${exchange.url}`), headersOf(data.headers[exchange.sent], new Set())),
          bodyOf(exchange.request, false, texts("request"), new Set(), "Request body")),
        h("div", { class: "side" }, h(`h${level + 1}`, { class: "part" }, "Response"),
          h("div", { class: "head" }, answered ? h("div", { class: has("status") ? "hit" : null }, h("b", null, `HTTP ${exchange.status}`)) : h("div", { class: "hit" }, "no response"), answered && headersOf(data.headers[exchange.received], headers)),
          answered && bodyOf(exchange.response, streamed, texts("body"), hits, "Response body"),
          h("p", { class: "small" }, h("span", { class: has("ending") ? "hit" : null }, `Connection ${ending}`))),
        exchange.upstream && h("div", { class: "side" }, h(`h${level + 1}`, { class: has("upstream") ? "part hit" : "part" }, `Upstream: ${exchange.upstream_calls} ${exchange.upstream_calls === 1 ? "call" : "calls"}`),
          ...exchange.upstream.map((call) => [
            h("div", { class: "head" }, h("div", null, h("b", null, call.method), ` ${call.path}`), h("div", null, `answered ${call.status ?? "nothing"}, ${call.ending}${call.events ? `, ${call.events} content events` : ""}`)),
            call.body.size ? bodyOf(call.body, false, [], new Set(), "Upstream request body") : null]),
          exchange.upstream_calls > exchange.upstream.length && h("p", { class: "small soft" }, `and ${exchange.upstream_calls - exchange.upstream.length} more in the evidence`))),
      exchange.curl !== said && h("div", { class: "side" }, command(exchange.curl, `curl of ${exchange.id}`)));
    requestAnimationFrame(() => { for (const pre of $$("pre", node)) { const hit = $("mark, .hit", pre); if (hit) pre.scrollTop = Math.max(0, hit.offsetTop - 60); } });
    return node;
  };

  const references = (data, refs, marks, openFirst, said) => {
    const known = refs.filter((ref) => data.byId.has(ref));
    const place = h("div", null);
    const buttons = known.slice(0, 25).map((ref) => h("button", { type: "button", "aria-expanded": "false", onclick: (event) => toggle(event.currentTarget, ref) }, ref));
    const toggle = (button, ref) => {
      const open = button.getAttribute("aria-expanded") === "true";
      for (const other of buttons) other.setAttribute("aria-expanded", "false");
      place.replaceChildren();
      if (open) return;
      button.setAttribute("aria-expanded", "true");
      place.append(drawExchange(data, data.byId.get(ref), (marks || {})[ref], said));
      drawVisible(place);
    };
    if (openFirst && buttons.length) toggle(buttons[0], known[0]);
    const more = refs.length - buttons.length;
    return h("div", null, h("div", { class: "refs" }, h("span", { class: "small soft" }, refs.length === 1 ? "Exchange" : "Exchanges"), ...buttons, more > 0 && h("span", { class: "small soft" }, `and ${more} more in the evidence file`)), place);
  };

  /* ---- requirements ---- */
  const term = (name, ...value) => [h("dt", null, name), h("dd", null, ...value)];
  const drawRow = async (node) => {
    if (node.dataset.drawn) return;
    node.dataset.drawn = "yes";
    const row = (await rows())[node.id];
    const data = await evidence();
    const checks = row.checks || [];
    node.append(h("div", { class: "inside" },
      h("dl", null,
        ...term("Statement", row.statement),
        ...(row.required ? term("Required", row.required) : []),
        ...(row.observed || row.missing ? term("Observed", h("span", { class: "observed" }, row.observed || `needs ${row.missing}`)) : []),
        ...term("Why a client cares", row.why),
        ...(row.reading ? term("Reading", row.reading) : []),
        ...term("Source", row.sources.map((source) => `${source.document}, ${source.heading}`).join("; ")),
        ...term("Profiles", row.profiles.map((part) => `${part.profile} (${part.level}: ${part.verdict.replace("_", " ")})`).join(", ")),
        ...(row.needs ? term("Needs", row.needs.join(", ")) : []),
        ...(row.missing ? term("Missing", row.missing) : []),
        ...(checks.length ? term("Checks", h("ul", { class: "plainlist" }, ...checks.map((check) => h("li", null, h("code", null, check.id), ` ${check.outcome.replace("_", " ")}${check.message && checks.length > 1 ? `: ${check.message}` : ""}`)))) : [])),
      row.curl ? command(row.curl, `curl of ${node.id}`) : null,
      row.evidence ? references(data, row.evidence, data.marks[node.id], false, row.curl) : h("p", { class: "small soft" }, "No exchange belongs to this row."),
      h("p", { class: "refs" }, h("button", { type: "button", onclick: () => copy(`${location.href.split("#")[0]}#${node.id}`, "Link") }, "Copy link"))));
    drawVisible(node);
  };

  const controls = { text: $("#f-text"), level: $("#f-level"), profile: $("#f-profile"), area: $("#f-area"), need: $("#f-need") };
  const boxes = $$("input[name=verdict]");
  const list = $$(".row").map((node) => ({ node, area: node.parentElement.dataset.area, profiles: node.dataset.profiles.split(" "), needs: node.dataset.needs ? node.dataset.needs.split(" ") : [], words: `${node.id} ${$(".name", node).textContent}`.toLowerCase() }));
  const state = () => ({ ...Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, control.value.trim()])), verdict: boxes.filter((box) => box.checked).map((box) => box.value).join(",") });
  const fits = (item, wanted, words, verdicts) =>
    (!verdicts.length || verdicts.includes(item.node.dataset.verdict)) && (!wanted.level || item.node.dataset.level === wanted.level) &&
    (!wanted.profile || item.profiles.includes(wanted.profile)) && (!wanted.area || item.area === wanted.area) &&
    (!wanted.need || (wanted.need === "none" ? !item.needs.length : item.needs.includes(wanted.need))) && words.every((word) => item.words.includes(word));
  const filter = () => {
    const wanted = state(), words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean), verdicts = wanted.verdict.split(",").filter(Boolean);
    const areas = new Map();
    let shown = 0;
    for (const item of list) {
      const good = fits(item, wanted, words, verdicts);
      item.node.hidden = !good;
      if (good) { shown++; areas.set(item.area, true); }
    }
    for (const area of $$(".area")) area.hidden = !areas.has(area.dataset.area);
    $("#shown").textContent = `${shown} of ${list.length}`;
    $("#nothing").hidden = shown > 0;
  };
  const filterLink = () => {
    const pairs = Object.entries(state()).filter(([, value]) => value).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    return `#filter:${pairs.join("&")}`;
  };
  const applyFilter = (text) => {
    const wanted = new URLSearchParams(text);
    for (const [name, control] of Object.entries(controls)) control.value = wanted.get(name) || "";
    const verdicts = (wanted.get("verdict") || "").split(",");
    for (const box of boxes) box.checked = verdicts.includes(box.value);
    filter();
  };

  /* ---- pictures ---- */
  const WIDE = 1100;
  const drawings = new Map();
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); redraw(entry.target); }
  }, { rootMargin: "300px" });
  const redraw = (place) => {
    const width = Math.max(280, Math.min(WIDE, place.clientWidth || 900));
    place.replaceChildren(drawings.get(place)(width));
  };
  const canvas = (height, draw) => {
    const place = h("div", { class: "canvas" });
    place.style.minHeight = `${height}px`;
    drawings.set(place, draw);
    return place;
  };
  const drawVisible = (from) => { for (const place of $$(".canvas", from)) seen.observe(place); };
  addEventListener("resize", () => {
    clearTimeout(redraw.timer);
    redraw.timer = setTimeout(() => {
      for (const place of [...drawings.keys()]) {
        if (!place.isConnected) drawings.delete(place);
        else if (place.firstChild) redraw(place);
      }
    }, 120);
  });

  const ticks = (most, count) => {
    const rough = most / count, power = 10 ** Math.floor(Math.log10(rough || 1));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough) || 1;
    return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, index) => index * step);
  };
  const number = (value) => Number(value.toPrecision(4)).toString();

  const tick = (kind, x, y) => {
    if (kind === "end") return s("rect", { class: "t-end", x: x - 4, y: y - 9, width: 8, height: 18, rx: 1.5 });
    if (kind === "error") return s("path", { class: "t-error", d: `M${x} ${y - 10}l8 16h-16z` });
    if (kind === "broken") return s("path", { class: "t-broken", d: `M${x - 5} ${y - 7}l10 14m0 -14l-10 14` });
    return s("line", { class: `t-${kind}`, x1: x, x2: x, y1: y - (kind === "write" ? 7 : 9), y2: y + (kind === "write" ? 7 : 9) });
  };
  const finish = (clean, x, y) => clean ? s("circle", { class: "t-ok", cx: x, cy: y, r: 4.5 }) : s("path", { class: "t-bad", d: `M${x - 5} ${y - 6}l10 12m0 -12l-10 12` });

  const streamWords = (stream) => {
    const count = (kind) => stream.events.filter(([, what]) => what === kind).length;
    const first = stream.events.find(([, kind]) => kind === "content");
    const parts = [`${stream.events.length + stream.more} events`, first ? `first content after ${number(first[0])} ms` : "no content", count("end") ? `${count("end")} terminator${count("end") > 1 ? "s" : ""}` : "no terminator"];
    if (count("error")) parts.push(`${count("error")} error event${count("error") > 1 ? "s" : ""}`);
    if (count("broken")) parts.push(`${count("broken")} broken or cut event${count("broken") > 1 ? "s" : ""}`);
    parts.push(`connection ${stream.ending} after ${number(stream.ended)} ms`);
    return parts.join(", ");
  };

  const drawStream = (data, stream, titled = true) => {
    const lanes = (stream.upstream || []).slice(0, 4);
    const height = 40 + 44 * (lanes.length + 1);
    const words = streamWords(stream);
    const draw = (width) => {
      const left = width < 500 ? 66 : 96, right = 26, end = Math.max(stream.ended, ...lanes.map((lane) => lane.finished ?? 0), 0.5);
      const start = Math.min(0, ...lanes.map((lane) => lane.arrived));
      const x = (at) => left + ((at - start) / (end - start)) * (width - left - right);
      const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${stream.label}: ${words}` });
      const floor = height - 22;
      for (const at of ticks(end, width < 500 ? 4 : 8)) svg.append(s("line", { class: "axis", x1: x(at), x2: x(at), y1: 6, y2: floor }), s("text", { x: x(at), y: height - 6, "text-anchor": "middle" }, `${number(at)}${at ? "" : " ms"}`));
      lanes.forEach((lane, index) => {
        const y = 26 + 44 * index, last = lane.finished ?? end;
        svg.append(s("text", { class: "strong", x: 0, y: y + 4 }, "upstream"), s("text", { x: 0, y: y + 18 }, `${lane.status ?? "–"}${lanes.length > 1 ? ` #${index + 1}` : ""}`),
          s("rect", { class: "span", x: x(lane.arrived), y: y - 4, width: Math.max(1, x(last) - x(lane.arrived)), height: 8, rx: 4 }),
          s("line", { class: "lane", x1: x(lane.arrived), x2: x(lane.arrived), y1: y - 12, y2: y + 12 }),
          ...lane.writes.map((at) => tick("write", x(at), y)), finish(lane.ending === "complete", x(last), y));
        if (lane.ending !== "complete") svg.append(s("text", { x: Math.min(x(last) + 9, width - 4), y: y - 10, "text-anchor": x(last) > width * 0.75 ? "end" : "start" }, lane.ending.replace("fault:", "fault: ").replaceAll("_", " ")));
      });
      const y = 26 + 44 * lanes.length;
      svg.append(s("text", { class: "strong", x: 0, y: y + 4 }, "client"), s("text", { x: 0, y: y + 18 }, stream.head === null ? "no head" : `${stream.events.length} ev.`),
        s("rect", { class: "span", x: x(0), y: y - 4, width: Math.max(1, x(stream.ended) - x(0)), height: 8, rx: 4 }));
      for (const [at, kind] of stream.events) if (kind !== "end" && kind !== "error" && kind !== "broken") svg.append(tick(kind, x(at), y));
      for (const [at, kind] of stream.events) if (kind === "end" || kind === "error" || kind === "broken") svg.append(tick(kind, x(at), y));
      const ends = stream.events.filter(([, kind]) => kind === "end");
      if (ends.length > 1) svg.append(s("text", { class: "strong", x: x(ends.at(-1)[0]), y: y - 14, "text-anchor": "middle" }, `×${ends.length}`));
      svg.append(finish(stream.clean, x(stream.ended), y));
      if (!stream.clean) svg.append(s("text", { x: Math.min(x(stream.ended) + 9, width - 4), y: y - 12, "text-anchor": x(stream.ended) > width * 0.75 ? "end" : "start" }, stream.ending));
      return svg;
    };
    const notes = [words];
    if (stream.left_out) notes.push(`The upstream side is left out: the clocks agree only to ±${number(data.clock ? data.clock.uncertainty_s * 1000 : 0)} ms, and ${data.max_uncertainty_ms} ms is the bound`);
    else if (stream.upstream && data.clock) notes.push(`upstream times ±${(data.clock.uncertainty_s * 1000).toFixed(2)} ms`);
    if (stream.more) notes.push(`${stream.more} further events are not drawn`);
    if (stream.upstream && stream.upstream.length > 4) notes.push(`${stream.upstream.length - 4} further upstream calls are not drawn`);
    const place = h("div", null);
    return h("div", { class: titled ? "picture" : "", "data-stream": stream.id },
      titled && h("h3", { class: "caption" }, stream.label, h("span", { class: "soft small" }, stream.surface), Object.entries(data.marks).filter(([, refs]) => refs[stream.id]).map(([id]) => h("a", { class: "id", href: `#${id}` }, id)), h("button", { type: "button", onclick: () => { place.hasChildNodes() ? place.replaceChildren() : place.append(drawExchange(data, data.byId.get(stream.id))); drawVisible(place); } }, stream.id)),
      canvas(height, draw), h("p", { class: "small soft" }, `${notes.join("; ")}.`), place);
  };

  /* Money: whole numbers of any size, so BigInt. */
  const dollars = (pico) => {
    const value = BigInt(pico), sign = value < 0n ? "-" : "", digits = (value < 0n ? -value : value).toString().padStart(13, "0");
    const part = digits.slice(-12).replace(/0+$/, "").padEnd(2, "0");
    return `${sign}$${BigInt(digits.slice(0, -12)).toLocaleString("en")}.${part}`;
  };
  const amount = (text, unit) => unit === "credits" ? `${BigInt(text).toLocaleString("en")} credits` : dollars(text);
  const scale = (values) => {
    const low = values.reduce((a, b) => (b < a ? b : a)), high = values.reduce((a, b) => (b > a ? b : a));
    const span = high - low;
    return (value) => (span === 0n ? 0.5 : Number(((value - low) * 100000n) / span) / 100000);
  };

  const drawHistory = (data, history) => {
    const values = history.readings.map((reading) => BigInt(reading.amount));
    const height = 150;
    const change = (index) => (index ? values[index] - values[index - 1] : 0n);
    const signed = (value) => `${value > 0n ? "+" : ""}${amount(value.toString(), history.unit)}`;
    const draw = (width) => {
      const share = scale(values), left = 14, right = 30, top = 26, floor = height - 30;
      const x = (index) => left + (index / Math.max(1, values.length - 1)) * (width - left - right);
      const y = (value) => floor - share(value) * (floor - top);
      let path = `M${x(0)} ${y(values[0])}`;
      for (let index = 1; index < values.length; index++) path += `H${x(index)}V${y(values[index])}`;
      const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${history.probe}, ${history.case}: balance from ${amount(history.readings[0].amount, history.unit)} to ${amount(history.readings.at(-1).amount, history.unit)} in ${values.length - 1} steps` },
        s("line", { class: "axis", x1: 0, x2: width, y1: floor + 8, y2: floor + 8 }), s("path", { class: "curve", d: path }));
      const every = Math.ceil(values.length / Math.max(2, Math.floor(width / 130)));
      history.readings.forEach((reading, index) => {
        svg.append(s("circle", { class: `p-${reading.movement}`, cx: x(index), cy: y(values[index]), r: 4.5 }));
        const anchor = index === 0 ? "start" : index === values.length - 1 ? "end" : "middle";
        if (index % every === 0 || index === values.length - 1) svg.append(s("text", { x: x(index), y: height - 8, "text-anchor": anchor }, reading.moment));
        if (change(index) !== 0n && values.length <= Math.max(3, width / 110)) svg.append(s("text", { class: "strong", x: x(index), y: Math.max(12, Math.min(y(values[index]), y(values[index - 1])) - 9), "text-anchor": anchor }, `${reading.movement} ${signed(change(index))}`));
      });
      return svg;
    };
    const table = () => h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": `Steps of ${history.case}` }, h("table", null,
      h("thead", null, h("tr", null, ...["Moment", "Balance", "Change", "Movement", "After"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, ...history.readings.map((reading, index) => h("tr", null, h("th", { scope: "row" }, reading.moment), h("td", null, amount(reading.amount, history.unit)), h("td", null, index ? signed(change(index)) : "–"), h("td", null, reading.movement), h("td", null, reading.after ? h("a", { href: `#exchange=${reading.after}` }, reading.after) : "–", ` ${reading.what}`))))));
    return h("div", { class: "picture" }, h("h4", { class: "caption" }, history.case, h("span", { class: "soft small" }, `${history.probe}, ${history.surface}`)), canvas(height, draw), h("details", { ontoggle: (event) => { if (event.target.children.length === 1) event.target.append(table()); } }, h("summary", null, `${history.readings.length} readings as a table`)));
  };

  const drawBoundary = (points) => {
    const height = 260;
    const all = points.flatMap((point) => [point.charged, point.standard, point.long_context]).map(BigInt);
    const draw = (width) => {
      const share = scale([0n, ...all]), left = width < 500 ? 52 : 84, right = 40, top = 22, floor = height - 40;
      const sizes = points.map((point) => point.input_tokens), low = Math.min(...sizes) - 1500, high = Math.max(...sizes) + 1500;
      const x = (size) => left + ((size - low) / (high - low)) * (width - left - right);
      const y = (value) => floor - share(BigInt(value)) * (floor - top);
      const line = (name) => points.map((point, index) => `${index ? "L" : "M"}${x(point.input_tokens)} ${y(point[name])}`).join("");
      const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Charges of ${points[0].model} by input size; a table follows` },
        s("line", { class: "axis", x1: left, x2: width - right, y1: floor, y2: floor }), s("line", { class: "axis", x1: left, x2: left, y1: top, y2: floor }));
      for (const [at, name] of [[272000, "272,000"], [278528, "278,528"]]) if (at > low && at < high) svg.append(s("line", { class: "limit", x1: x(at), x2: x(at), y1: top - 8, y2: floor }), s("text", { x: x(at) + 4, y: top }, name));
      svg.append(s("path", { class: "tier", d: line("standard") }), s("path", { class: "tier", d: line("long_context") }),
        s("text", { x: width - right, y: y(points.at(-1).standard) - 8, "text-anchor": "end" }, "standard rate"), s("text", { x: left + 6, y: y(points[0].long_context) - 8 }, "long-context rate"));
      for (const point of points) svg.append(s("circle", { class: "p-expected", cx: x(point.input_tokens), cy: y(point.expected), r: 8 }), s("circle", { class: point.charged === point.expected ? "p-good" : "p-bad", cx: x(point.input_tokens), cy: y(point.charged), r: 4.5 }));
      for (const at of ticks(Number(all.reduce((a, b) => (b > a ? b : a)) / 1000000000n) / 1000, 4)) svg.append(s("text", { x: left - 6, y: y(BigInt(Math.round(at * 1000)) * 1000000000n) + 4, "text-anchor": "end" }, `$${number(at)}`));
      points.forEach((point, index) => { if (width > 620 || index % 2 === 0) svg.append(s("text", { x: x(point.input_tokens), y: floor + (index % 2 ? 32 : 17), "text-anchor": "middle" }, point.input_tokens.toLocaleString("en"))); });
      return svg;
    };
    return h("div", { class: "picture" }, h("h4", { class: "caption" }, points[0].model), canvas(height, draw),
      h("p", null, "A ring is the price by the documents, a dot what was charged."),
      h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": `Charges of ${points[0].model}` }, h("table", { class: "numbers" },
        h("thead", null, h("tr", null, ...["Input tokens", "Expected", "Charged", "Standard rate", "Long-context rate", ""].map((name) => h("th", { scope: "col" }, name || "As expected")))),
        h("tbody", null, ...points.map((point) => h("tr", null, h("th", { scope: "row" }, point.input_tokens.toLocaleString("en")), h("td", null, dollars(point.expected)), h("td", null, dollars(point.charged)), h("td", null, dollars(point.standard)), h("td", null, dollars(point.long_context)), h("td", null, point.charged === point.expected ? "✓ yes" : "✕ no")))))));
  };

  /* ---- pages of things, so that ten thousand cost no more than ten ---- */
  const paged = (place, items, size, draw, words) => {
    let page = 0, wanted = items;
    const pages = () => Math.max(1, Math.ceil(wanted.length / size));
    const show = (focus) => {
      const from = page * size;
      const pager = () => h("div", { class: "pager" },
        h("button", { type: "button", disabled: page === 0, onclick: () => go(page - 1) }, "Previous"),
        h("span", null, wanted.length ? `${from + 1}–${Math.min(from + size, wanted.length)} of ${wanted.length.toLocaleString("en")}` : `No ${words} fits this filter`),
        h("button", { type: "button", disabled: page >= pages() - 1, onclick: () => go(page + 1) }, "Next"));
      place.replaceChildren(pager(), ...wanted.slice(from, from + size).map(draw), wanted.length > 3 ? pager() : "");
      drawVisible(place);
      if (focus) place.scrollIntoView({ block: "start" });
    };
    const go = (to) => { page = to; show(true); };
    show(false);
    return { filter: (test) => { wanted = items.filter(test); page = 0; show(false); }, reveal: (index) => { wanted = items; page = Math.floor(index / size); show(false); } };
  };
  const words = (control) => control.value.toLowerCase().split(/\s+/).filter(Boolean);
  const listen = (form, act) => { form.addEventListener("input", act); form.addEventListener("submit", (event) => event.preventDefault()); };

  const sections = {
    streams: once(async () => {
      const data = await evidence(), text = $("#s-text"), ending = $("#s-ending");
      const told = new Set(Object.values(data.marks).flatMap((refs) => Object.keys(refs)));
      const rank = (stream) => told.has(stream.id) ? 0 : !stream.clean || stream.events.some(([, kind]) => kind === "error" || kind === "broken") ? 1 : 2;
      const sorted = [...data.streams].sort((a, b) => rank(a) - rank(b) || b.events.length - a.events.length);
      const pages = paged($("#stream-list"), sorted, 12, (stream) => drawStream(data, stream), "stream");
      listen($("#stream-filters"), () => { const all = words(text); pages.filter((stream) => all.every((word) => `${stream.id} ${stream.label} ${stream.surface}`.toLowerCase().includes(word)) && (!ending.value || stream.clean === (ending.value === "clean"))); });
    }),
    money: once(async () => {
      const data = await evidence();
      if ($("#boundary")) for (const model of new Set(data.money.boundary.map((point) => point.model))) $("#boundary").append(drawBoundary(data.money.boundary.filter((point) => point.model === model)));
      if ($("#histories")) {
        const rank = (history) => history.readings.some((reading) => reading.movement === "refund") ? 0 : history.readings.some((reading) => reading.movement === "charge") ? 1 : 2;
        const sorted = data.money.histories.map((history, index) => [rank(history), index, history]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((item) => item[2]);
        const text = $("#m-text"), kind = $("#m-kind");
        const pages = paged($("#histories"), sorted, 6, (history) => drawHistory(data, history), "case");
        const test = (history) => !kind.value || (kind.value === "still" ? history.readings.every((reading) => ["start", "none"].includes(reading.movement)) : history.readings.some((reading) => reading.movement === kind.value));
        listen($("#money-filters"), () => { const all = words(text); pages.filter((history) => all.every((word) => `${history.probe} ${history.case} ${history.surface} ${history.readings.map((reading) => reading.what).join(" ")}`.toLowerCase().includes(word)) && test(history)); });
      }
      drawVisible($("#money"));
    }),
    exchanges: once(async () => {
      const data = await evidence(), text = $("#x-text"), status = $("#x-status");
      const line = (exchange) => {
        const node = h("details", { class: "row", id: `x-${exchange.id}` }, h("summary", null, h("span", { class: "id" }, exchange.id), h("span", { class: "level" }, exchange.status === undefined ? exchange.ending : `HTTP ${exchange.status}`), h("span", { class: "name" }, exchange.label), h("span", { class: "small soft" }, `${(exchange.took * 1000).toFixed(0)} ms`)));
        node.addEventListener("toggle", () => { if (node.open && node.children.length === 1) { node.append(h("div", { class: "inside" }, drawExchange(data, exchange, [], "", 3))); drawVisible(node); } });
        return node;
      };
      const pages = paged($("#exchange-list"), data.exchanges, 40, line, "exchange");
      const test = (exchange) => !status.value || (status.value === "none" ? exchange.status === undefined : String(exchange.status ?? "").startsWith(status.value));
      listen($("#exchange-filters"), () => { const all = words(text); pages.filter((exchange) => all.every((word) => `${exchange.id} ${exchange.label} ${exchange.method} ${exchange.url} ${exchange.probe}`.toLowerCase().includes(word)) && test(exchange)); });
      return (id) => { const index = data.exchanges.findIndex((exchange) => exchange.id === id); if (index < 0) return null; pages.reveal(index); return document.getElementById(`x-${id}`); };
    }),
  };

  /* ---- links ---- */
  const follow = async () => {
    const name = decodeURIComponent(location.hash.slice(1));
    if (name.startsWith("filter:")) { applyFilter(name.slice(7)); $("#requirements").scrollIntoView(); return; }
    if (name.startsWith("exchange=") && $("#exchanges")) {
      const node = (await sections.exchanges())(name.slice(9));
      if (node) { node.open = true; node.scrollIntoView(); $("summary", node).focus({ preventScroll: true }); } else say("That exchange is in the evidence file only");
      return;
    }
    const node = name && document.getElementById(name);
    if (!node) return;
    if (node.matches("details.row")) {
      if (node.hidden) { $(".filters").reset(); filter(); }
      node.open = true;
      await drawRow(node);
      $("summary", node).focus({ preventScroll: true });
    }
    node.scrollIntoView();
  };

  /* ---- start ---- */
  const theme = $("#theme"), dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = (on) => { document.documentElement.dataset.theme = on ? "dark" : "light"; theme.setAttribute("aria-pressed", String(on)); };
  paint(dark.matches);
  dark.addEventListener("change", (event) => paint(event.matches));
  theme.addEventListener("click", () => paint(document.documentElement.dataset.theme !== "dark"));

  document.addEventListener("toggle", (event) => { if (event.target.matches?.("details.row") && event.target.open && event.target.dataset.verdict) drawRow(event.target); }, true);
  document.addEventListener("click", (event) => { const button = event.target.closest?.("article .copy"); if (button) copy($("code", button.parentElement).textContent, "Command"); });
  const form = $("#requirements .filters");
  listen(form, filter);
  form.addEventListener("reset", () => setTimeout(filter));
  $("#link").addEventListener("click", () => copy(`${location.href.split("#")[0]}${filterLink()}`, "Link"));
  addEventListener("hashchange", follow);
  addEventListener("beforeprint", () => { for (const place of $$(".canvas")) if (!place.firstChild) redraw(place); });

  const coming = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { coming.unobserve(entry.target); sections[entry.target.id]?.(); }
  }, { rootMargin: "600px" });
  for (const name of Object.keys(sections)) if ($(`#${name}`)) coming.observe($(`#${name}`));

  const start = async () => {
    const texts = await rows();
    for (const item of list) {
      const row = texts[item.node.id];
      item.words += ` ${row.statement} ${row.why} ${row.required || ""} ${row.observed || ""} ${row.missing || ""} ${(row.evidence || []).join(" ")}`.toLowerCase();
    }
    await follow();
    document.documentElement.dataset.ready = "yes";
    performance.mark("weighbridge-ready");
    const places = $$("#findings .evidence");
    if (places.length) {
      const data = await evidence();
      places.forEach((place, index) => { const id = place.dataset.row; place.append(references(data, texts[id].evidence, data.marks[id], index < 8, texts[id].curl)); });
      drawVisible($("#findings"));
      if (location.hash) await follow();
    }
  };
  start().catch((error) => { document.documentElement.dataset.ready = "failed"; say(`This browser cannot unpack the report's data (${error.message}); see report.json`); });
})();
