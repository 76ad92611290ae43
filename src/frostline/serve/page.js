"use strict"
const told = JSON.parse(document.getElementById("told").textContent)
const byId = id => document.getElementById(id)
const [drop, files, cards, said, slider, value] = ["drop", "files", "cards", "said", "slider", "value"].map(byId)
const AT_ONCE = 3 // pictures that are sent at once
const MOST = 6 // classes in a table
const BACKGROUND = "background"

// Colours that colour-blind eyes tell apart (Okabe and Ito; Tol), and for more classes ones around the circle.
const PALETTES = [
  ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"],
  ["#332288", "#ddcc77", "#117733", "#cc6677", "#88ccee", "#882255", "#999933", "#44aa99", "#aa4499", "#7d8790"],
]
const many = count => Array.from({ length: count }, (_, n) => hex((n * 137.5) % 360, 0.42 + 0.2 * (n % 3) / 2))
const hex = (hue, light) => "#" + [0, 8, 4].map(n => {
  const k = (n + hue / 30) % 12, one = light - 0.65 * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1))
  return Math.round(255 * one).toString(16).padStart(2, "0")
}).join("")
const things = told.classes.filter(name => name !== BACKGROUND)
const palette = PALETTES.find(one => one.length >= things.length) || many(things.length)
const colours = new Map([[BACKGROUND, "#8a949c"], ...things.map((name, n) => [name, palette[n]])])
const colourOf = name => colours.get(name)
const rgb = colour => [1, 3, 5].map(at => parseInt(colour.slice(at, at + 2), 16))
const inkOn = colour => { const [r, g, b] = rgb(colour); return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff" }
const percent = share => (100 * share).toFixed(share >= 0.9995 || share < 0.0005 ? 0 : 1) + " %"
const made = (tag, name, text) => { const one = document.createElement(tag); if (name) one.className = name; if (text !== undefined) one.textContent = text; return one }

const all = new Set()
const waiting = []
let working = 0

function take(list) {
  const parts = new DocumentFragment()
  for (const file of list) {
    const part = document.getElementById("card").content.cloneNode(true)
    const root = part.querySelector("article")
    const card = { file, root, at: name => root.querySelector(name), hidden: new Set() }
    card.url = URL.createObjectURL(file)
    card.at("h2").textContent = file.name || "pasted picture"
    const image = card.at("img")
    image.alt = file.name || "pasted picture"
    image.addEventListener("error", () => { image.hidden = true })
    image.src = card.url
    card.at(".away").setAttribute("aria-label", `Take away ${file.name || "pasted picture"}`)
    card.at(".away").addEventListener("click", () => away(card))
    root.classList.add("waiting")
    card.at(".state").textContent = "waiting …"
    all.add(card)
    parts.append(part)
    waiting.push(card)
  }
  cards.prepend(parts)
  while (working < AT_ONCE && waiting.length) work()
  tell()
}

function away(card) {
  const next = card.root.nextElementSibling || card.root.previousElementSibling
  URL.revokeObjectURL(card.url)
  card.root.remove()
  all.delete(card)
  ;(next ? next.querySelector(".away") : files).focus()
  tell()
}

async function work() {
  working++
  while (waiting.length) {
    const card = waiting.shift()
    if (all.has(card)) await ask(card)
  }
  working--
}

async function ask(card) {
  card.at(".state").textContent = "looking …"
  const start = performance.now()
  try {
    if (card.file.size > told.max_mb * 2 ** 20) throw new Error(`The file has more than ${told.max_mb} MB.`)
    const query = told.task === "detection" ? "?threshold=0" : ""
    const answer = await fetch("predict" + query, { method: "POST", body: card.file })
    const held = await answer.json()
    if (!answer.ok) throw new Error(held.error)
    card.answer = held
    card.took = performance.now() - start
    await prepare(card)
    show(card)
  } catch (error) {
    card.root.classList.add("wrong")
    card.at(".state").textContent = error instanceof TypeError ? "The server does not answer." : error.message
  }
  card.root.classList.remove("waiting")
  tell()
}

async function prepare(card) {
  const { width, height, mask } = card.answer, stage = card.at(".stage")
  Object.assign(stage.style, { aspectRatio: `${width} / ${height}`, width: `min(100%, calc(78vh * ${width / height}))` })
  const { mask: _, ...rest } = card.answer
  card.at("pre").textContent = JSON.stringify(rest, (_, one) => typeof one === "number" ? +one.toPrecision(6) : one, 1)
  card.at("details").hidden = false
  if (!mask) return
  const image = new Image()
  image.src = "data:image/png;base64," + mask
  await image.decode()
  // Of a large one as many pixels as a screen may have.
  const scale = Math.min(1, 1600 / Math.max(width, height)), canvas = card.at("canvas")
  canvas.width = Math.max(1, Math.round(width * scale)); canvas.height = Math.max(1, Math.round(height * scale))
  const context = canvas.getContext("2d", { willReadFrequently: true })
  context.imageSmoothingEnabled = false
  context.drawImage(image, 0, 0, canvas.width, canvas.height)
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data
  card.labels = new Uint8Array(pixels.length / 4)
  for (let n = 0; n < card.labels.length; n++) card.labels[n] = pixels[4 * n]
  canvas.hidden = false
  if (told.classes.length > 1) card.hidden.add(BACKGROUND)
}

const SHOW = { classification: showClasses, localization: showLocated, detection: showDetected, segmentation: showMask }
const show = card => SHOW[told.task](card)

function showClasses(card) {
  const rows = Object.entries(card.answer.probabilities).sort((a, b) => b[1] - a[1])
  headline(card, rows[0][0], percent(rows[0][1]))
  const table = made("table", "shares")
  for (const [name, share] of rows.slice(0, MOST)) table.append(row(name, share))
  const rest = rows.slice(MOST)
  if (rest.length) table.append(row(`${rest.length} other${rest.length > 1 ? "s" : ""}`, rest.reduce((sum, one) => sum + one[1], 0)))
  card.at(".found").replaceChildren(table)
}

function row(name, share) {
  const one = made("tr"), head = made("th", "", name), cell = made("td"), bar = made("div", "bar")
  head.scope = "row"
  bar.innerHTML = '<svg viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true"><rect height="1"/></svg>'
  bar.querySelector("rect").setAttribute("width", 100 * share)
  cell.append(bar)
  one.append(head, cell, made("td", "", percent(share)))
  return one
}

function showLocated(card) {
  showClasses(card)
  const name = card.answer.class
  card.at(".boxes").replaceChildren(box(card, card.answer.box, name, card.answer.probabilities[name]))
}

function showDetected(card) {
  const from = +slider.value, objects = card.answer.objects.filter(one => one.score >= from)
  const counts = new Map()
  for (const one of objects) counts.set(one.class, (counts.get(one.class) || 0) + 1)
  const rest = card.answer.objects.length - objects.length
  headline(card, objects.length ? `${objects.length} object${objects.length > 1 ? "s" : ""}` : "nothing found", rest ? `and ${rest} less sure` : "")
  // The surest lies on top.
  const shown = objects.map(one => box(card, one.box, one.class, one.score))
  card.at(".boxes").replaceChildren(...shown.slice().reverse())
  const table = made("table")
  for (const [name, count] of [...counts].sort((a, b) => b[1] - a[1])) {
    const one = made("tr"), head = made("th"), chip = made("span", "chip"), label = made("label")
    chip.style.background = colourOf(name)
    label.append(chip, made("span", "", name)); head.append(label); head.scope = "row"
    const best = Math.max(...objects.filter(each => each.class === name).map(each => each.score))
    one.append(head, made("td", "", `${count} ×`), made("td", "", `≤ ${best.toFixed(2)}`))
    for (const [event, on] of [["mouseenter", true], ["mouseleave", false]])
      one.addEventListener(event, () => shown.forEach((each, n) => each.classList.toggle("on", on && objects[n].class === name)))
    table.append(one)
  }
  card.at(".found").replaceChildren(table)
}

function box(card, [x0, y0, x1, y1], name, score) {
  const { width, height } = card.answer, colour = colourOf(name), one = made("div"), tag = made("span", "", `${name} ${score.toFixed(2)}`)
  Object.assign(one.style, { left: `${100 * x0 / width}%`, top: `${100 * y0 / height}%`, width: `${100 * (x1 - x0) / width}%`, height: `${100 * (y1 - y0) / height}%`, borderColor: colour })
  Object.assign(tag.style, { background: colour, color: inkOn(colour), maxWidth: "none" })
  // Above the box where there is room, else within it; to the left where the box begins far to the right.
  Object.assign(tag.style, y0 / height > 0.08 ? { bottom: "100%" } : { top: "0" }, x0 / width > 0.6 ? { right: "-2px" } : { left: "-2px" })
  one.append(tag)
  return one
}

function showMask(card) {
  const total = card.answer.width * card.answer.height
  const rows = Object.entries(card.answer.pixels).filter(one => one[1]).sort((a, b) => b[1] - a[1])
  const seen = rows.filter(one => one[0] !== BACKGROUND).length
  headline(card, `${seen} class${seen === 1 ? "" : "es"}`, "of the picture's pixels:")
  const table = made("table")
  for (const [name, count] of rows) {
    const one = made("tr"), head = made("th"), label = made("label"), check = made("input"), chip = made("span", "chip")
    check.type = "checkbox"; check.checked = !card.hidden.has(name)
    check.addEventListener("change", () => { card.hidden[check.checked ? "delete" : "add"](name); paint(card) })
    chip.style.background = colourOf(name)
    label.append(check, chip, made("span", "", name)); head.append(label); head.scope = "row"
    one.append(head, made("td", "", percent(count / total)))
    table.append(one)
  }
  card.at(".found").replaceChildren(table)
  paint(card)
}

function paint(card) {
  const canvas = card.at("canvas"), { width, height } = canvas, context = canvas.getContext("2d")
  const painted = context.createImageData(width, height), labels = card.labels
  const shown = told.classes.map(name => card.hidden.has(name) ? null : rgb(colourOf(name)))
  for (let n = 0; n < labels.length; n++) {
    const colour = shown[labels[n]]
    if (!colour) continue
    const edge = (n % width && labels[n - 1] !== labels[n]) || (n >= width && labels[n - width] !== labels[n])
    painted.data.set([...colour, edge ? 255 : 255 * slider.value], 4 * n)
  }
  context.putImageData(painted, 0, 0)
}

function headline(card, strong, rest) {
  card.at(".state").replaceChildren(made("b", "", strong), " " + rest)
}

function tell() {
  const list = [...all], open = list.filter(card => card.root.classList.contains("waiting")).length
  const wrong = list.filter(card => card.root.classList.contains("wrong")).length
  const done = list.length - open - wrong
  const words = [done && `${done} picture${done > 1 ? "s" : ""} answered`, open && `${open} to come`, wrong && `${wrong} refused`]
  said.textContent = words.filter(Boolean).join(", ")
}

files.addEventListener("change", () => { take(files.files); files.value = "" })
// A picture that falls beside the field is meant for it, too: the browser would leave the page for it.
let depth = 0
const over = step => { depth = step ? depth + step : 0; drop.classList.toggle("over", depth > 0) }
addEventListener("dragenter", () => over(1))
addEventListener("dragleave", () => over(-1))
addEventListener("dragover", event => event.preventDefault())
addEventListener("drop", event => { event.preventDefault(); over(0); take(event.dataTransfer.files) })
addEventListener("paste", event => take(event.clipboardData.files))
if (slider) {
  slider.value = told.task === "detection" ? told.threshold : 0.5
  const moved = () => { value.textContent = (+slider.value).toFixed(2); for (const card of all) if (card.answer) (told.task === "detection" ? show : paint)(card) }
  slider.addEventListener("input", moved)
  moved()
}
