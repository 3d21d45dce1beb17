// What a page does beside showing: send a request to the API, and copy a command.

async function request(method, address, body) {
  const options = { method };
  if (body) Object.assign(options, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  const response = await fetch(address, options);
  const content = response.status === 204 ? null : await response.json();
  if (response.ok) return content;
  const causes = content.errors.map((cause) => cause.detail);
  throw new Error((causes.length ? causes : [content.detail]).join("\n"));
}

async function send(button) {
  const { post, confirm: question, next } = button.dataset;
  if (question && !confirm(question)) return;
  const given = button.dataset.body ? JSON.parse(button.dataset.body) : null;
  const bodies = Array.isArray(given) ? given : [given]; // several: one job after the other
  const answer = document.getElementById("answer");
  button.disabled = true;
  let done = 0;
  try {
    let made = null;
    for (const body of bodies) {
      made = await request(post ? "POST" : "DELETE", post ?? button.dataset.delete, body);
      done += 1;
    }
    if (!("stay" in button.dataset)) {
      location.href = next ?? (bodies.length > 1 ? "/ui/jobs" : `/ui/jobs/${made.id}`);
      return;
    }
    answer.textContent = "";
  } catch (error) {
    answer.textContent = error instanceof TypeError ? "The service does not answer." : error.message;
    if (done) {
      // What was accepted is not sent again.
      button.dataset.body = JSON.stringify(bodies.slice(done));
      answer.textContent += `\n${done} of ${bodies.length} jobs were accepted before; the button sends the others.`;
    }
  }
  button.disabled = false;
}

async function copy(button) {
  const text = button.closest("figure").querySelector("pre").textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Without a secure connection browsers give no clipboard: the text is marked instead.
    getSelection().selectAllChildren(button.closest("figure").querySelector("pre"));
    button.textContent = "Marked; press Ctrl+C";
  }
}

function toggle(boxes) {
  const checked = !boxes.every((box) => box.checked);
  for (const box of boxes) box.checked = checked;
}

function select(button) {
  const states = button.dataset.select.split(" ");
  for (const box of button.closest("form").querySelectorAll("input[name=cell]")) {
    box.checked = states.includes(box.dataset.state);
  }
}

// A selection stays as it is until it is planned and run: the table is not replaced under it.
document.addEventListener("htmx:beforeRequest", (event) => {
  const matrix = event.target.closest("#matrix");
  if (event.target === matrix && matrix.querySelector("input:checked")) event.preventDefault();
});

// A page that the browser kept shows what was so when it was left.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.post || button.dataset.delete) send(button);
  else if ("copy" in button.dataset) copy(button);
  else if ("select" in button.dataset) select(button);
  else if ("selectRow" in button.dataset) toggle([...button.closest("tr").querySelectorAll("input")]);
  else if ("selectColumn" in button.dataset) {
    const rows = [...button.closest("table").tBodies[0].rows];
    toggle(rows.map((row) => row.querySelectorAll("input")[button.dataset.selectColumn]));
  }
});
