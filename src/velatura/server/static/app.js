// What the pages need beyond HTML: dropping pictures, the preview's frame, the lens, live news. All of it through /api.

const $ = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const SILENT = "No answer from Velatura: it was ended, or is out of reach.";

/* What an answer says went wrong. */
function said(text, status) {
  let detail;
  try { ({ detail } = JSON.parse(text)); } catch { /* a page: a proxy's, say */ }
  if (Array.isArray(detail)) detail = detail.map((d) => `${d.loc.slice(1).join(" ")}: ${d.msg}`).join("; ");
  return detail || `The server answered ${status}.`;
}

async function api(path, options = {}) {
  const answer = await fetch(`/api${path}`, options).catch(() => { throw new Error(SILENT); });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw Object.assign(new Error(said(await answer.text(), answer.status)), { status: answer.status });
}

const post = (path, tree, headers = {}) =>
  api(path, { method: "POST", body: JSON.stringify(tree), headers: { "Content-Type": "application/json", ...headers } });

/* ---- Notices: what is wrong with the news, a list or a button, until that is right again ---- */

function notice(kind, text) {
  const place = $("[data-notices]");
  let line = $(`[data-kind=${kind}]`, place);
  if ((line?.textContent ?? "") === text) return;
  if (!text) return line.remove();
  if (!line) {
    line = document.createElement("p");
    line.className = "note";
    line.dataset.kind = kind;
    place.append(line);
  }
  line.textContent = text;
}

const kind = (ctx) => (ctx.sourceElement.matches("button") ? "button" : "list");
addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
  notice(kind(ctx), ctx.response.status < 400 ? "" : said(ctx.text, ctx.response.status));
});
addEventListener("htmx:error", ({ detail: { ctx } }) => { if (ctx && !ctx.response) notice(kind(ctx), SILENT); });

/* ---- News: one stream tells all pages how the jobs stand; what is shown of them is fetched again by htmx. ---- */

let [told, known] = ["", false];
function tell(jobs) {
  const open = jobs.filter((job) => ["waiting", "working"].includes(job.state));
  const badge = $("[data-badge]");
  badge.textContent = open.length || "";
  badge.hidden = !open.length;
  const live = $("[data-live]");
  if (!live) return;
  if (live.dataset.job) {
    const here = jobs.some((job) => job.id === live.dataset.job);
    if (known && !here) return location.assign("/queue");  // deleted
    known = here;
  }
  document.body.dispatchEvent(new CustomEvent("jobs"));
  const mine = live.dataset.job ? jobs.filter((job) => job.id === live.dataset.job) : jobs;
  const [done, total] = [mine.reduce((n, j) => n + j.done, 0), mine.reduce((n, j) => n + j.pictures, 0)];
  const line = `${done} of ${total} pictures done`;
  if (line !== told) $("[data-status]").textContent = told = line;  // screen readers: when one more is done, not every step
}

const [SOON, LATE] = [1000, 60000];  // ms until a stream that was refused is asked for again
let [news, missed, pause, later] = [null, 0, SOON, 0];

function listen() {
  if (news || document.hidden) return;
  news = new EventSource("/api/events");
  news.addEventListener("open", () => {
    [missed, pause, known] = [0, SOON, false];  // of an old job a new stream may not tell
    notice("news", "");
  });
  news.addEventListener("jobs", (event) => tell(JSON.parse(event.data)));
  news.addEventListener("error", () => {
    missed += 1;
    const refused = news.readyState === EventSource.CLOSED;  // else the browser itself tries again
    if (refused || missed > 1) notice("news", "No news from Velatura, so this page may be out of date. Trying again; if this stays, load it anew.");
    if (!refused) return;
    hush();
    later = setTimeout(listen, pause);
    pause = Math.min(2 * pause, LATE);
  });
}

function hush() {
  clearTimeout(later);
  news?.close();
  news = null;
}

// A hidden page waits for nothing: browsers open six connections to a host, and six tabs would have them all.
document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
addEventListener("pagehide", hush);
addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
listen();

/* ---- Tabs, as the ARIA practices describe them ---- */

for (const tabs of all("[data-tabs]")) {
  const buttons = all("[role=tab]", tabs);
  const choose = (chosen) => {
    for (const button of buttons) {
      const on = button === chosen;
      button.setAttribute("aria-selected", on);
      button.tabIndex = on ? 0 : -1;
      $(`#${button.getAttribute("aria-controls")}`).hidden = !on;
    }
  };
  buttons.forEach((button, index) => {
    button.addEventListener("click", () => choose(button));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = buttons[(index + step + buttons.length) % buttons.length];
      choose(next);
      next.focus();
    });
  });
}

/* ---- The lens: the same place in both files, a pixel of the file on a pixel of the screen ---- */

for (const area of all("[data-lens]")) {
  const [picture, lens] = [$("img", area), $(".lens", area)];
  const halves = all(".half", lens);
  const sources = [area.dataset.before, picture.getAttribute("src")];
  let [x, y] = [0.5, 0.5];
  const show = () => {
    lens.hidden = false;
    lens.style.left = `${100 * x}%`;
    lens.style.top = `${100 * y}%`;
    const [width, height] = [picture.naturalWidth, picture.naturalHeight].map((n) => n / devicePixelRatio);
    halves.forEach((half, index) => {
      half.style.backgroundImage = `url("${sources[index]}")`;
      half.style.backgroundSize = `${width}px ${height}px`;
      const [w, h] = [half.clientWidth, half.clientHeight];
      half.style.backgroundPosition = `${w / 2 - x * width}px ${h / 2 - y * height}px`;
    });
  };
  const move = (event) => {
    const box = picture.getBoundingClientRect();
    x = clamp((event.clientX - box.left) / box.width, 0, 1);
    y = clamp((event.clientY - box.top) / box.height, 0, 1);
    show();
  };
  area.addEventListener("pointermove", move);
  area.addEventListener("pointerdown", move);
  area.addEventListener("focus", show);
  area.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    x = clamp(x + step[0] * 0.02, 0, 1);
    y = clamp(y + step[1] * 0.02, 0, 1);
    show();
  });
}

/* ---- The order: pictures, choices, preview ---- */

const form = $("#order");
if (form) {
  const most = Number(form.dataset.most);
  const pictures = new Map();  // id: what the API told
  let arriving = 0;
  let shown = null;  // id of the picture in the preview
  let asked = 0;  // previews; what comes of any but the latest is not shown

  const wish = () => {
    const fields = new FormData(form);
    return {
      intensity: fields.get("intensity"), effort: fields.get("effort"), models: [fields.get("model")],
      against: fields.getAll("against"),
      style: fields.get("style") || null, artist: fields.get("artist").trim() || null,
      strip_gps: fields.has("strip_gps"), do_not_train: fields.has("do_not_train"),
    };
  };

  // So that a look at another page, or a reload, loses nothing: in this tab only, and gone with it.
  const kept = { read: () => JSON.parse(sessionStorage.getItem("pictures") || "[]"),
    write: (list) => sessionStorage.setItem("pictures", JSON.stringify(list)) };
  let earlier = kept.read();  // those of them that were not looked for yet
  const keep = () => kept.write([...earlier, ...pictures.values()]);

  const refresh = () => {
    const count = pictures.size;
    $("#submit").disabled = !count || arriving > 0;
    $("#submit").textContent = count > 1 ? `Protect ${count} pictures` : count ? "Protect 1 picture" : "Protect";
    $("#submit-state").textContent = arriving ? `Reading ${arriving} more…` : count ? "" : "Add a picture first.";
    if (!pictures.has(shown)) stage(pictures.keys().next().value ?? null);
  };

  const problem = (text) => {
    const line = document.createElement("li");
    line.textContent = text;
    $("#problems").append(line);
  };

  const thumbnail = (picture) => {
    const item = document.createElement("li");
    const [pick, image, remove] = [document.createElement("button"), new Image(), document.createElement("button")];
    pick.type = remove.type = "button";
    pick.className = "shot pick";
    pick.dataset.id = picture.id;
    pick.setAttribute("aria-label", `Preview ${picture.name}`);
    pick.setAttribute("aria-pressed", "false");
    pick.addEventListener("click", () => stage(picture.id));
    image.src = `/api/pictures/${picture.id}/thumbnail`;
    image.alt = "";
    image.loading = "lazy";
    pick.append(image);
    remove.className = "remove";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Leave out ${picture.name}`);
    remove.addEventListener("click", async () => {
      pictures.delete(picture.id);
      keep();
      item.remove();
      refresh();
      api(`/pictures/${picture.id}`, { method: "DELETE" }).catch(() => {});
    });
    item.append(pick, remove, picture.name);
    $("#pictures").append(item);
  };

  const take = async (files) => {
    const known = /\.(png|jpe?g|jpe|jfif|webp|tiff?|avif|gif|hei[cf])$/i;
    const right = files.filter((file) => known.test(file.name) || file.type.startsWith("image/"));
    if (files.length && !right.length) problem("No PNG, JPEG, WebP, AVIF or TIFF among what was dropped.");
    const room = most - pictures.size - arriving;
    if (right.length > room) problem(`At most ${most} pictures at a time; the last ${right.length - Math.max(0, room)} were left out.`);
    const todo = right.slice(0, Math.max(0, room));
    arriving += todo.length;
    refresh();
    for (const file of todo) {  // one after the other: the disk is the same for all
      try {
        if (file.size > form.dataset.bytes) throw new Error(`larger than ${form.dataset.bytes / 1e6} MB; make it smaller`);
        const picture = await api(`/pictures?name=${encodeURIComponent(file.name)}`, {
          method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" },
        });
        pictures.set(picture.id, picture);
        keep();
        thumbnail(picture);
      } catch (error) {
        problem(error.message.includes(file.name) ? error.message : `${file.name}: ${error.message}`);
      }
      arriving -= 1;
      refresh();
    }
  };

  const again = async () => {
    arriving += earlier.length;
    refresh();
    while (earlier.length) {
      const [picture] = earlier;
      // What the server has deleted since, or shows to somebody else only, is left out; not what it cannot tell now.
      const there = await fetch(`/api/pictures/${picture.id}/thumbnail`, { cache: "reload" }).catch(() => null);
      earlier = earlier.slice(1);
      if (there?.status !== 404 && !pictures.has(picture.id)) {
        pictures.set(picture.id, picture);
        thumbnail(picture);
      }
      arriving -= 1;
      refresh();
    }
    keep();
  };

  addEventListener("beforeunload", (event) => { if (arriving > earlier.length) event.preventDefault(); });

  for (const input of [$("#files"), $("#folder")]) {
    const chosen = () => { take([...input.files]); input.value = ""; };
    input.addEventListener("change", chosen);
    if (input.files.length) chosen();  // before this script was here, or before the page was loaded again
  }

  const entries = async (entry) => {
    const inside = [];
    try {
      if (entry.isFile) return [await new Promise((found, lost) => entry.file(found, lost))];
      const reader = entry.createReader();
      for (;;) {  // a reader gives a hundred at a time
        const some = await new Promise((found, lost) => reader.readEntries(found, lost));
        if (!some.length) break;
        inside.push(...some);
      }
    } catch (error) {
      problem(`${entry.name}: the browser cannot read it (${error.message})`);
    }
    return (await Promise.all(inside.filter((e) => !e.name.startsWith(".")).map(entries))).flat();
  };

  const drop = $("#drop");
  addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const dropped = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    take(dropped.length ? (await Promise.all(dropped.map(entries))).flat() : [...event.dataTransfer.files]);
  });

  /* -- Preview -- */

  const frame = $("#frame");
  const PART = 256 / 512;  // of the short side; the API says exactly
  let [x, y] = [0.5, 0.5];

  const place = () => {
    const picture = pictures.get(shown);
    if (!picture) return;
    const short = Math.min(picture.width, picture.height);
    const [w, h] = [(PART * short) / picture.width, (PART * short) / picture.height];
    [x, y] = [clamp(x, w / 2, 1 - w / 2), clamp(y, h / 2, 1 - h / 2)];
    Object.assign(frame.style, {
      width: `${100 * w}%`, height: `${100 * h}%`, left: `${100 * (x - w / 2)}%`, top: `${100 * (y - h / 2)}%`,
    });
  };

  // What was asked for, or is shown, is of another picture or other choices.
  function outdate() {
    asked += 1;
    $("#preview-result").hidden = true;
    $("#preview-state").textContent = "";
  }
  form.addEventListener("change", (event) => { if (event.target.name) outdate(); });

  function stage(id) {
    shown = id;
    outdate();
    $("#preview").hidden = id === null;
    for (const pick of all(".pick")) pick.setAttribute("aria-pressed", pick.dataset.id === id);
    if (id === null) return;
    $("#stage-picture").src = `/api/pictures/${id}/thumbnail`;
    $("#stage-picture").alt = pictures.get(id).name;
    [x, y] = [0.5, 0.5];
    place();
  }

  const drag = (event) => {
    const box = $("#stage-picture").getBoundingClientRect();
    [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    place();
  };
  const area = $(".stage");
  area.addEventListener("pointerdown", (event) => { area.setPointerCapture(event.pointerId); drag(event); event.preventDefault(); frame.focus(); });
  area.addEventListener("pointermove", (event) => { if (area.hasPointerCapture(event.pointerId)) drag(event); });
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    [x, y] = [x + step[0] * 0.04, y + step[1] * 0.04];
    place();
  });

  $("#look").addEventListener("click", async () => {
    const mine = ++asked;
    const say = (text) => { if (mine === asked) $("#preview-state").textContent = text; };
    try {
      say("Starting…");
      let preview = await post("/previews", { picture: shown, x, y, ...wish() });
      while (["waiting", "working"].includes(preview.state)) {
        if (mine !== asked) return;
        say(preview.state === "waiting" ? "Waiting for its turn; the first one loads the models…" : `Working, ${Math.round(100 * preview.share)} %`);
        await new Promise((go) => setTimeout(go, 400));
        preview = await api(`/previews/${preview.id}`);
      }
      if (preview.error) throw new Error(preview.error);
      if (mine !== asked) return;
      if (preview.state !== "done") return say("Given up for another preview.");
      await Promise.all(["before", "after"].map((side) => {
        const image = $(`#preview-${side}`);
        image.src = `/api/previews/${preview.id}/${side}`;
        return image.decode();
      }));
      if (mine !== asked) return;
      $("#preview-result").hidden = false;
      say(`Towards ${preview.style.replaceAll("-", " ")}.`);
    } catch (error) {
      say(error.message);
    }
  });

  /* -- Style -- */

  const picker = $("#style-picker");
  picker.addEventListener("toggle", () => { if (picker.open) $("[hx-get]", picker).dispatchEvent(new CustomEvent("opened")); });
  picker.addEventListener("change", (event) => { $("#style-chosen").textContent = event.target.dataset.shown; });
  picker.addEventListener("input", (event) => {
    const list = event.target.dataset.filter && $(event.target.dataset.filter);
    if (!list) return;
    const words = event.target.value.toLowerCase();
    for (const item of list.children) item.hidden = !item.textContent.toLowerCase().includes(words);
  });
  picker.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.type === "search") event.preventDefault(); });

  /* -- Off it goes: the key makes a second click, or a lost answer, the same job -- */

  let [key, ordered] = ["", ""];
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    $("#submit").disabled = true;
    $("#submit-state").textContent = "Queueing…";
    const order = { pictures: [...pictures.keys()], ...wish() };
    if (JSON.stringify(order) !== ordered) [key, ordered] = [crypto.randomUUID(), JSON.stringify(order)];
    try {
      const job = await post("/jobs", order, { "Idempotency-Key": key });
      kept.write([]);
      location.assign(`/jobs/${job.id}`);
    } catch (error) {
      if (error.status < 500) ordered = "";  // refused; without an answer, or with a proxy's, it may have been made
      $("#submit").disabled = false;
      $("#submit-state").textContent = error.message;
    }
  });

  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  refresh();
  again();
}
