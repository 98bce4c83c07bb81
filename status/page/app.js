// The live page: takes a message per interval and shows it. Everything is put in as text, never as HTML.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const SPAN = 120; // seconds of the chart
  const GAP = 5; // seconds without a value that the line does not bridge
  const lost = 4000; // milliseconds without a message
  const POLL = 2000; // milliseconds between two questions to another pod
  const opened = new URLSearchParams(location.search).get("pod"); // the id of the pod that is shown, if it is another one

  const el = (tag, cls, text) => {
    const e = document.createElement(tag);
    if (cls) e.className = cls;
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const svg = (tag, attributes, text) => {
    const e = document.createElementNS(SVG, tag);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const put = (e, text) => { if (e.textContent !== text) e.textContent = text; };

  // Each state has a shape of its own, for those who do not see its colour.
  const shapes = {
    live: [["circle", { cx: 10, cy: 10, r: 9, fill: "currentColor" }], ["path", { d: "M5.8 10.4l2.9 2.9 5.6-6", fill: "none", stroke: "var(--card)", "stroke-width": 2.2, "stroke-linecap": "round", "stroke-linejoin": "round" }]],
    degraded: [["path", { d: "M10 1.6 19 17.6H1z", fill: "currentColor", "stroke-linejoin": "round" }], ["path", { d: "M10 7v5M10 14.2v1.4", stroke: "var(--card)", "stroke-width": 2, "stroke-linecap": "round" }]],
    stale: [["path", { d: "M10 .8 19.2 10 10 19.2.8 10z", fill: "currentColor" }], ["path", { d: "M10 5.6v5.2M10 13.6v.8", stroke: "var(--card)", "stroke-width": 2.2, "stroke-linecap": "round" }]],
    lost: [["rect", { x: 1, y: 1, width: 18, height: 18, rx: 4, fill: "none", stroke: "currentColor", "stroke-width": 2 }], ["path", { d: "M6.2 6.2l7.6 7.6M13.8 6.2l-7.6 7.6", stroke: "currentColor", "stroke-width": 2.4, "stroke-linecap": "round" }]],
    left: [["circle", { cx: 10, cy: 10, r: 8, fill: "none", stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": "3.2 3" }]],
    wait: [["circle", { cx: 10, cy: 10, r: 8, fill: "none", stroke: "currentColor", "stroke-width": 2 }]],
  };
  const mark = (into, name) => {
    if (into.dataset.shape === name) return;
    into.dataset.shape = name;
    const s = svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" });
    for (const [tag, a] of shapes[name]) s.append(svg(tag, a));
    into.replaceChildren(s);
  };
  const words = { live: "in sync", degraded: "degraded", stale: "stale", lost: "lost", replaced: "replaced", left: "ended" };
  const reasons = {
    start: "first reading after the start", epoch: "the log began anew: a crash, a failover or a restore", pruned: "away for longer than the log reaches back",
    rewound: "the database went back in time", "catch-up": "too many events missed", overflow: "a queue was full", panic: "a subscriber panicked", closed: "the bus has ended",
  };

  // A name in two halves, of which the first is cut where there is no room: names of one deployment differ at their end.
  const halves = (text) => {
    const at = Math.max(0, text.length - 10);
    return [el("span", "head", text.slice(0, at)), el("span", "tail", text.slice(at))];
  };

  const ending = (text) => text.length > 16 ? "…" + text.slice(-12) : text;

  // Numbers, always with their unit.
  const digits = (n) => n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2);
  const duration = (s) => {
    if (s < 0.001) return [(s * 1e6).toFixed(0), "µs"];
    if (s < 1) return [digits(s * 1000), "ms"];
    if (s < 60) return [digits(s), "s"];
    if (s < 3600) return [(s / 60).toFixed(0), "min"];
    if (s < 172800) return [(s / 3600).toFixed(0), "h"];
    return [(s / 86400).toFixed(0), "d"];
  };
  const span = (s) => duration(s).join(" ");
  const age = (s) => s < 0.95 ? "under 1 s" : s < 60 ? s.toFixed(0) + " s" : span(s);
  const count = (n) => Math.abs(n) < 100000 ? n.toLocaleString("en") : n.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
  const percent = (r, d = 1) => (r * 100).toFixed(r === 1 ? 0 : d) + " %";
  const perSecond = (n) => (n === 0 ? "0" : n < 10 ? n.toFixed(1) : count(Math.round(n)));
  const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

  const tile = (id, [value, unit], more, tone) => {
    const dd = $("tile-" + id);
    const text = value + unit;
    if (dd.dataset.text !== text) {
      dd.dataset.text = text;
      dd.replaceChildren(document.createTextNode(value), ...(unit ? [el("span", "unit", unit)] : []));
    }
    put($(`tile-${id}-more`), more);
    dd.parentElement.dataset.tone = tone || "";
  };

  // Keeps one element per key, in the order of the items.
  const keyed = (parent, items, key, make, fill) => {
    const old = parent.kept || new Map();
    const kept = new Map();
    let at = parent.firstElementChild;
    for (const item of items) {
      const k = key(item);
      const e = old.get(k) || make(item);
      kept.set(k, e);
      fill(e, item);
      if (e === at) at = at.nextElementSibling; else parent.insertBefore(e, at);
    }
    for (const [k, e] of old) if (!kept.has(k)) e.remove();
    parent.kept = kept;
  };

  // A lost pod whose place was taken is no emergency any more.
  const condition = (p) => p.condition === "lost" && p.replaced_by ? "replaced" : p.condition;
  const rank = { lost: 0, stale: 1, degraded: 2, live: 3, replaced: 4, left: 5 };

  // What the bus of this pod does, in words that mean one thing only.
  const doing = {
    starting: "looks for the database", "catching-up": "catches up", live: "hears notifications", polling: "reads the log instead of hearing notifications",
    stale: "has no proof of being in sync", closed: "has ended",
  };

  // The server decides on the sentence and the colour: see Verdict.
  function verdict(u) {
    const v = u.verdict, box = $("verdict");
    box.dataset.tone = v.tone;
    mark($("verdict-mark"), { ok: "live", warn: "degraded", bad: "lost" }[v.tone]);
    put($("verdict-text"), v.text);
    const more = [...v.details, `this pod's bus ${doing[u.bus.state] || u.bus.state}`];
    if (u.bus.epoch) more.push("epoch " + u.bus.epoch.slice(0, 8));
    put($("verdict-more"), more.join(" · "));
    const title = (v.tone === "ok" ? "" : "(!) ") + v.text + " · pgcoherence";
    if (document.title !== title) document.title = title;
  }

  function tiles(u) {
    const b = u.bus;
    if (b.fresh_age_seconds === null) tile("fresh", ["never", ""], "nothing is proven yet", "bad");
    else tile("fresh", [b.fresh_age_seconds < 60 ? b.fresh_age_seconds.toFixed(1) : digits(b.fresh_age_seconds), "s ago"], b.fresh ? "caches are trusted" : "caches are not trusted", b.fresh ? "" : "bad");
    const l = u.lag_minute;
    if (l.count) tile("lag", duration(l.p99_seconds), `median ${span(l.p50_seconds)}, last minute`, b.stale_after_seconds && l.p99_seconds > b.stale_after_seconds ? "bad" : l.p99_seconds > 1 ? "warn" : "");
    else tile("lag", ["–", ""], "nothing in the last minute");
    tile("events", [perSecond(Object.values(u.topic_events_per_second).reduce((a, n) => a + n, 0)), "/s"], `${count(b.published)} sent, ${count(b.received + b.caught_up)} received`);
    const q = b.queue_usage_ratio;
    tile("queue", [q === 0 ? "0" : q < 0.0001 ? "< 0.01" : (q * 100).toFixed(2), "%"], b.announce_pending ? `${count(b.announce_pending)} events to announce` : "nothing waits to be announced", q > 0.5 ? "bad" : q > 0.1 ? "warn" : "");
    const newest = b.last_resets[0];
    tile("resets", [count(b.resets), ""], (newest ? `last: ${newest.reason}, ` : "") + plural(b.reconnects, "reconnect", "reconnects"));
  }

  function pods(u) {
    const list = u.pods.slice().sort((a, b) => rank[condition(a)] - rank[condition(b)] || (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1));
    const n = (...of) => list.filter((p) => of.includes(condition(p))).length;
    const tally = [[n("live", "degraded", "stale"), "running"], [n("lost"), "lost"], [n("stale"), "stale"], [n("degraded"), "degraded"], [n("replaced"), "replaced"]];
    $("pods-empty").hidden = list.length > 0;
    put($("pods-empty"), u.pods_error ? "The list of pods could not be read yet." : "One process, without other pods.");
    put($("pods-count"), u.pods_error ? (list.length ? "as last read" : "") : tally.filter(([k], i) => k || !i).map((t) => t.join(" ")).join(", "));
    const mixed = new Set(list.filter((p) => !["left", "lost", "replaced"].includes(condition(p))).map((p) => p.version)).size > 1;
    keyed($("pods"), list, (p) => p.id, () => {
      const li = el("li", "pod");
      li.append(el("span", "mark"), el("span", "pod-name"), el("span", "pod-state"), el("span", "pod-facts"));
      return li;
    }, (li, p) => {
      const [m, name, state, facts] = li.children;
      const how = condition(p);
      li.dataset.condition = how;
      li.dataset.name = p.name;
      mark(m, how === "replaced" ? "left" : how);
      const label = p.name + (p.self ? " (this pod)" : "");
      if (name.dataset.text !== label) {
        name.dataset.text = label;
        const to = el("a", "open");
        to.href = p.self ? "./" : "?pod=" + encodeURIComponent(p.id);
        to.append(...halves(p.name));
        name.replaceChildren(to, ...(p.self && !opened ? [el("span", "tag", "this pod")] : []));
        name.title = p.name + " " + p.id;
      }
      put(state, how === "degraded" && p.state !== "live" ? p.state : words[how]);
      const ago = p.beat_age_seconds < 0.95 ? "<1 s" : age(p.beat_age_seconds);
      const up = age((Date.parse(u.at) - Date.parse(p.started)) / 1000);
      const late = p.behind > 0 && (how === "degraded" || how === "stale");
      const parts = [late ? `beat ${ago}` : { lost: `last beat ${ago} ago`, replaced: `last beat ${ago} ago`, left: `ended ${ago} ago` }[how] || `beat ${ago} ago`];
      if (late) parts.push(count(p.behind) + " tx behind");
      else if (how === "replaced") parts.unshift(`${ending(p.replaced_by)} took its place`);
      else if (how !== "lost" && how !== "left") parts.push("up " + up);
      if (p.version && mixed) parts.push(p.version); // only where they differ: a rollout
      put(facts, parts.join(" · "));
      facts.title = parts.join(" · ");
    });
  }

  // What the chart can show. Delays have a logarithmic scale: one of two milliseconds and one of two seconds both matter.
  const log = (low, high) => { const most = Math.max(high, low * 1000), f = (v) => Math.log(Math.max(v, low) / low) / Math.log(most / low); const marks = []; for (let v = low; v <= most * 1.001; v *= 10) marks.push(v); return { f, marks }; };
  const linear = (high) => { const step = 10 ** Math.floor(Math.log10(high)), n = high / step; const by = step * (n > 5 ? 2 : n > 2 ? 1 : 0.5), most = Math.ceil(high / by) * by; const marks = []; for (let v = 0; v <= most * 1.001; v += by) marks.push(v); return { f: (v) => v / most, marks }; };
  const short = (v) => v < 0.00099 ? Math.round(v * 1e6) + " µs" : v < 0.999 ? Math.round(v * 1000) + " ms" : Math.round(v) + " s";
  const series = {
    delay: {
      title: "Delay from commit to applied", main: (s) => s.p99_seconds, second: (s) => s.p50_seconds, legend: ["99th percentile", "median"],
      scale: (most) => log(0.0001, Math.max(0.1, most * 1.3)), label: short, none: "no events of other pods",
      text: (s) => `p99 ${span(s.p99_seconds)}, median ${span(s.p50_seconds)}`,
    },
    events: {
      title: "Events delivered", main: (s) => s.events_per_second, legend: ["per second"], scale: (most) => linear(Math.max(1, most)), label: (v) => perSecond(v), none: "nothing is known",
      text: (s) => `${perSecond(s.events_per_second)} events /s`,
    },
    hits: {
      title: "Hit ratio of all caches", main: (s) => s.hit_ratio, legend: ["hit ratio"], scale: () => linear(1), label: (v) => Math.round(v * 100) + " %", none: "no reads",
      text: (s) => `hit ratio ${percent(s.hit_ratio)}`,
    },
    fresh: {
      title: "Age of the oldest proof of being in sync", main: (s) => s.fresh_age_seconds, legend: ["seconds"], scale: (most) => linear(Math.max(1, most)), label: (v) => v.toFixed(v < 10 ? 1 : 0) + " s", none: "nothing was proven",
      text: (s) => `proof ${s.fresh_age_seconds.toFixed(1)} s old`,
    },
    resets: {
      title: "Resets", main: (s) => s.resets, legend: ["resets"], scale: (most) => linear(Math.max(2, most)), label: (v) => String(Math.round(v * 10) / 10), none: "nothing is known",
      text: (s) => plural(s.resets, "reset", "resets"),
    },
  };
  // How far back it goes: seconds in all, seconds of a step, and the words below.
  const spans = { live: [120, 1, ["2 min ago", "1 min", "now"]], hour: [3600, 10, ["1 h ago", "30 min", "now"]], day: [86400, 120, ["24 h ago", "12 h", "now"]] };

  const H = 142, LEFT = 52, RIGHT = 6, TOP = 8, BOTTOM = 20;
  let line = [], past = { hour: [], day: [] }, drawn = 0;
  let what = "delay", back = "live";
  let pointer = null; // where the pointer is on the chart
  function chart(now) {
    drawn = now;
    const c = $("chart"), show = series[what], [seconds, step, words] = spans[back];
    const W = Math.max(240, c.clientWidth); // a unit is a pixel, so that words keep their size
    c.setAttribute("viewBox", `0 0 ${W} ${H}`);
    line = line.filter((s) => Date.parse(s.at) > now - (SPAN + 2) * 1000);
    const from = now - seconds * 1000;
    const seen = (back === "live" ? line : past[back]).filter((s) => { const v = show.main(s); return v !== null && v !== undefined && Date.parse(s.at) >= from; });
    const scale = show.scale(Math.max(0, ...seen.map(show.main)));
    const x = (s) => LEFT + (W - LEFT - RIGHT) * Math.max(0, (Date.parse(s.at) - from) / (seconds * 1000));
    const y = (v) => H - BOTTOM - (H - TOP - BOTTOM) * scale.f(v);
    const parts = [];
    for (const v of scale.marks) {
      parts.push(svg("line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: y(v), y2: y(v) }));
      parts.push(svg("text", { x: LEFT - 7, y: y(v) + 4, "text-anchor": "end" }, show.label(v)));
    }
    for (const [at, anchor, i] of [[0, "start", 0], [0.5, "middle", 1], [1, "end", 2]]) {
      parts.push(svg("text", { x: LEFT + (W - LEFT - RIGHT) * at, y: H - 4, "text-anchor": anchor }, words[i]));
    }
    // Where nothing arrived for a while there is no line: nothing is known of that time.
    const gap = Math.max(GAP, 2.5 * step) * 1000;
    const runs = [];
    for (const s of seen) {
      const run = runs[runs.length - 1];
      if (run && Date.parse(s.at) - Date.parse(run[run.length - 1].at) <= gap) run.push(s); else runs.push([s]);
    }
    for (const run of runs) {
      const path = (of) => run.map((s, i) => (i ? "L" : "M") + x(s).toFixed(1) + " " + y(of(s)).toFixed(1)).join("");
      if (run.length === 1) { parts.push(svg("circle", { class: "lone", cx: x(run[0]), cy: y(show.main(run[0])), r: 2 })); continue; }
      parts.push(svg("path", { class: "area", d: path(show.main) + `L${x(run[run.length - 1]).toFixed(1)} ${H - BOTTOM}L${x(run[0]).toFixed(1)} ${H - BOTTOM}Z` }));
      if (show.second) parts.push(svg("path", { class: "p50", d: path(show.second) }));
      parts.push(svg("path", { class: "p99", d: path(show.main) }));
    }
    if (seen.length) {
      const last = seen[seen.length - 1];
      parts.push(svg("circle", { class: "point", cx: x(last), cy: y(show.main(last)), r: 3.5 }));
      c.setAttribute("aria-label", `${show.title}. Newest: ${show.text(last)}; ${plural(seen.length, "point", "points")} since ${words[0]}`);
    } else {
      parts.push(svg("text", { x: (LEFT + W) / 2, y: H / 2, "text-anchor": "middle" }, show.none + " since " + words[0]));
      c.setAttribute("aria-label", show.title + ": " + show.none);
    }
    if (pointer !== null && seen.length) {
      const s = seen.reduce((a, b) => Math.abs(x(b) - pointer) < Math.abs(x(a) - pointer) ? b : a);
      const when = back === "day" ? new Date(s.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : age(Math.max(0, (now - Date.parse(s.at)) / 1000)) + " ago";
      parts.push(svg("line", { class: "cursor", x1: x(s), x2: x(s), y1: TOP, y2: H - BOTTOM }));
      parts.push(svg("circle", { class: "point", cx: x(s), cy: y(show.main(s)), r: 3.5 }));
      parts.push(svg("text", { class: "reading", x: x(s) < W / 2 ? x(s) + 8 : x(s) - 8, y: TOP + 9, "text-anchor": x(s) < W / 2 ? "start" : "end" }, when + ": " + show.text(s)));
    }
    c.replaceChildren(...parts);
  }

  // The choice of what the chart shows.
  let historyAt = 0;
  async function fetchHistory() {
    historyAt = Date.now();
    try {
      const answer = await fetch(opened ? `pods/${encodeURIComponent(opened)}/history` : "history");
      if (!answer.ok) return;
      const got = await answer.json();
      past = (opened ? got.history : got) || past;
      if (drawn) chart(drawn);
    } catch { /* the next time */ }
  }
  function choose() {
    what = $("chart-what").value;
    back = $("chart-back").value;
    const legend = series[what].legend;
    put($("legend-main"), legend[0]);
    $("legend-second").hidden = legend.length < 2;
    if (back !== "live") fetchHistory();
    if (drawn) chart(drawn);
  }

  const bar = () => { const b = el("span", "bar"); b.setAttribute("aria-hidden", "true"); b.append(el("i")); return b; };
  const fillBar = (b, part) => { b.firstElementChild.style.width = Math.max(0, Math.min(1, part)) * 100 + "%"; };

  function caches(u) {
    const names = Object.keys(u.caches).sort();
    $("caches-empty").hidden = names.length > 0;
    $("caches").parentElement.hidden = names.length === 0;
    keyed($("caches"), names, (n) => n, (n) => {
      const tr = el("tr");
      const head = el("td", "cache-name"), ratio = el("td"), box = el("div", "ratio");
      const box0 = el("div", "name-box");
      box0.append(...halves(n));
      head.append(box0);
      head.title = n;
      box.append(bar(), el("b"));
      ratio.append(box);
      const tier = el("td"), state = el("span", "state");
      state.append(el("span", "mark"), el("span"));
      tier.append(state);
      tr.append(head, ratio, el("td", "num"), el("td", "num"), tier);
      return tr;
    }, (tr, n) => {
      const c = u.caches[n], now = u.cache_hit_ratio_now[n];
      const [, ratio, reads, entries, tier] = tr.children;
      const value = now === undefined ? null : now;
      fillBar(ratio.querySelector(".bar"), value || 0);
      put(ratio.querySelector("b"), value === null ? "–" : percent(value));
      ratio.title = c.hit_ratio === null ? "no reads yet" : `${percent(c.hit_ratio, 2)} since the start`;
      put(reads, perSecond(u.cache_reads_per_second[n] || 0) + " /s");
      put(entries, count(c.local_size));
      const state = tier.firstElementChild, [m, text] = state.children;
      if (c.type === "local") { state.dataset.tone = "none"; m.replaceChildren(); delete m.dataset.shape; put(text, "none"); return; }
      state.dataset.tone = c.redis_available ? "ok" : "bad";
      mark(m, c.redis_available ? "live" : "lost");
      tier.title = c.redis_available ? "answers a ping" : "does not answer a ping: reads go past it";
      put(text, c.redis_available ? (c.tier_ping_ms === undefined ? "answers" : (c.tier_ping_ms < 0.1 ? "< 0.1" : digits(c.tier_ping_ms)) + " ms") : "away");
    });
  }

  function topics(u) {
    const list = u.bus.topics;
    const rates = u.topic_events_per_second;
    const most = Math.max(1, ...Object.values(rates));
    $("topics-empty").hidden = list.length > 0;
    keyed($("topics"), list, (t) => t.topic, (t) => {
      const li = el("li");
      const name = el("span", "name name-box");
      name.append(...halves(t.topic));
      name.title = t.topic;
      li.append(name, bar(), el("span", "value"));
      return li;
    }, (li, t) => {
      fillBar(li.children[1], (rates[t.topic] || 0) / most);
      put(li.children[2], perSecond(rates[t.topic] || 0) + " /s" + (t.queued ? `, ${count(t.queued)} wait` : ""));
    });
  }

  function facts(u) {
    const all = [];
    if (u.locks) {
      all.push(["Locks held", count(u.locks.held)], ["Lock waiters", count(u.locks.waiting)]);
      if (u.locks.held_shared) all.push(["Locks shared", count(u.locks.held_shared)]);
      if (u.locks.held_places) all.push(["Semaphore places", count(u.locks.held_places)]);
      if (u.locks.taken_over) all.push(["Locks taken over", count(u.locks.taken_over)]);
      if (u.locks.sessions_lost) all.push(["Lock sessions lost", count(u.locks.sessions_lost)]);
      if (u.locks.heartbeats_failed) all.push(["Renewals failed", count(u.locks.heartbeats_failed)]);
      if (u.locks.guards_refused) all.push(["Guards refused", count(u.locks.guards_refused)]);
    }
    for (const s of u.sessions || []) {
      const of = u.sessions.length > 1 ? ` (${s.topic})` : "";
      if (s.active !== null) all.push(["All sessions" + of, count(s.active)]);
      all.push(["Held here" + of, count(s.held)], ["Begun" + of, count(s.created)], ["Revoked" + of, count(s.revoked)], ["Streams" + of, count(s.streams)]);
    }
    $("facts").parentElement.hidden = !all.length; // an application may use neither
    keyed($("facts"), all, (f) => f[0], (f) => { const d = el("div"); d.append(el("dt", "", f[0]), el("dd")); return d; }, (d, f) => put(d.lastElementChild, f[1]));
  }

  function resets(u) {
    const list = u.bus.last_resets.slice(0, 5);
    $("resets-empty").hidden = list.length > 0;
    keyed($("resets"), list, (r) => r.at + r.reason, (r) => {
      const li = el("li"), t = el("time");
      t.dateTime = r.at;
      li.append(t, el("b", "", r.reason), el("span", "", reasons[r.reason] || ""));
      return li;
    }, (li, r) => put(li.firstElementChild, age((Date.parse(u.at) - Date.parse(r.at)) / 1000) + " ago"));
  }

  function link(state, text) {
    $("link").dataset.link = state;
    put($("link-text"), text);
    document.body.dataset.old = state === "lost" ? "true" : "false";
  }

  function header(text) {
    const name = $("pod-name");
    if (name.textContent !== text) name.replaceChildren(...halves(text));
    name.title = text;
  }

  let heard = 0, answered = 0;
  function show(u) {
    heard = answered = Date.now();
    link("live", "updating");
    header(u.pod_name);
    put($("pod-version"), u.version || "");
    verdict(u);
    tiles(u);
    pods(u);
    if (!line.length || u.sample.at > line[line.length - 1].at) line.push(u.sample);
    if (back !== "live" && Date.now() - historyAt > 10000) fetchHistory();
    chart(Date.parse(u.at));
    caches(u);
    topics(u);
    facts(u);
    resets(u);
    put($("foot"), `up ${age(u.uptime_seconds)} · ${u.ready} · pod ${u.pod_id.slice(0, 8)}`);
    document.body.dataset.shown = String(Number(document.body.dataset.shown || 0) + 1);
  }

  new ResizeObserver(() => { if (drawn) chart(drawn); }).observe($("chart"));
  $("chart").addEventListener("pointermove", (e) => { pointer = e.clientX - $("chart").getBoundingClientRect().left; if (drawn) chart(drawn); });
  $("chart").addEventListener("pointerleave", () => { pointer = null; if (drawn) chart(drawn); });

  // Another pod is asked again and again, by way of this one.
  async function poll() {
    try {
      const answer = await fetch("pods/" + encodeURIComponent(opened));
      if (answer.status === 401 || answer.status === 403) { location.reload(); return; }
      const got = await answer.json();
      if (got.replied) show(got.update); else silent(got);
    } catch { /* the pod that shows this page is away: the clock below says so */ }
    setTimeout(poll, POLL);
  }

  // A pod that does not reply: what is known of it is said, and what it said last stays below.
  function silent(got) {
    answered = Date.now();
    link("wait", "no reply");
    $("verdict").dataset.tone = "gone";
    mark($("verdict-mark"), "lost");
    put($("verdict-text"), got.text || "No reply");
    put($("verdict-more"), heard ? `what is below is as of ${new Date(heard).toLocaleTimeString()}` : "nothing more is known");
    document.title = "(!) no reply · pgcoherence";
    if (got.pod) { header(got.pod.name); pods({ pods: [got.pod], at: new Date().toISOString() }); }
    document.body.dataset.old = "true";
  }

  let source;
  function open() {
    source = new EventSource("events");
    source.addEventListener("history", (e) => { line = JSON.parse(e.data) || []; });
    source.addEventListener("status", (e) => show(JSON.parse(e.data)));
    source.addEventListener("error", () => {
      // A browser does not try again after a status that is not 200: too many watch, the pod is starting, or the login is over.
      if (source.readyState === EventSource.CLOSED) setTimeout(again, 3000);
    });
  }
  async function again() {
    const stop = new AbortController();
    try {
      // The same address as the stream's: only it knows why the stream is refused.
      const { status } = await fetch("events", { signal: stop.signal });
      if (status === 401 || status === 403) { location.reload(); return; }
      if (status === 429) {
        link("wait", "too many people watch this pod; trying again");
        if (!heard) put($("verdict-text"), "Too many people watch this pod");
      }
    } catch { /* the pod is away */ }
    stop.abort();
    open();
  }
  setInterval(() => {
    const since = Math.max(heard, answered), patience = lost + (opened ? POLL + 3000 : 0);
    if (!since || Date.now() - since <= patience) return;
    link("lost", `no news for ${age((Date.now() - since) / 1000)}`);
    if ($("verdict").dataset.tone === "gone") return;
    $("verdict").dataset.tone = "gone";
    mark($("verdict-mark"), "lost");
    put($("verdict-text"), opened ? "No news from the pod that shows this page" : `No news from ${$("pod-name").textContent}, the pod that shows this page`);
    put($("verdict-more"), `what is below is as of ${new Date(heard).toLocaleTimeString()} · any other pod shows the cluster as it is now`);
    document.title = "(!) no news · pgcoherence";
    if (opened) document.body.dataset.old = "true";
  }, 500);
  $("chart-what").addEventListener("change", choose);
  $("chart-back").addEventListener("change", choose);
  choose();
  if (opened) {
    document.body.dataset.opened = "true";
    header(opened.slice(0, 8));
    poll();
  } else open();
})();
