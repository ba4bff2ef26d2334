"use strict";

const $ = (id) => document.getElementById(id);
const store = window.sessionStorage;
let session = JSON.parse(store.getItem("session") || "null");
let nextTasks = null;
let events = null;
let operationsTimer = null;

function say(text, bad = false) {
  $("message").textContent = text;
  $("message").className = bad ? "bad" : "";
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function call(method, path, body, headers = {}) {
  const response = await fetch(path, {
    method,
    headers: {
      ...(session ? { authorization: `Bearer ${session.token}` } : {}),
      ...(body ? { "content-type": "application/json" } : {}),
      ...headers,
    },
    body: body ? JSON.stringify(body) : undefined,
  });
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (response.ok) return answer;
  if (response.status === 401 && session) signOut();
  const problem = answer || {};
  throw new Error(problem.detail || problem.title || `the server answered ${response.status}`);
}

// Runs an action and shows its error to the person instead of losing it.
async function attempt(action) {
  try {
    say("");
    await action();
  } catch (error) {
    say(error.message, true);
  }
}

function show(name) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const chosen = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  clearInterval(operationsTimer);
  if (name === "operations") {
    attempt(loadOperations);
    operationsTimer = setInterval(() => loadOperations().catch(() => {}), 1000);
  }
  if (name === "notifications") attempt(loadNotifications);
}

async function signedIn() {
  $("sign-in").hidden = true;
  $("tabs").hidden = false;
  $("account").hidden = false;
  $("who").textContent = session.user.name;
  $("tab-operations").hidden = session.user.role !== "operator";
  show("tasks");
  await Promise.all([loadTasks(), loadNotifications()]);
  listen();
}

function signOut() {
  session = null;
  store.removeItem("session");
  clearInterval(operationsTimer);
  if (events) events.abort();
  for (const id of ["tasks", "notifications", "operations", "tabs", "account"]) $(id).hidden = true;
  $("sign-in").hidden = false;
}

async function loadTasks(after) {
  const page = await call("GET", "/api/tasks" + (after ? `?after=${encodeURIComponent(after)}` : ""));
  const items = page.items.map(taskItem);
  if (after) $("task-list").append(...items);
  else $("task-list").replaceChildren(...items);
  nextTasks = page.next || null;
  $("more-tasks").hidden = !nextTasks;
  $("no-tasks").hidden = $("task-list").children.length > 0;
}

function taskItem(task) {
  const done = element("input", { type: "checkbox", checked: task.completed, disabled: task.completed });
  done.setAttribute("aria-label", `Complete ${task.title}`);
  done.addEventListener("change", () => attempt(async () => {
    try {
      await call("POST", `/api/tasks/${task.id}/complete`);
    } finally {
      await loadTasks();
    }
  }));
  const remove = element("button", { className: "quiet", textContent: "Delete" });
  remove.setAttribute("aria-label", `Delete ${task.title}`);
  remove.addEventListener("click", () => attempt(async () => {
    await call("DELETE", `/api/tasks/${task.id}`);
    await loadTasks();
  }));
  const item = element("li", { className: task.completed ? "done" : "" },
    done, element("span", { className: "text", textContent: task.title }), remove);
  item.dataset.task = task.id;
  return item;
}

async function loadNotifications() {
  const page = await call("GET", "/api/notifications");
  $("notification-list").replaceChildren(...page.items.map(notificationItem));
  $("no-notifications").hidden = page.items.length > 0;
  const unread = page.items.filter((item) => !item.read).length;
  $("unread").textContent = unread;
  $("unread").hidden = unread === 0;
}

function notificationItem(notification) {
  const text = element("span", { className: "text", textContent: notification.text },
    element("small", { textContent: `${new Date(notification.created_at).toLocaleString()} trace ${notification.trace_id || "none"}` }));
  const item = element("li", { className: notification.read ? "" : "unread" }, text);
  item.dataset.task = notification.task;
  if (!notification.read) {
    const seen = element("button", { className: "quiet", textContent: "Seen" });
    seen.addEventListener("click", () => attempt(async () => {
      await call("POST", `/api/notifications/${notification.id}/read`);
      await loadNotifications();
    }));
    item.append(seen);
  }
  return item;
}

// Server-sent events over fetch, since EventSource cannot carry the token.
async function listen() {
  if (events) events.abort();
  events = new AbortController();
  const { signal } = events;
  while (session && !signal.aborted) {
    try {
      const response = await fetch("/api/events", {
        headers: { authorization: `Bearer ${session.token}`, accept: "text/event-stream" },
        signal,
      });
      if (response.status === 401) return;
      if (response.ok) {
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        await loadNotifications();
        let buffer = "";
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          buffer += value;
          const parts = buffer.split("\n\n");
          buffer = parts.pop();
          for (const part of parts) await received(part);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
    }
    await new Promise((wake) => setTimeout(wake, 1000 + Math.random() * 1000));
  }
}

async function received(part) {
  const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
  if (!data) return;
  const event = JSON.parse(data);
  say(event.text);
  await loadNotifications();
}

function row(cells) {
  return element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));
}

function fill(table, rows) {
  $(table).querySelector("tbody").replaceChildren(...rows);
}

function stateCell(state) {
  return element("span", { className: state, textContent: state });
}

async function loadOperations() {
  const view = await call("GET", "/api/ops");
  fill("breakers", view.breakers.map((breaker) => {
    const failed = breaker.calls ? `${breaker.failures} of ${breaker.calls} (${Math.round(100 * breaker.failure_rate)} %)` : "";
    const retries = breaker.over_budget ? `${breaker.retries}, ${breaker.over_budget} over budget` : String(breaker.retries);
    const made = row([breaker.name, stateCell(breaker.state), failed, breaker.reason || "", String(breaker.rejected), retries, `${breaker.running} of ${breaker.places}`]);
    made.dataset.breaker = breaker.name;
    made.dataset.state = breaker.state;
    return made;
  }));
  $("broker").textContent = view.broker;
  fill("outboxes", view.outboxes.map((outbox) => outbox.error
    ? row([outbox.service, stateCell("failed"), outbox.error, "", ""])
    : row([outbox.service, String(outbox.pending), outbox.oldest_ms == null ? "" : `${outbox.oldest_ms} ms`, String(outbox.parked), outbox.owner || "none"])));
  fill("dead-letters", view.dead_letters.map(letterRow));
  $("no-letters").hidden = view.dead_letters.length > 0;
  fill("instances", view.instances.map((instance) => row([instance.service, instance.address, instance.id])));
  $("faults").hidden = !view.demo;
}

function letterRow(letter) {
  const actions = element("div", { className: "row" });
  if (letter.state === "open") {
    for (const [verb, label] of [["redrive", "Redrive"], ["discard", "Discard"]]) {
      const button = element("button", { className: verb === "redrive" ? "" : "quiet", textContent: label });
      button.addEventListener("click", () => attempt(async () => {
        await call("POST", `/api/ops/dead-letters/${letter.id}/${verb}`);
        await loadOperations();
      }));
      actions.append(button);
    }
  }
  const made = row([`${letter.event || "unreadable"} ${letter.topic}/${letter.partition}@${letter.offset}`,
    `${letter.kind}: ${letter.message}`, String(letter.failures), stateCell(letter.state), actions]);
  made.dataset.letter = letter.id;
  made.dataset.state = letter.state;
  return made;
}

async function applyFaults(refuse, delay, noMail) {
  await call("POST", "/api/ops/faults", { refuse: refuse || null, delay_ms: Number(delay) || 0, no_mail: noMail });
  say(refuse || Number(delay) || noMail ? "Broken." : "Mended.");
}

$("credentials").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const verb = event.submitter ? event.submitter.value : "login";
  attempt(async () => {
    session = await call("POST", `/api/users/${verb}`, { email: form.get("email"), password: form.get("password") });
    store.setItem("session", JSON.stringify(session));
    event.target.reset();
    await signedIn();
  });
});

$("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const title = new FormData(event.target).get("title");
  // One key per press: a retry of the same press makes one task.
  const key = crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}`;
  attempt(async () => {
    await call("POST", "/api/tasks", { title }, { "idempotency-key": key });
    event.target.reset();
    await loadTasks();
  });
});

$("fault-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  attempt(() => applyFaults(form.get("refuse"), form.get("delay"), form.has("no_mail")));
});

$("mend").addEventListener("click", () => attempt(async () => {
  $("fault-form").reset();
  await applyFaults("", 0, false);
}));

$("more-tasks").addEventListener("click", () => attempt(() => loadTasks(nextTasks)));
$("sign-out").addEventListener("click", signOut);

for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => show(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const tabs = [...document.querySelectorAll("[role=tab]:not([hidden])")];
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    next.focus();
    show(next.getAttribute("aria-controls"));
  });
}

// Shown only now: a form without its script would send the password in the address.
if (session) attempt(signedIn);
else $("sign-in").hidden = false;
