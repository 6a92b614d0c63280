// Buttons and forms that call the API: data-call="METHOD /path"; what comes of it is shown beside them, or the page anew.

async function call(element) {
  const [method, path] = element.dataset.call.split(" ");
  const says = element.querySelector("[role=status]") ?? element.parentElement.querySelector("[role=status]");
  const say = (text) => { if (says) says.textContent = text; else alert(text); };
  const options = { method };
  if (element.tagName === "FORM") {
    const tree = Object.fromEntries(new FormData(element));
    for (const box of element.querySelectorAll("[type=checkbox]")) tree[box.name] = box.checked;
    options.body = JSON.stringify(tree);
    options.headers = { "Content-Type": "application/json" };
  }
  const answer = await fetch(`/api${path}`, options).catch(() => null);
  if (!answer) return say("No answer from Velatura: it was ended, or is out of reach.");
  const text = await answer.text();
  let tree = null;
  try { tree = JSON.parse(text); } catch { /* none, or a proxy's page */ }
  if (!answer.ok) {
    const detail = tree?.detail ?? `The server answered ${answer.status}.`;
    return say(Array.isArray(detail) ? detail.map((d) => d.msg).join("; ") : detail);
  }
  if (element.dataset.show) {
    element.reset();
    const shown = document.createElement("code");
    shown.textContent = tree[element.dataset.show];
    says.replaceChildren("Copy it now, it is shown this once: ", shown);
  } else if (element.dataset.done) {
    element.reset();
    say(element.dataset.done);
  } else if (element.dataset.then) {
    location.assign(element.dataset.then);
  } else {
    location.reload();
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-call]");
  if (button && (!button.dataset.confirm || confirm(button.dataset.confirm))) call(button);
});
document.addEventListener("submit", (event) => {
  if (!event.target.dataset.call) return;
  event.preventDefault();
  call(event.target);
});
