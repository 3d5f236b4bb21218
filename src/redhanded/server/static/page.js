// The form works without this. With it, verdicts come without a new page, images can be dropped or pasted, and the
// evidence is drawn as it comes into view.

const form = document.getElementById("ask");
const images = document.getElementById("images");
const drop = document.getElementById("drop");
const status = document.getElementById("status");
const error = document.getElementById("error");
let sent = null; // what the verdicts on the page are about

document.documentElement.dataset.scripted = "";

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const place = event.submitter?.getAttribute("formaction");
  run(place ? () => download(place) : attribute);
});
images.addEventListener("change", () => say(count(images.files.length, "image") + " chosen."));
document.addEventListener("dragover", (event) => {
  if (event.dataTransfer?.types.includes("Files")) {
    event.preventDefault();
    drop.classList.add("over");
  }
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => take(event, event.dataTransfer));
document.addEventListener("paste", (event) => take(event, event.clipboardData));

function take(event, transfer) {
  drop.classList.remove("over");
  if (!transfer?.files.length) return;
  event.preventDefault();
  images.files = transfer.files;
  form.requestSubmit();
}

async function run(work) {
  const buttons = document.querySelectorAll("button");
  error.replaceChildren();
  for (const button of buttons) button.disabled = true;
  try {
    await work();
  } catch (problem) {
    say("");
    complain(problem.message);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

async function attribute() {
  const data = new FormData(form);
  say("Judging " + count(images.files.length, "image") + "…");
  const answer = await post(form.action, data);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = page.getElementById("verdicts");
  const told = page.querySelector("#error .error");
  document.getElementById("verdicts").replaceWith(found);
  if (told) throw new Error(told.textContent);
  sent = data;
  const title = document.getElementById("verdicts-title");
  say(title.textContent + ".");
  for (const card of found.querySelectorAll(".verdict")) drawn.observe(card);
  title.focus();
}

async function download(place) {
  say("Making the file…");
  const answer = await post(place, sent);
  if (!answer.ok) throw new Error(await told(answer));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition"))[1];
  link.click();
  URL.revokeObjectURL(link.href);
  say("Saved " + link.download + ".");
}

// One picture at a time, and only of cards that are seen.
let queue = Promise.resolve();
const drawn = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((each) => each.isIntersecting)) {
    drawn.unobserve(entry.target);
    const about = sent;
    queue = queue.then(() => draw(entry.target, about));
  }
}, { rootMargin: "200px" });

async function draw(card, about) {
  if (!card.isConnected) return;
  const caption = card.querySelector("figcaption");
  const data = new FormData();
  for (const [name, value] of about) if (name !== images.name) data.append(name, value);
  const files = about.getAll(images.name);
  for (const file of about.has("together") ? files : [files[card.dataset.file]]) data.append(images.name, file);
  try {
    const answer = await post("/api/picture/" + (about.has("together") ? 0 : card.dataset.image), data);
    if (!answer.ok) throw new Error(await told(answer));
    const picture = card.querySelector("img");
    picture.src = URL.createObjectURL(await answer.blob());
    picture.alt = caption.textContent.replace("Drawing the evidence: ", "The evidence: ");
    picture.hidden = false;
    caption.textContent = "Image, perturbation (amplified), its spectrum, and the nearest known examples.";
  } catch (problem) {
    caption.textContent = problem.message;
  }
}

// The server says how long to wait when it is busy.
async function post(place, data, tries = 5) {
  let answer;
  try {
    answer = await fetch(place, { method: "POST", body: data });
  } catch {
    throw new Error("The server cannot be reached; is it still running?");
  }
  if (answer.status !== 503 || tries === 1) return readable(answer);
  await new Promise((done) => setTimeout(done, 1000 * Number(answer.headers.get("retry-after") ?? 1)));
  return post(place, data, tries - 1);
}

async function readable(answer) {
  const kind = answer.headers.get("content-type") ?? "";
  if (!answer.ok && !kind.startsWith("text/html")) throw new Error(await told(answer));
  return answer;
}

async function told(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return "The server answered with status " + answer.status + ".";
  }
}

function say(text) {
  status.textContent = text;
}

function complain(text) {
  const line = document.createElement("p");
  line.className = "error";
  line.textContent = text;
  error.replaceChildren(line);
}

function count(number, what) {
  return number + " " + what + (number === 1 ? "" : "s");
}
