// The admin page: it asks the instance once a second and shows the answers. Everything from the
// instance is shown with textContent, because names and topics come from clients.
"use strict";

const byId = (id) => document.getElementById(id);
const interval = 1000; // milliseconds between two rounds
const patience = 4000; // milliseconds to wait for an answer
let token = sessionStorage.getItem("holdfast token") || "";
let offered = { actions: [], permitted: false };
let asking = null; // the action in the dialog
const lag = { number: 0, times: [], links: new Map() }; // of the last ten minutes
const cards = new Map(); // by peer: the elements of a link and its plot

// element returns an element with text and children. A child may be null.
function element(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "onclick") e.addEventListener("click", value);
    else e.setAttribute(name, value);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

// Unauthorized says that the instance wants another token.
class Unauthorized extends Error {}

async function ask(path, body) {
  const headers = token ? { Authorization: "Bearer " + token } : {};
  const options = { headers, cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.timeout(body ? 25000 : patience) };
  if (body) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  const response = await fetch(path, options);
  if (response.status === 401) throw new Unauthorized();
  if (!response.headers.get("Content-Type").startsWith("application/json")) throw new Error(await response.text());
  return response.json();
}

// Texts.

const number = (n) => Number(n).toLocaleString("en").replaceAll(",", "\u202f");
const clock = (t) => t.slice(0, 19).replace("T", " ") + " UTC";
function bytes(n) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (n < 1024) return (n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)) + " " + unit;
    n /= 1024;
  }
  return n.toFixed(1) + " TiB";
}
function duration(ms) {
  if (ms < 1000) return Math.round(ms) + " ms";
  if (ms < 100000) return (ms / 1000).toFixed(1) + " s";
  if (ms < 7200000) return Math.round(ms / 60000) + " min";
  if (ms < 172800000) return (ms / 3600000).toFixed(1) + " h";
  return Math.round(ms / 86400000) + " days";
}

// Parts of the page.

const badge = (text, kind) => element("span", { class: "badge " + kind }, text);

// replace replaces the content of an element if it differs, unless the reader has selected text in
// it or presses a button of it. The focus stays on the button that stands for the same action.
function replace(e, children) {
  const selection = getSelection();
  if (e.matches(":active") || (!selection.isCollapsed && e.contains(selection.anchorNode))) return;
  const fresh = children.filter((c) => c);
  if (fresh.length === e.childNodes.length && fresh.every((c, i) => c.isEqualNode(e.childNodes[i]))) return;
  const key = e.contains(document.activeElement) ? document.activeElement.dataset.key : "";
  e.replaceChildren(...fresh);
  if (key) for (const b of e.querySelectorAll("button")) if (b.dataset.key === key) b.focus();
}
const show = (id, ...children) => replace(byId(id), children);

// table shows rows. A column is [head, cell of a row, is a number].
function table(id, rows, columns, empty) {
  if (rows.length === 0) return show(id, element("p", { class: "dim" }, empty));
  const head = element("tr", {}, ...columns.map(([name, , num]) => element("th", { scope: "col", class: num ? "num" : "" }, name)));
  const body = rows.map((row) => element("tr", {}, ...columns.map(([name, cell, num]) =>
    element("td", { "data-head": name, class: num ? "num" : "" }, cell(row)))));
  show(id, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

function facts(id, list) {
  show(id, ...list.filter((f) => f).map(([name, value, kind]) => element("div", {}, element("dt", {}, name), element("dd", { class: kind || "" }, value))));
}

// Actions.

const can = (action) => offered.permitted && offered.actions.includes(action);
function button(action, args, label, title, text) {
  if (!can(action)) return null;
  return element("button", { type: "button", "data-action": action, "data-key": action + " " + args.join(" "), onclick: () => confirmAction(action, args, title, text) }, label);
}

function confirmAction(action, args, title, text) {
  asking = { action, args };
  byId("asktitle").textContent = title;
  byId("asktext").textContent = text;
  byId("askchoice").hidden = action !== "log-level";
  byId("ask").showModal();
  byId("no").focus();
}

async function act() {
  const { action, args } = asking;
  byId("ask").close();
  const given = action === "log-level" ? [byId("level").value] : args;
  let text, good = false;
  try {
    const reply = await ask("/actions", { action, args: given });
    good = reply.done;
    text = (good ? "" : "Not done: ") + reply.text;
  } catch (e) {
    text = e instanceof Unauthorized ? "Not done: the token is not accepted." : "No answer: " + e.message;
  }
  const reply = byId("reply");
  reply.textContent = text;
  reply.className = "banner " + (good ? "good" : "bad");
  reply.hidden = false;
  clearTimeout(reply.timer);
  reply.timer = setTimeout(() => { reply.hidden = true; }, 5000);
}

// Links.

const lineColors = () => {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["text", "dim", "line", "accent", "warn", "good", "badback", "warnback"].map((n) => [n, style.getPropertyValue("--" + n).trim()]));
};

// shade colours the times in which the link was down, or acks did not wait for the peer.
function shade(u, states) {
  const colors = lineColors(), { left, top, width, height } = u.bbox;
  const times = u.data[0];
  for (let i = 0; i < times.length; i++) {
    if (states[i] === "up") continue;
    const from = u.valToPos(times[i], "x", true);
    const to = i + 1 < times.length ? u.valToPos(times[i + 1], "x", true) : left + width;
    u.ctx.fillStyle = states[i] === "down" ? colors.badback : colors.warnback;
    u.ctx.fillRect(Math.max(from, left), top, Math.min(to, left + width) - Math.max(from, left), height);
  }
}

function newPlot(target, link) {
  const colors = lineColors();
  const axis = { stroke: colors.dim, grid: { stroke: colors.line, width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  const timeOfDay = (s) => new Date(s * 1000).toISOString().slice(11, 19); // UTC, as all times of the page
  const compact = (n) => (n >= 1e6 ? n / 1e6 + "M" : n >= 1e3 ? n / 1e3 + "k" : String(n));
  return new uPlot({
    width: Math.max(target.clientWidth, 240), height: 200,
    cursor: { drag: { x: false, y: false } },
    legend: { live: false },
    scales: {
      ms: { range: (u, min, max) => [0, Math.max(max || 0, 10) * 1.1] },
      records: { range: (u, min, max) => [0, Math.max(max || 0, 10) * 1.1] },
    },
    axes: [{ ...axis, space: 70, values: (u, list) => list.map(timeOfDay) },
      { ...axis, scale: "ms", size: 58, values: (u, list) => list.map((v) => (v >= 1000 ? v / 1000 + " s" : v + " ms")) },
      { ...axis, scale: "records", side: 1, size: 44, grid: { show: false }, values: (u, list) => list.map(compact) }],
    series: [{},
      { label: "oldest wait", scale: "ms", stroke: colors.accent, width: 1.5, fill: colors.accent + "22" },
      { label: "records to send", scale: "records", stroke: colors.warn, width: 1.5 },
      { label: "records to come", scale: "records", stroke: colors.good, width: 1.5, dash: [4, 3] }],
    hooks: { drawClear: [(u) => shade(u, lag.links.get(link).states)] },
  }, plotData(link), target);
}

function plotData(peer) {
  const l = lag.links.get(peer);
  const known = (list) => list.map((n) => (n < 0 ? null : n));
  return [lag.times.map((t) => t / 1000), l.wait_ms, known(l.to_send), known(l.to_come)];
}

// addLag adds the samples of an answer, and drops those that are older than ten minutes.
function addLag(answer) {
  if (answer.number < lag.number) { // the process is another one
    lag.times = [];
    lag.links.clear();
  }
  lag.number = answer.number;
  lag.times.push(...answer.times);
  const drop = Math.max(0, lag.times.length - 600);
  lag.times.splice(0, drop);
  for (const l of answer.links) {
    if (!lag.links.has(l.peer)) lag.links.set(l.peer, { states: [], wait_ms: [], to_send: [], to_come: [] });
    const mine = lag.links.get(l.peer);
    for (const key of Object.keys(mine)) {
      mine[key].push(...l[key]);
      mine[key].splice(0, drop);
    }
  }
}

function linkKind(l) {
  if (l.state === "down") return "bad";
  return l.state === "catching-up" || l.ack === "downgraded" ? "warn" : "good";
}

function headway(h) {
  if (!h) return "-";
  if (h.remaining === 0) return "nothing";
  return "about " + plural(h.remaining, "record") + (h.left_ms >= 0 ? ", " + duration(h.left_ms) : "");
}

function showLink(l) {
  let card = cards.get(l.peer);
  if (!card) {
    card = { head: element("div", { class: "linkhead" }), reason: element("p", { class: "reason" }), facts: element("dl", { class: "facts" }), plot: element("div", { class: "plot" }) };
    byId("links").append(element("div", { class: "link" }, card.head, card.reason, card.facts, card.plot));
    cards.set(l.peer, card);
  }
  const arrow = l.outbound && l.inbound ? "\u2194 " : l.outbound ? "\u2192 " : "\u2190 ";
  replace(card.head, [element("h3", {}, arrow + l.peer), badge(l.state, linkKind(l)),
    l.ack === "downgraded" ? badge(l.left_out ? "left out by an operator" : "acks do not wait for it", "warn") : null,
    l.given_up ? badge("given up", "bad") : null,
    l.ack === "counting" ? button("single", [l.peer], "Leave out of acks\u2026", "Leave " + l.peer + " out of acks?",
      "For maintenance of " + l.peer + ". From now on a message is acknowledged once it is on one disk only, and publishers keep theirs. Acks wait for " + l.peer + " again when you say so, or when it has been stopped, is back, and has caught up.") : null,
    l.ack === "downgraded" && l.left_out ? button("count", [l.peer], "Count again\u2026", "Let acks wait for " + l.peer + " again?",
      "Acks wait for " + l.peer + " once it has caught up.") : null]);
  card.reason.textContent = l.reason || "";
  card.reason.hidden = !l.reason;
  const list = [
    l.outbound && ["oldest message waits", l.oldest_wait_ms ? duration(l.oldest_wait_ms) : "nothing waits"],
    l.outbound && ["not acknowledged", number(l.unacknowledged)],
    l.outbound && ["to send", headway(l.sending)], l.inbound && ["to come", headway(l.receiving)],
    l.outbound && ["sent", number(l.sent)], l.inbound && ["received", number(l.received)],
    ["state there", l.state_there || "not known"], ["last heard", l.heard_ms < 0 ? "-" : duration(l.heard_ms) + " ago"],
    l.downgrades ? ["downgrades", number(l.downgrades)] : null];
  card.facts.replaceChildren(...list.filter((f) => f).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  if (!lag.links.has(l.peer)) return;
  if (!card.u) card.u = newPlot(card.plot, l.peer);
  else card.u.setData(plotData(l.peer));
}

// resize fits the plots to the page, and gives them the colours of the scheme.
function resize(again) {
  for (const [peer, card] of cards) {
    if (!card.u) continue;
    if (again) {
      card.u.destroy();
      card.u = newPlot(card.plot, peer);
    } else card.u.setSize({ width: Math.max(card.plot.clientWidth, 240), height: 200 });
  }
}

// The summary: is all well, are messages on two disks, who waits for whom, may a peer stop.

// names joins names for a sentence.
const names = (list) => (list.length < 2 ? list.join("") : list.slice(0, -1).join(", ") + " and " + list.at(-1));
const plural = (n, noun) => number(n) + " " + noun + (Number(n) === 1 ? "" : "s");
const ago = (s, time) => duration(Date.parse(s.time) - Date.parse(time));

// since returns the time since which messages are on one disk only, empty if they are not.
function since(s) {
  const begins = s.degraded.filter((d) => !d.end).map((d) => d.begin).sort();
  return begins.length ? " Since " + clock(begins[0]) + " (" + ago(s, begins[0]) + ")" : " Now";
}

// disksAnswer says whether an acknowledged message is on two disks. It returns the kind and the text.
function disksAnswer(s) {
  const links = s.links.filter((l) => l.sync && l.outbound), peers = names(links.map((l) => l.peer));
  const late = links.filter((l) => l.ack === "downgraded"), behind = links.filter((l) => l.state !== "sync");
  switch (s.sync) {
    case "sync": return ["good", "Yes. Each acknowledged message is on the disks of " + names([s.name, ...links.map((l) => l.peer)]) + "."];
    case "apart": return ["warn", "Yes. New messages are acknowledged only when they are on the disk of " + names(behind.map((l) => l.peer)) + ", too."];
    case "single": return ["bad", "No." + since(s) + " messages are acknowledged without the disk of " + names(late.map((l) => l.peer)) + "." +
      " Publishers keep these messages until " + (late.length === 1 ? "it has" : "they have") + " them."];
    case "catching_up": return ["warn", "Not known: " + s.name + " lacks, or may lack, messages of its peers."];
    case "async": return ["", "Not always: no ack waits for another instance."];
    case "one_way": return ["bad", "No: a peer replicates to " + s.name + ", and " + s.name + " does not replicate back."];
    case "alone": return ["", "No: " + s.name + " runs without a peer. Its disk is the only one."];
    case "stopping": return ["warn", s.name + " is stopping. It waits for " + (peers || "its disk") + " before it ends."];
  }
  return ["warn", "Not known."];
}

// publishersOf names the clients with the most messages that wait.
function publishersOf(w) {
  const known = w.worst.filter((p) => p.unacknowledged > 0).map((p) => p.client || "publisher " + p.publisher).slice(0, 2);
  const more = w.publishers - known.length;
  return names(more > 0 ? [...known, plural(more, "other publisher")] : known);
}

// waitsAnswer says who waits for whom.
function waitsAnswer(s) {
  const w = s.waiting, late = s.links.filter((l) => l.ack === "downgraded"), text = [];
  const slow = s.links.filter((l) => l.ack === "counting" && l.oldest_wait_ms >= 1000);
  const some = plural(w.messages, "message") + (w.oldest_ms ? ", the oldest for " + duration(w.oldest_ms) : "");
  if (slow.length) text.push("Acks to " + publishersOf(w) + " wait for " + names(slow.map((l) => l.peer)) + ": " + some + ".");
  else if (late.length && w.messages) text.push("No ack waits, but " + publishersOf(w) + (w.publishers === 1 ? " keeps " : " keep ") + some + ", until " + names(late.map((l) => l.peer)) + (late.length === 1 ? " has" : " have") + " them.");
  for (const l of s.links) {
    if (l.state === "catching-up" && l.sending) text.push(l.peer + " waits for " + headway(l.sending) + " from " + s.name + ".");
    if (l.receiving && l.receiving.remaining > 1000) text.push(s.name + " waits for " + headway(l.receiving) + " from " + l.peer + ".");
  }
  const slowest = s.subscriptions.worst.filter((b) => b.behind_ms >= 1000);
  if (slowest.length) text.push("Subscriptions of " + names([...new Set(slowest.map((b) => b.client))].slice(0, 3)) + " are behind, the worst by " + duration(Math.max(...slowest.map((b) => b.behind_ms))) + ".");
  return [slow.length ? "bad" : text.length ? "warn" : "good", text.join(" ") || "Nobody for more than a second."];
}

// stopAnswer says whether the peers could be stopped now.
function stopAnswer(s) {
  if (!s.links.length) return null;
  return s.in_sync.in_sync ? ["good", "Yes. " + s.name + " has everything that the group has acknowledged."] : ["bad", "No: " + s.in_sync.reason + "."];
}

// Problems of a link, as calls of add(kind, ...text).
function linkProblems(s, l, add) {
  if (l.state === "down") add("bad", "The link with ", l.peer, " is down: ", l.reason);
  if (l.state === "catching-up") add("warn", l.peer, " is catching up.");
  if (l.ack === "downgraded") {
    add(l.left_out ? "warn" : "bad", "Acks do not wait for ", l.peer, l.left_out ? ": an operator has left it out." : ": it kept them waiting for longer than downgrade_after.");
  }
  if (l.one_way) add("bad", "The link with ", l.peer, " replicates synchronously in one direction only: correct replication.destinations.");
  if (l.rivals) add("bad", "Two processes run as ", l.peer, ": stop one of them.");
  if (l.other_cluster) add("bad", "An instance of another cluster answers as ", l.peer, ": correct the address.");
  if (l.given_up) add("bad", l.peer, " is given up: it will lack messages that retention removes.");
  if (l.clocks_disagree) add("warn", "The clock of ", l.peer, " differs by ", duration(Math.abs(l.clock_skew_ms)), ": set the wrong one.");
}

// Problems of the instance itself, as calls of add(kind, ...text).
function ownProblems(s, add) {
  if (s.stopping) add("warn", "The instance is stopping.");
  else if (!s.ready && !s.outdated) add("bad", "No clients are served: ", s.in_sync.reason || "the instance is not ready");
  else if (s.catching_up) add("warn", "The instance lacks, or may lack, messages of its peers.");
  if (s.outdated) add("bad", "No clients are served: ", s.outdated);
  if (s.damage) add("bad", "The journal is damaged: ", s.damage);
  else if (s.ready && !s.intact) add("bad", "The journal was lost, and is not restored by an intact peer yet.");
  if (s.disk.links_refused) add("bad", "The disk is nearly full: publishes and messages of peers are refused.");
  else if (s.disk.publishes_refused) add("bad", "The disk is nearly full: publishes are refused.");
  else if (s.disk.free < 2 * s.disk.reserve) add("warn", "The disk has ", bytes(s.disk.free), " free: below ", bytes(s.disk.reserve), " publishes are refused.");
  if (s.clock_ahead_ms) add("warn", "The newest message is ", duration(s.clock_ahead_ms), " in the future: the clock is or was wrong.");
  if (s.diverged_total) add("bad", plural(s.diverged_total, "publisher"), s.diverged_total === 1 ? " has" : " have", " diverged.");
  if (s.decree && s.decree.stands) add("warn", "A decree declares messages lost: end it when all publishers have returned.");
  if (s.users && s.users.differ && s.users.differ.length) add("bad", "Permissions of users differ from those of ", names(s.users.differ), ".");
  for (const c of s.certificates || []) {
    if (c.days_left < 14) add("bad", "The certificate of ", c.field, c.days_left < 0 ? " has expired." : " expires in " + plural(c.days_left, "day") + ".");
  }
  for (const r of s.refusing) add("bad", "Clients are refused: ", r);
}

// problems returns the problems as pairs of kind and text, the worst first.
function problems(s) {
  const list = [];
  const add = (kind, ...text) => list.push([kind, text.join("")]);
  ownProblems(s, add);
  for (const l of s.links) linkProblems(s, l, add);
  return list.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
}

const marks = { good: "\u2713", warn: "!", bad: "\u2717" }; // for those who cannot tell the colours

function showSummary(s) {
  const list = problems(s), worst = list.length ? list[0][0] : "good";
  showVerdict(worst, { good: "All is well", warn: s.name + " works, with a warning", bad: s.name + " needs attention" }[worst]);
  show("problems", ...list.map(([kind, text]) => element("li", { class: kind }, text)));
  const answers = [["On two disks?", disksAnswer(s)], ["Who waits?", waitsAnswer(s)], [s.links.length === 1 ? "May " + s.links[0].peer + " be stopped?" : "May the peers be stopped?", stopAnswer(s)]];
  show("answers", ...answers.filter(([, a]) => a).map(([question, [kind, text]]) => element("div", {}, element("dt", {}, question), element("dd", { class: kind + "mark" }, text))));
}

function showVerdict(kind, text) {
  byId("verdict").className = "verdict " + kind;
  byId("verdict").textContent = marks[kind] + " " + text;
}

function showStatus(s) {
  document.title = s.name + " - holdfast";
  byId("name").textContent = s.name;
  byId("group").textContent = s.group ? "group " + s.group : "";
  byId("clock").textContent = clock(s.time);
  showSummary(s);
  show("badges", badge(s.stopping ? "stopping" : s.ready ? "ready" : "not ready", s.ready && !s.stopping ? "good" : "bad"),
    badge({ sync: "acks: 2 disks", single: "acks: one disk" }[s.sync] || "acks: " + s.sync.replace("_", " "), s.sync === "sync" ? "good" : s.sync === "alone" || s.sync === "async" ? "" : "warn"));
  const used = s.disk.total ? Math.round(100 * (1 - s.disk.free / s.disk.total)) + " % used" : "";
  facts("facts", [
    ["role", s.role], ["version", s.version], ["running for", duration(Date.parse(s.time) - Date.parse(s.started))],
    ["clients", number(s.sessions.length) + (s.sessions_more ? "+" : "")], ["publishers", number(s.publishers)],
    ["published", number(s.published)], ["delivered", number(s.delivered)],
    ["messages that wait", number(s.waiting.messages) + (s.waiting.oldest_ms ? ", oldest " + duration(s.waiting.oldest_ms) : "")],
    ["journal", bytes(s.disk.journal)], ["disk free", bytes(s.disk.free) + (used ? ", " + used : ""), s.disk.publishes_refused ? "badtext" : ""],
    ["disk reserve", bytes(s.disk.reserve)],
  ]);
  show("own", button("drain", [], "Drain and stop\u2026", "Stop " + s.name + "?",
    s.name + " takes no more publishes, waits for outstanding acks, and ends. Clients continue at another instance. Somebody must start it again."),
  button("log-level", [], "Log level\u2026", "Set the level of the log", "Lines below the level are left out, until the instance restarts or reads its configuration file again."),
  offered.permitted ? null : element("span", { class: "dim" }, offered.reason || ""));
  byId("nolinks").hidden = s.links.length > 0;
  s.links.forEach(showLink);
  byId("clientcount").textContent = s.sessions_more ? "the first " + s.sessions.length : "";
  table("clients", s.sessions, [["client", (c) => c.name], ["user", (c) => c.user || ""], ["address", (c) => c.address], ["since", (c) => clock(c.since)],
    ["TLS", (c) => c.tls || "none"], ["publisher", (c) => (c.publisher && c.publisher !== "0" ? c.publisher : "")], ["subscriptions", (c) => number(c.subscriptions), true],
    ...(can("disconnect") ? [["", (c) => button("disconnect", [c.name], "Disconnect\u2026", "Disconnect " + c.name + "?", "Its session ends. The client may log on again.")]] : [])],
  "No client is logged on.");
  byId("degradedcount").textContent = s.degraded_total > s.degraded.length ? "the newest " + s.degraded.length + " of " + number(s.degraded_total) : "";
  table("degraded", s.degraded.slice().reverse(), [["without", (d) => d.destination], ["from", (d) => clock(d.begin)], ["to", (d) => (d.end ? clock(d.end) : badge("ongoing", "bad"))],
    ["for", (d) => duration(Date.parse(d.end || s.time) - Date.parse(d.begin)), true], ["publishers", (d) => number(d.publishers), true],
    ["ranges", (d) => (d.ranges || []).slice(0, 10).map((r) => r.publisher + ": " + r.from + "\u2013" + r.to).join(", ") + (d.publishers > 10 ? ", \u2026" : "")]],
  "Acks were never on one disk only.");
  table("events", s.events.slice().reverse(), [["time", (e) => clock(e.time)], ["subject", (e) => e.subject || ""], ["event", (e) => e.text + (e.count > 1 ? " (" + number(e.count) + " times)" : "")]],
    "Nothing has happened.");
}

function showPublishers(s, page) {
  const worst = s.waiting.worst, seen = new Set(worst.map((p) => p.publisher));
  const rows = worst.concat(page.publishers.filter((p) => !seen.has(p.publisher)));
  byId("publishercount").textContent = page.more ? "those that wait most, and some of " + number(s.publishers) : "";
  table("publishers", rows, [["publisher", (p) => p.publisher], ["client", (p) => p.client || ""], ["owner", (p) => p.owner || ""], ["have", (p) => number(p.have), true],
    ["safe", (p) => number(p.safe), true], ["settled", (p) => number(p.settled), true], ["waiting", (p) => number(p.unacknowledged), true],
    ["oldest waits", (p) => (p.oldest_wait_ms ? duration(p.oldest_wait_ms) : ""), true]], "No message was ever published.");
}

function showSubscriptions(s, page) {
  const key = (b) => b.client + "\n" + b.id, worst = s.subscriptions.worst, seen = new Set(worst.map(key));
  const rows = worst.concat(page.subscriptions.filter((b) => !seen.has(key(b))));
  const late = worst.filter((b) => b.behind_ms >= 1000).length; // the others read what has just come
  byId("subscriptioncount").textContent = late ? (late === worst.length ? "at least " : "") + number(late) + " of " + number(s.subscriptions.total) + " are behind by a second or more" : "";
  table("subscriptions", rows, [["client", (b) => b.client], ["topic", (b) => b.topic], ["state", (b) => badge(b.state.replace("_", " "), b.state === "live" ? "good" : "warn")],
    ["records behind", (b) => number(b.records_behind), true], ["for", (b) => (b.behind_ms ? duration(b.behind_ms) : ""), true], ["place", (b) => b.place || ""]],
  "No client subscribes.");
}

async function round() {
  const [status, history, publishers, subscriptions, list] = await Promise.all([ask("/status?limit=50"), ask("/lag?after=" + lag.number),
    ask("/status?list=publishers&limit=30"), ask("/status?list=subscriptions&limit=30"), ask("/actions")]);
  byId("access").hidden = true;
  byId("asking").hidden = true;
  byId("main").hidden = false;
  byId("forget").hidden = !token;
  byId("stale").hidden = true;
  byId("main").className = "";
  offered = list;
  addLag(history);
  showStatus(status);
  showPublishers(status, publishers);
  showSubscriptions(status, subscriptions);
}

async function run() {
  for (;;) {
    const begun = Date.now();
    try {
      await round();
    } catch (e) {
      if (e instanceof Unauthorized) return askToken();
      byId("stale").hidden = false;
      byId("stale").textContent = "The instance does not answer. What is shown is old. (" + e.message + ")";
      byId("main").className = "old";
      showVerdict("bad", "No answer: the state is not known");
    }
    await new Promise((done) => setTimeout(done, Math.max(100, begun + interval - Date.now())));
  }
}

function askToken() {
  byId("wrong").hidden = !token;
  byId("asking").hidden = true;
  byId("main").hidden = true;
  byId("access").hidden = false;
  byId("token").focus();
}

function enter() {
  token = byId("token").value.trim();
  byId("token").value = "";
  sessionStorage.setItem("holdfast token", token);
  run();
}

byId("enter").addEventListener("click", enter);
byId("token").addEventListener("keydown", (e) => { if (e.key === "Enter") enter(); });
byId("forget").addEventListener("click", () => { sessionStorage.removeItem("holdfast token"); location.reload(); });
byId("yes").addEventListener("click", act);
byId("no").addEventListener("click", () => byId("ask").close());
addEventListener("resize", () => resize(false));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => resize(true));
run();
