// What a page does beside showing: send a request to the API, and copy a command.

async function send(button) {
  const { post, body, confirm: question, next } = button.dataset;
  if (question && !confirm(question)) return;
  const options = { method: post ? "POST" : "DELETE" };
  if (body) Object.assign(options, { body, headers: { "Content-Type": "application/json" } });
  button.disabled = true;
  const answer = document.getElementById("answer");
  try {
    const response = await fetch(post ?? button.dataset.delete, options);
    const content = response.status === 204 ? null : await response.json();
    if (!response.ok) {
      const causes = content.errors.map((cause) => cause.detail);
      answer.textContent = (causes.length ? causes : [content.detail]).join("\n");
    } else if (!("stay" in button.dataset)) {
      location.href = next ?? `/ui/jobs/${content.id}`;
      return;
    } else {
      answer.textContent = "";
    }
  } catch (error) {
    answer.textContent = `The service does not answer: ${error.message}`;
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

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.post || button.dataset.delete) send(button);
  else if ("copy" in button.dataset) copy(button);
});
